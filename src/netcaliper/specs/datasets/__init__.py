"""Where data come from, and how they are prepared: one file a source or step."""
