"""Bounds of a paired loss against closed forms, brute-force tails and simulated coverage."""

from math import comb

import numpy as np
import pytest

from netcaliper.stats.paired_loss import fewest_examples, paired_loss


def test_the_value_is_the_mean_difference() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.random(200), rng.random(200)
    loss = paired_loss(before, after, binary=False, gains=True)
    assert loss.value == pytest.approx(np.mean(before - after), abs=1e-12)
    assert loss.low < loss.value < loss.high


@pytest.mark.parametrize(("count", "lost"), [(50, 0), (50, 3), (400, 17)])
def test_without_gains_the_binary_bound_is_the_largest_rate_not_excluded(count: int, lost: int) -> None:
    after = np.ones(count)
    after[:lost] = 0
    high = paired_loss(np.ones(count), after, binary=True, gains=False).high
    tail = sum(comb(count, k) * high**k * (1 - high) ** (count - k) for k in range(lost + 1))
    assert tail == pytest.approx(0.05, rel=1e-9)


@pytest.mark.parametrize("binary", [True, False])
def test_no_loss_at_all_still_allows_the_rate_of_zero_events(binary: bool) -> None:
    same = np.ones(80)
    loss = paired_loss(same, same, binary=binary, gains=False)
    assert (loss.value, loss.low) == (0.0, 0.0)
    assert loss.high == pytest.approx(1 - 0.05 ** (1 / 80), rel=1e-9)


@pytest.mark.parametrize("gains", [True, False])
def test_fewest_examples_is_where_no_loss_first_shows_the_margin(gains: bool) -> None:
    needed = fewest_examples(0.01, gains=gains)
    assert needed == (368 if gains else 299)
    bounds = [paired_loss(np.ones(n), np.ones(n), binary=True, gains=gains).high for n in (needed - 1, needed)]
    # a network with gains that are none has room below zero in its lower bound only
    assert bounds[0] > 0.01 >= bounds[1]


def test_hoeffding_is_wider_than_the_exact_bound_of_the_same_zeros_and_ones() -> None:
    after = np.r_[np.zeros(10), np.ones(190)]
    exact = paired_loss(np.ones(200), after, binary=True, gains=False)
    general = paired_loss(np.ones(200), after, binary=False, gains=False)
    assert general.low < exact.low < exact.value < exact.high < general.high


def test_everything_lost() -> None:
    loss = paired_loss(np.ones(30), np.zeros(30), binary=False, gains=False)
    assert (loss.value, loss.high) == (1.0, 1.0)
    assert loss.low == pytest.approx(0.05 ** (1 / 30), rel=1e-9)


@pytest.mark.parametrize("binary", [True, False])
def test_the_bound_covers_in_at_least_95_percent_of_simulations(binary: bool) -> None:
    rng = np.random.default_rng(1)
    covered, runs, count = 0, 1000, 150
    for _ in range(runs):
        if binary:  # right before and after: lost with .08, gained with .05
            kind = rng.choice(4, size=count, p=[0.08, 0.05, 0.6, 0.27])
            before, after = np.isin(kind, [0, 2]).astype(float), np.isin(kind, [1, 2]).astype(float)
            true = 0.03
        else:
            before, after = np.ones(count), rng.beta(9, 1, size=count)
            true = 0.1
        covered += paired_loss(before, after, binary=binary, gains=binary).high >= true
    assert covered >= 0.95 * runs


def test_nothing_to_judge_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one example"):
        paired_loss(np.zeros(0), np.zeros(0), binary=True, gains=False)
