"""Provenance equals brute force, on random networks of every family."""

import pytest

from brute_force import BruteForce, mismatches
from netcaliper.trace.trace import trace
from networks import FAMILIES, build

NETWORKS_PER_FAMILY = 4


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(NETWORKS_PER_FAMILY))
def test_consumers_equal_brute_force(family: str, seed: int) -> None:
    model, example = build(family, seed)
    graph = trace(model, example, name=f"{family} {seed}")
    brute = BruteForce(graph)
    assert graph.sites
    for site in graph.sites:
        assert site.refused is None, (site.name, site.refused)
        assert mismatches(graph, site, brute, list(range(site.units))) == []
