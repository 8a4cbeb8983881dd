import numpy as np
import pytest
from scipy.stats import ttest_1samp

from netcaliper.stats.repetitions import BOOTSTRAP_FROM, mean_interval


def test_few_repetitions_have_the_t_interval():
    values = np.array([0.3, 0.9, 0.4, 0.65])
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_from_eight_on_it_is_the_expanded_percentile_bootstrap():
    values = np.random.default_rng(3).exponential(size=BOOTSTRAP_FROM)
    slow = np.random.default_rng(4)
    means = [np.mean([values[slow.integers(len(values))] for _ in values]) for _ in range(8000)]
    found = mean_interval(values)
    assert found == pytest.approx(tuple(np.percentile(means, [0.574, 99.426])), abs=0.06)
    assert mean_interval(values) == found
    assert mean_interval(values[::-1]) == found  # whoever comes first


def test_equal_values_have_an_interval_of_no_width():
    assert mean_interval(np.full(3, 0.1)) == (0.1, 0.1)
    assert mean_interval(np.full(9, 0.1)) == (0.1, 0.1)


def test_one_repetition_and_gaps_have_none():
    assert mean_interval(np.array([1.0])) is None
    assert mean_interval(np.array([1.0, np.nan, 2.0])) is None


@pytest.mark.parametrize(("count", "least", "most"), [(3, 0.92, 0.98), (5, 0.92, 0.98), (8, 0.915, 0.98)])
def test_the_interval_covers_the_mean_as_often_as_is_said(count, least, most):
    generator = np.random.default_rng(5)
    draws = 500
    inside = 0
    for _ in range(draws):
        found = mean_interval(generator.normal(1.0, 0.2, count))
        assert found is not None
        inside += found[0] <= 1.0 <= found[1]
    assert least <= inside / draws <= most
