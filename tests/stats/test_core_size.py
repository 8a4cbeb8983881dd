import numpy as np
import pytest

from netcaliper.stats.core_size import core_size
from netcaliper.stats.intervals import jackknife


def slow_core(size, quality, least):
    """Go down in tiny steps until the first place that is not good enough."""
    order = np.argsort(size)
    x, y = np.asarray(size)[order], np.asarray(quality)[order]
    last = None
    for place in np.linspace(x[-1], x[0], 20_001):
        if np.interp(place, x, y) < least:
            return last
        last = place
    return last


def test_the_core_of_a_planted_ramp_lies_where_it_crosses():
    size = np.linspace(0, 1, 11)
    quality = np.minimum(0.9, 0.5 + size)  # falls below 0.89 at 0.39, between the points 0.4 and 0.3
    assert core_size(size, quality, 0.9, 0.01) == pytest.approx(0.39)


def test_the_core_is_that_of_a_slow_walk():
    generator = np.random.default_rng(2)
    found = 0
    for _ in range(30):
        size, quality = generator.uniform(0, 1, 8), generator.uniform(0, 1, 8)
        slow = slow_core(size, quality, 0.5)
        fast = core_size(size, quality, 0.6, 0.1)
        assert (fast is None) == (slow is None)
        if slow is not None:
            found += 1
            assert fast == pytest.approx(slow, abs=2e-4)
    assert found > 5


def test_what_is_good_again_behind_the_first_fall_does_not_count():
    assert core_size(np.array([4.0, 3, 2, 1]), np.array([1.0, 1, 0, 1]), 1.0, 0.5) == pytest.approx(2.5)


def test_a_curve_that_never_falls_has_its_least_size_and_one_that_starts_below_none():
    size = np.array([3.0, 1.0, 2.0])
    assert core_size(size, np.ones(3), 1.0, 0.01) == 1.0
    assert core_size(size, np.array([0.5, 1, 1]), 1.0, 0.01) is None
    assert core_size(size, np.array([1, np.nan, 1]), 1.0, 0.01) is None
    assert core_size(np.zeros(0), np.zeros(0), 1.0, 0.01) is None


def test_points_of_one_size_count_as_their_mean():
    assert core_size(np.array([2.0, 2, 1]), np.array([0.8, 1.2, 0.0]), 1.0, 0.5) == pytest.approx(1.5)


@pytest.mark.parametrize("seeds", [3, 8])
def test_the_jackknife_over_seeds_covers_the_core_of_the_noise_free_curve(seeds):
    generator = np.random.default_rng(7)
    size = np.array([1, 0.8, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1])
    truth = np.where(size < 0.35, 0.9 - 0.4 * (0.35 - size), 0.9)

    def core(rows):
        found = core_size(size, rows.mean(0), float(rows.mean(0)[0]), 0.01)
        assert found is not None
        return found

    draws, inside = 250, 0
    for _ in range(draws):
        # a seed is good or bad as a whole, and a little at every point
        rows = truth + generator.normal(0, 0.01, (seeds, 1)) + generator.normal(0, 0.002, (seeds, len(size)))
        left = np.array([core(np.delete(rows, seed, 0)) for seed in range(seeds)])
        found = jackknife(core(rows), left, bounds=(-np.inf, np.inf))
        assert found is not None
        inside += found[0] <= core(truth[None]) <= found[1]
    assert 0.91 <= inside / draws <= 0.99
