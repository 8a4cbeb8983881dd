import numpy as np
import pytest

from netcaliper.stats import logit_distance as module
from netcaliper.stats.logit_distance import squared_distances


def logits(seed=0, networks=4, examples=23, classes=5):
    return [one.astype(np.float32) for one in np.random.default_rng(seed).normal(size=(networks, examples, classes))]


@pytest.mark.parametrize("at_once", [1, 150, 2**20])
def test_it_equals_the_definitions(at_once, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    some = logits()
    found = squared_distances(some)
    centered = [one.astype(np.float64) - one.astype(np.float64).mean(1, keepdims=True) for one in some]
    for a, x in enumerate(centered):
        for b, y in enumerate(centered):
            expected = ((x - y) ** 2).sum(1).mean() / ((x**2).sum(1).mean() + (y**2).sum(1).mean())
            assert found.between(a, b) == pytest.approx(expected, rel=1e-12)
    expected = np.var([centered[i] for i in (0, 2, 3)], axis=0, ddof=1).sum(1).mean()
    assert found.seed_variance([0, 2, 3]) == pytest.approx(expected, rel=1e-12)


def test_what_changes_no_probability_changes_no_distance():
    a, b = logits(networks=2)
    found = squared_distances([a, b])
    moved = squared_distances([a + np.arange(23, dtype=np.float32)[:, None], b])
    assert moved.between(0, 1) == pytest.approx(found.between(0, 1), rel=1e-4)


def test_equal_networks_are_at_no_distance_even_far_from_the_origin():
    a, b = (1e6 * one for one in logits(networks=2))
    found = squared_distances([a, b, a.copy(), a.copy()])
    assert found.between(0, 2) == 0.0
    assert found.seed_variance([0, 2, 3]) == 0.0
    assert found.between(0, 1) == pytest.approx(1, abs=0.3)


def test_opposite_networks_are_at_distance_two_and_constant_ones_nowhere():
    (a,) = logits(networks=1)
    assert squared_distances([a, -a]).between(0, 1) == pytest.approx(2)
    assert np.isnan(squared_distances([np.ones((3, 2)), np.zeros((3, 2))]).between(0, 1))


def test_one_network_has_no_pairs():
    assert squared_distances(logits(networks=1)).squared.shape == (1, 1)
