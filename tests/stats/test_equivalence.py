import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import t, ttest_ind

from netcaliper.stats.equivalence import LEVEL, MARGIN, equivalence

POINTS = st.lists(st.integers(0, 400).map(lambda n: 90 + n / 100), min_size=2, max_size=8).map(np.array)


@given(POINTS, POINTS)
def test_it_is_two_welch_tests_against_the_margins(first, second):
    assume(np.ptp(first) or np.ptp(second))
    found = equivalence(first, second)
    assert found is not None
    variances = [one.var(ddof=1) / len(one) for one in (first, second)]
    error = np.sqrt(sum(variances))
    freedom = error**4 / sum(v**2 / (len(one) - 1) for v, one in zip(variances, (first, second), strict=True))
    gap = first.mean() - second.mean()
    above, below = t.sf((gap + MARGIN) / error, freedom), t.cdf((gap - MARGIN) / error, freedom)
    assert found.p == pytest.approx(max(above, below), abs=1e-9)
    half = t.ppf(1 - LEVEL, freedom) * error
    assert (found.low, found.high) == pytest.approx((gap - half, gap + half), abs=1e-9)
    if abs(found.p - LEVEL) > 1e-9:
        assert found.equivalent == (found.low > -MARGIN and found.high < MARGIN)


def test_few_noisy_networks_are_neither_different_nor_equivalent():
    first, second = np.array([90.0, 93.0, 91.0]), np.array([91.0, 92.5, 90.0])
    found = equivalence(first, second)
    assert found is not None
    assert np.asarray(ttest_ind(first, second, equal_var=False))[1] > 0.5
    assert not found.equivalent


def test_planted_means():
    rng = np.random.default_rng(0)
    base = rng.normal(92, 0.5, (2, 30))
    for gap, equivalent in ((0.0, True), (0.3, True), (1.5, False), (-1.5, False)):
        found = equivalence(base[0], base[1] + gap)
        assert found is not None
        assert found.equivalent == equivalent


def test_the_level_holds_at_the_margin():
    rng = np.random.default_rng(1)
    found = [equivalence(rng.normal(0, 0.5, 10), rng.normal(MARGIN, 1.0, 15)) for _ in range(2000)]
    assert np.mean([one is not None and one.equivalent for one in found]) == pytest.approx(LEVEL, abs=0.015)


def test_without_any_spread_nothing_is_judged():
    assert equivalence(np.full(4, 91.3), np.full(3, 91.3)) is None
    assert equivalence(np.full(4, 0.1 * 3), np.full(3, 99.0)) is None
    one_sided = equivalence(np.full(20, 91.3), 91.3 + 0.1 * np.array([-1.0, 1.0] * 10))
    assert one_sided is not None
    assert one_sided.equivalent
