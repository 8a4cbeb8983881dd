"""What happens inside a cell: trainings, bendings, comparisons, and what is read of them."""
