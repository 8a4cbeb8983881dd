"""Where cells are computed, and the frame around one of them."""
