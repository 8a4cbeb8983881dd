import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.stats.correlated import correlated


def mixed(seed, rows=60, units=7):
    """Return rows of units that share a common part of random strength, with a copy and a mirrored copy."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, units)) + rng.normal(size=(rows, 1)) * rng.uniform(0, 3, units)
    return np.column_stack([x, 2 * x[:, 0] + 1, -x[:, 1]])


@given(st.integers(0, 999))
def test_it_equals_a_loop_over_pairs(seed):
    r = np.asarray(np.corrcoef(mixed(seed), rowvar=False))
    found = correlated(r)
    neighbors, pairs, counted = np.zeros(9, dtype=int), np.zeros(20, dtype=int), []
    for i in range(9):
        for j in range(9):
            neighbors[i] += i != j and abs(r[i, j]) >= 0.5
            if i < j and abs(r[i, j]) < 0.99999:
                counted.append(abs(r[i, j]))
                pairs[next(k for k in range(20) if abs(r[i, j]) <= (k + 1) / 20)] += 1
    assert found.neighbors.tolist() == neighbors.tolist()
    assert found.pairs.tolist() == pairs.tolist()
    assert found.mean == pytest.approx(np.mean(counted), rel=1e-12)
    assert found.pairs.sum() == 9 * 8 / 2 - 2, "the two copies are left out"


@given(st.integers(0, 999))
def test_signs_scales_and_order_of_the_units_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    x = mixed(seed)
    order = rng.permutation(9)
    moved = x[:, order] * rng.choice([-1, 1], 9) * rng.uniform(0.1, 10, 9)
    one, other = (correlated(np.asarray(np.corrcoef(rows, rowvar=False))) for rows in (x, moved))
    assert other.neighbors.tolist() == one.neighbors[order].tolist()
    assert other.pairs.tolist() == one.pairs.tolist()
    assert one.mean == pytest.approx(other.mean, rel=1e-12)


def test_edges_of_bins_and_thresholds():
    def pair(r):
        return correlated(np.array([[1, r], [r, 1]]))

    assert [int(np.argmax(pair(r).pairs)) for r in (0.0, 0.05, 0.0501, -0.5, 0.51, 0.9999)] == [0, 0, 1, 9, 10, 19]
    assert [pair(r).neighbors.tolist() for r in (0.4999, -0.5, 0.99999, 1.0)] == [[0, 0], [1, 1], [1, 1], [1, 1]]
    assert pair(0.99999).mean is None
    assert pair(0.99999).pairs.sum() == 0


@pytest.mark.parametrize("units", [0, 1])
def test_without_pairs_there_is_no_mean(units):
    found = correlated(np.eye(units))
    assert found.neighbors.tolist() == [0] * units
    assert found.mean is None
