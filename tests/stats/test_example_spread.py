from itertools import combinations, product

import numpy as np
import pytest

from netcaliper.stats import example_spread as module
from netcaliper.stats.example_spread import example_spread


def drawn(p, networks, seed):
    return np.random.default_rng(seed).random((networks, len(p))) < p


def squared(value):
    return np.sign(value) * value**2


def test_chance_is_the_plug_in_less_what_moves_all_examples_together():
    first, second = drawn(np.full(40, 0.7), 6, 0), drawn(np.linspace(0, 1, 40), 9, 1)
    found = example_spread(first, second, seed=0)
    expected = 0.0
    for group in (first, second):
        p, n = group.mean(0), len(group)
        expected += np.mean(p * (1 - p)) / (n - 1) - group.mean(1).var(ddof=1) / n
    assert found.chance == pytest.approx(np.sqrt(expected), rel=1e-12)
    assert found.observed == pytest.approx(np.std(first.mean(0) - second.mean(0)), rel=1e-12)
    assert squared(found.systematic) == pytest.approx(found.observed**2 - found.chance**2, rel=1e-12)


def test_systematic_is_unbiased_however_answers_hang_together():
    """All draws of 2 and of 3 networks from small populations, whose answers are anything but independent."""
    rng = np.random.default_rng(0)
    populations = [rng.random((3, 7)) < rng.random((3, 1)), rng.random((2, 7)) < 0.4]
    truth = np.var(populations[0].mean(0) - populations[1].mean(0))
    found = [
        squared(example_spread(populations[0][list(a)], populations[1][list(b)], seed=0).systematic)
        for a in product(range(3), repeat=2)
        for b in product(range(2), repeat=3)
    ]
    assert np.mean(found) == pytest.approx(truth, abs=1e-12)
    assert min(found) < 0  # never cut off


def test_the_split_half_baseline_over_all_halves_is_the_analytic_one():
    group = drawn(np.linspace(0.2, 0.9, 30), 6, 0)
    squares = []
    for half in combinations(range(6), 3):
        rest = [i for i in range(6) if i not in half]
        squares.append(np.var(group[list(half)].mean(0) - group[rest].mean(0)))
    expected = np.sqrt(np.mean(squares) * (1 / 6 + 1 / 6) / (1 / 3 + 1 / 3))
    found = example_spread(group, group, seed=0)
    assert found.chance == pytest.approx(expected, rel=1e-12)
    assert found.split_half == pytest.approx((expected, expected), rel=0.05)


@pytest.mark.parametrize("networks", [(2, 3), (20, 20), (5, 40)])
def test_same_networks_from_two_draws_differ_by_chance_alone(networks):
    p = np.random.default_rng(7).beta(4, 0.5, 4000)
    found = example_spread(drawn(p, networks[0], 1), drawn(p, networks[1], 2), seed=0)
    variance = float(np.mean(p * (1 - p))) * sum(1 / n for n in networks)
    assert found.chance == pytest.approx(np.sqrt(variance), rel=0.05)
    assert found.split_half == pytest.approx((found.chance, found.chance), rel=0.12)
    assert squared(found.systematic) == pytest.approx(0, abs=0.08 * variance)
    if min(networks) >= module.FEWEST:
        assert found.low < 0 < found.high


def test_a_planted_difference_is_recovered():
    rng = np.random.default_rng(0)
    gap = np.where(rng.random(2000) < 0.2, 0.3, 0.0) * rng.choice([-1, 1], 2000)
    found = example_spread(drawn(0.6 + gap / 2, 20, 1), drawn(0.6 - gap / 2, 20, 2), seed=0)
    assert found.systematic == pytest.approx(gap.std(), rel=0.08)
    assert 0 < found.low < gap.std() < found.high
    assert found.observed > 1.2 * found.chance


def test_the_interval_covers_the_truth_at_least_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(module, "RESAMPLES", 300)
    rng = np.random.default_rng(0)
    p = rng.beta(4, 1, 300)
    for size in (0.0, 0.1):
        gap = size * rng.choice([-1, 1], 300)
        low, high = np.clip(p - gap / 2, 0, 1), np.clip(p + gap / 2, 0, 1)
        truth = np.std(low - high)
        covered = []
        for seed in range(150):
            found = example_spread(drawn(low, 10, 2 * seed), drawn(high, 10, 2 * seed + 1), seed=seed)
            covered.append(found.low <= truth <= found.high)
        assert np.mean(covered) > 0.9


def test_equal_networks_spread_by_exactly_nothing():
    group = np.repeat(drawn(np.full(9, 0.5), 1, 0), 6, axis=0)
    found = example_spread(group, group, seed=0)
    assert (found.observed, found.chance, found.systematic, found.split_half) == (0.0, 0.0, 0.0, (0.0, 0.0))
    assert (found.low, found.high) == pytest.approx((0.0, 0.0), abs=1e-7)
    other = ~group
    assert example_spread(group, other, seed=0).chance == 0.0


def test_few_networks_have_no_interval():
    some = drawn(np.full(50, 0.5), 9, 0)
    found = example_spread(some[:4], some[4:], seed=0)
    assert np.isnan([found.low, found.high]).all()
    assert np.isfinite(found.systematic)


def test_everything_follows_from_the_seed():
    some = drawn(np.full(50, 0.5), 20, 0)
    first, again, other = (example_spread(some[:10], some[10:], seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
