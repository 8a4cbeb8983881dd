from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest, ttest_ind

from netcaliper.stats import group_difference as module
from netcaliper.stats.group_difference import adjusted, permutation, relabelings, welch

COUNTS = arrays(np.int64, (7, 4), elements=st.integers(0, 5))


def labels(first, second):
    return np.arange(first + second) < first


@given(COUNTS, st.integers(2, 5))
def test_welch_is_that_of_scipy_and_its_gaps_are_named(counts, size):
    inside = labels(size, 7 - size)
    found = welch(counts, np.stack([inside, ~inside]))
    assert np.array_equal(found[0], found[1], equal_nan=True)
    for column, p in zip(counts.T, found[0], strict=True):
        a, b = column[:size], column[size:]
        if np.ptp(column) == 0:
            assert p == 1
        elif np.ptp(a) == np.ptp(b) == 0:
            assert np.isnan(p)
        else:
            zero = a[0] if np.ptp(b) else b[0]  # scipy warns of constant groups unless their values are 0
            assert p == pytest.approx(ttest_ind(a - zero, b - zero, equal_var=False)[1], abs=1e-10)


def test_welch_of_huge_counts_keeps_a_variance_of_zero():
    counts = np.array([[10**7], [10**7], [10**7 + 1], [10**7 + 1]])
    assert np.isnan(welch(counts, labels(2, 2)[None])[0, 0])
    assert welch(counts[[0, 2, 1, 3]], labels(2, 2)[None])[0, 0] == 1


@settings(max_examples=25)
@given(COUNTS, st.integers(1, 6))
def test_permutation_is_the_share_of_all_relabelings_with_half_of_the_ties(counts, size):
    ways = relabelings(labels(size, 7 - size), 0)
    found = permutation(counts, ways)
    for column, p in zip(counts.T, found, strict=True):
        gaps = []
        for chosen in combinations(range(7), size):
            rest = [i for i in range(7) if i not in chosen]
            gaps.append(abs(column[list(chosen)].mean() - column[rest].mean()))
        true = abs(column[:size].mean() - column[size:].mean())
        above, tied = np.array(gaps) > true + 1e-9, np.isclose(gaps, true, rtol=0, atol=1e-9)
        assert p == pytest.approx(above.mean() + tied.mean() / 2, abs=1e-12)
        assert p >= ways.smallest


@pytest.mark.parametrize(("first", "second", "smallest"), [(3, 3, 1 / 20), (2, 3, 1 / 20), (1, 4, 1 / 10)])
def test_the_smallest_p_is_reached_by_the_largest_difference(first, second, smallest):
    ways = relabelings(labels(first, second), 0)
    assert ways.complete
    assert ways.first[0].tolist() == labels(first, second).tolist()
    assert ways.smallest == smallest
    assert permutation(np.where(ways.first[0], 10, 0)[:, None], ways)[0] == pytest.approx(smallest)


def test_many_relabelings_are_drawn_from_the_seed():
    true = np.arange(20) % 2 == 0
    ways = relabelings(true, 3)
    assert not ways.complete
    assert ways.first.shape == (20_000, 20)
    assert (ways.first.sum(1) == 10).all()
    assert np.array_equal(ways.first[0], true)
    assert np.array_equal(ways.first, relabelings(true, 3).first)
    assert not np.array_equal(ways.first, relabelings(true, 4).first)
    assert ways.first[1:].mean(0) == pytest.approx(0.5, abs=0.02)


def test_drawn_and_complete_agree(monkeypatch):
    counts = np.random.default_rng(0).integers(0, 50, (12, 30))
    complete = permutation(counts, relabelings(labels(6, 6), 0))
    monkeypatch.setattr(module, "AT_ONCE", 1000)
    monkeypatch.setattr(module.math, "comb", lambda *_: 10**9)
    drawn = permutation(counts, relabelings(labels(6, 6), 0))
    assert drawn == pytest.approx(complete, abs=0.015)


def test_a_planted_class_is_found_and_the_level_holds():
    rng = np.random.default_rng(0)
    counts = rng.binomial(50, 0.8, (40, 2000))
    counts[:20, 0] = rng.binomial(50, 0.95, 20)
    p = welch(counts, labels(20, 20)[None])[0]
    corrected = adjusted(p)
    assert corrected.holm[0] < 0.001
    assert binomtest(int(np.sum(p[1:] < 0.05)), 1999, 0.05).pvalue > 0.001
    shuffled = permutation(counts[:, :200], relabelings(labels(20, 20), 0))
    assert shuffled[0] == pytest.approx(0.5 / 20_000)
    assert np.mean(np.abs(shuffled - p[:200])) < 0.02


def test_adjusting_by_hand():
    p = np.array([0.01, 0.04, 0.03, 0.5])
    found = adjusted(p)
    assert found.holm == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert found.fdr == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    gap = adjusted(np.array([0.01, np.nan, 0.03, 0.5]))
    assert np.isnan([gap.holm[1], gap.fdr[1]]).all()
    assert gap.holm[[0, 2]] == pytest.approx([0.04, 0.09])
    assert len(adjusted(np.empty(0)).holm) == 0


def test_ties_do_not_make_the_permutation_test_cautious():
    rng = np.random.default_rng(0)
    counts = rng.binomial(30, 0.9, (14, 4000))  # few values: many relabelings tie
    p = permutation(counts, relabelings(labels(7, 7), 0))
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.01)
