from itertools import pairwise

import numpy as np
import pytest

from netcaliper.stats.curve_gap import curve_gap


def slow_gap(first, second):
    """Walk over ten places and look for the segment around each, by hand."""

    def at(points, place):
        points = sorted(points)
        for (a, u), (b, v) in pairwise(points):
            if a <= place <= b:
                return u + (v - u) * (place - a) / (b - a)
        return points[0][1]

    low = max(min(a for a, _ in first), min(a for a, _ in second))
    high = min(max(a for a, _ in first), max(a for a, _ in second))
    places = [low + (high - low) * k / 9 for k in range(10)]
    return sum(at(first, place) - at(second, place) for place in places) / 10


def test_a_planted_shift_is_the_gap():
    x, other = np.array([0.1, 0.9, 0.4]), np.array([0.2, 0.7])
    assert curve_gap(x, 2 * x + 0.03, other, 2 * other) == pytest.approx(0.03)
    assert curve_gap(other, 2 * other, x, 2 * x + 0.03) == pytest.approx(-0.03)


def test_the_gap_is_that_of_a_slow_walk():
    generator = np.random.default_rng(1)
    for _ in range(20):
        first, second = generator.random((5, 2)), generator.random((7, 2))
        assert curve_gap(*first.T, *second.T) == pytest.approx(slow_gap(first.tolist(), second.tolist()), abs=1e-12)


def test_points_with_one_x_count_as_their_mean():
    x, y = np.array([0.0, 0.0, 1.0]), np.array([1.0, 3.0, 2.0])
    assert curve_gap(x, y, np.array([0.0, 1.0]), np.zeros(2)) == pytest.approx(2.0)


def test_curves_that_share_nothing_have_no_gap():
    one = np.array([0.0, 1.0])
    assert curve_gap(one, one, one + 2, one) is None
    assert curve_gap(one, np.array([0.0, np.nan]), one, one) is None
    assert curve_gap(np.zeros(0), np.zeros(0), one, one) is None
    assert curve_gap(one, one, one + 1, np.zeros(2)) == pytest.approx(1.0)  # they touch in one place
