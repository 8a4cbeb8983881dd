"""Networks whose width and depth are integers, small data sets, and how a spec on the command line becomes either."""
