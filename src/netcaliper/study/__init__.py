"""Grids of trainings with their readings, and the claims that are tested on them."""
