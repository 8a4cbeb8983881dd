"""What a study file says, checked: families, bends, comparisons and scales."""
