"""Planted dead, constant, duplicated and dependent units are counted exactly as the rank oracle counts them."""

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from networks import FAMILIES
from planted_truth_check import KINDS, check
from planting import plant


def test_counts_equal_the_rank_oracle() -> None:
    planted: Counter[str] = Counter()

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(family=st.sampled_from(FAMILIES), seed=st.integers(0, 10_000))
    def holds(family: str, seed: int) -> None:
        network = plant(family, seed)
        planted.update(network.counts())
        for site in check(network):
            assert site.missed == [], site.name
            assert sum(getattr(site.found, kind) for kind in KINDS) == site.found.units
            if site.unclear is None:
                assert site.agrees, (site.name, [getattr(site.found, kind) for kind in KINDS], site.expected)
                assert site.error <= 1e-9, (site.name, site.error)

    holds()
    assert all(planted[kind] > 0 for kind in ("dead", "constant", "duplicate", "dependent")), planted
