import math

import numpy as np
import pytest
from scipy.stats import linregress

from netcaliper.stats.growth import doubling_slope, growth_slope


@pytest.mark.parametrize("s", [-1.5, 0.0, 0.7, 1.0, 2.3])
def test_a_planted_power_law_gives_its_exponent(s):
    width = np.array([0.25, 0.5, 1, 2, 4])
    assert growth_slope(width, 37 * width**s) == pytest.approx(s, abs=1e-12)


def test_growth_is_the_least_squares_slope_of_logarithms():
    generator = np.random.default_rng(0)
    for _ in range(20):
        size = generator.uniform(0.1, 50, 7)
        values = generator.uniform(0.01, 9, 7)
        oracle = linregress([math.log(one, 2) for one in size], [math.log(one, 2) for one in values])[0]
        assert growth_slope(size, values) == pytest.approx(oracle, rel=1e-10)


def test_a_doubling_adds_the_slope():
    width = np.array([1.0, 2, 4, 8, 2, 4])
    assert doubling_slope(width, 3 + 0.25 * np.log2(width)) == pytest.approx(0.25)
    assert doubling_slope(width, np.array([0.0, 1, 2, 3, 1, 2]) * -2.0) == pytest.approx(-2)


def test_no_logarithm_of_zero_is_ever_taken():
    width = np.array([1.0, 2, 4])
    with np.errstate(all="raise"):
        for values in ([0.0, 1, 2], [-1.0, 1, 2], [np.nan, 1, 2], [np.inf, 1, 2]):
            assert growth_slope(width, np.array(values)) is None
        assert doubling_slope(np.array([0.0, 1, 2]), np.ones(3)) is None
        assert doubling_slope(np.array([np.nan, 1, 2]), np.ones(3)) is None


def test_one_size_has_no_slope():
    assert doubling_slope(np.array([3.0, 3, 3]), np.array([1.0, 2, 3])) is None
    assert growth_slope(np.array([3.0]), np.array([1.0])) is None
