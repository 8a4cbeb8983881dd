"""Feeding examples to a traced network: which ones, in one pass, on which process, and what a measure sees of them."""
