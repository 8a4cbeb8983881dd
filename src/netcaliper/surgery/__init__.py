"""Rewriting the graph of a network: what became linear is folded into its neighbors."""
