"""Mathematics with no model in sight: streaming states and pure formulas."""
