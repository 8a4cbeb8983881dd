"""What stands on the command line, or in a call of ours, becomes a model and data."""
