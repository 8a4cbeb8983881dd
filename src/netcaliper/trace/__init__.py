"""From a model to a graph: sites, consumers, provenance; running with taps, overrides and forks."""
