"""Making units linear, bit by bit: activation calls of a copy become ``alpha x + (1 - alpha) phi(x)``."""
