"""The distance of kernel matrices: its two forms, its limits, its invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netcaliper.stats.kernel_distance import kernel_distance


def kernel(seed, n=6, rank=4):
    features = np.random.default_rng(seed).standard_normal((n, rank))
    return features @ features.T


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(1e-6, 1e6))
def test_it_is_one_minus_the_cosine_and_knows_no_scale(first, second, scale):
    K, L = kernel(first), kernel(second)
    cosine = (K * L).sum() / np.sqrt((K * K).sum() * (L * L).sum())
    assert kernel_distance(K, L) == pytest.approx(1 - cosine, abs=1e-12)
    assert kernel_distance(scale * K, L) == pytest.approx(kernel_distance(K, L), abs=1e-12)
    assert kernel_distance(K, L) == kernel_distance(L, K)
    assert 0 <= kernel_distance(K, L) <= 1


def test_limits():
    K = kernel(0)
    assert kernel_distance(K, K) == 0.0
    assert kernel_distance(K, 3 * K) == pytest.approx(0, abs=1e-30)
    assert kernel_distance(np.diag([1.0, 0.0]), np.diag([0.0, 2.0])) == pytest.approx(1)


def test_small_distances_keep_their_digits():
    """One minus a cosine would leave nothing of 1e-18."""
    K = np.eye(2)
    L = np.array([[1.0, 1e-9], [1e-9, 1.0]])
    assert kernel_distance(K, L) == pytest.approx(0.5e-18, rel=1e-3)


def test_examples_in_another_order_are_as_far_apart():
    order = np.random.default_rng(1).permutation(6)
    K, L = kernel(2), kernel(3)
    turned = [matrix[np.ix_(order, order)] for matrix in (K, L)]
    assert kernel_distance(*turned) == pytest.approx(kernel_distance(K, L), abs=1e-14)


@pytest.mark.parametrize("bad", [np.zeros((6, 6)), np.full((6, 6), np.nan), np.full((6, 6), np.inf)])
def test_what_is_no_kernel_has_no_distance(bad):
    assert np.isnan(kernel_distance(kernel(0), bad))
