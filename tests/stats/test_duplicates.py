import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.stats.duplicates import duplicate_of


@given(st.integers(0, 999), st.integers(1, 8), st.integers(0, 12))
def test_copies_up_to_scale_and_shift_point_at_the_first(seed, originals, copies):
    rng = np.random.default_rng(seed)
    source = np.concatenate([np.arange(originals), rng.integers(0, originals, copies)])
    source = source[rng.permutation(len(source))]
    x = rng.normal(size=(200, originals))[:, source]
    x = x * rng.choice([-1, 1], len(source)) * 10 ** rng.uniform(-3, 3, len(source)) + rng.normal(size=len(source))
    correlation = np.atleast_2d(np.corrcoef(x, rowvar=False))
    first = np.array([np.flatnonzero(source == s)[0] for s in source])
    assert np.array_equal(duplicate_of(correlation), np.where(first == np.arange(len(source)), -1, first))


def test_near_copies_count_only_within_the_tolerance():
    correlation = np.array([[1, 0.9999994], [0.9999994, 1]])
    assert duplicate_of(correlation).tolist() == [-1, -1]
    assert duplicate_of(correlation, tolerance=2e-6).tolist() == [-1, 0]


def test_a_chain_is_broken_where_the_representative_is_too_far():
    near = np.sqrt(1 - 0.9e-6)
    correlation = np.array([[1, near, 0.99999], [near, 1, near], [0.99999, near, 1]])
    assert duplicate_of(correlation).tolist() == [-1, 0, -1]
