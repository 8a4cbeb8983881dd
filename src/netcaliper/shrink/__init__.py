"""The smaller network: what can go, how much of it, what the readers make of the rest, and the proof."""
