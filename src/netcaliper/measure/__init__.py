"""One question, one file: measures of a traced network over data."""
