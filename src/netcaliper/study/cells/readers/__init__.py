"""What is read of the networks of a study: one reader a file, from a network to columns of the table."""
