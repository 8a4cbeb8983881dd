"""The reading floor: what a measurement leaves behind, opened without torch."""
