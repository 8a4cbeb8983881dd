"""From the table of a study to verdicts and figures."""
