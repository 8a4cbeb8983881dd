"""One question, one file: what the units of a traced network do, and how many of them are needed."""
