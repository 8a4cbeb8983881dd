import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, t

from netcaliper.stats.intervals import (
    clopper_pearson,
    clopper_pearson_lower,
    clopper_pearson_upper,
    fewest_trials,
    jackknife,
    zero_event_bound,
)


@given(st.integers(1, 500), st.floats(0, 1))
def test_clopper_pearson_is_the_exact_interval(trials, share):
    successes = round(trials * share)
    exact = binomtest(successes, trials).proportion_ci(0.95, "exact")
    assert clopper_pearson(successes, trials) == pytest.approx((exact.low, exact.high), abs=1e-12)


@given(st.integers(1, 300), st.integers(1, 300))
def test_one_sided_bounds_leave_five_percent(successes, more):
    trials = successes + more
    assert binom.sf(successes - 1, trials, clopper_pearson_lower(successes, trials)) == pytest.approx(0.05)
    assert binom.cdf(successes, trials, clopper_pearson_upper(successes, trials)) == pytest.approx(0.05)


def test_the_ends_of_the_range():
    assert clopper_pearson_lower(0, 10) == 0
    assert clopper_pearson_upper(10, 10) == 1


@given(st.integers(1, 10**7))
def test_no_event_in_n_trials(trials):
    bound = zero_event_bound(trials)
    assert bound == pytest.approx(clopper_pearson_upper(0, trials), rel=1e-9)
    assert bound <= 3 / trials


@given(st.integers(2, 20), st.integers(0, 999))
def test_the_jackknife_of_a_mean_is_the_t_interval(folds, seed):
    x = np.random.default_rng(seed).normal(size=folds)
    left_out = np.array([np.delete(x, i).mean() for i in range(folds)])
    half = t.ppf(0.975, folds - 1) * x.std(ddof=1) / np.sqrt(folds)
    assert jackknife(x.mean(), left_out, bounds=(-100.0, 100.0)) == pytest.approx((x.mean() - half, x.mean() + half))


def test_the_jackknife_is_cut_to_its_bounds_and_says_nothing_without_folds():
    assert jackknife(0.5, np.array([0.1, 0.9])) == (0.0, 1.0)
    assert jackknife(0.3, np.full(10, 0.3)) == (0.3, 0.3)
    assert jackknife(0.5, np.array([0.5])) is None
    assert jackknife(0.5, np.array([0.5, np.nan])) is None


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(ValueError, match="`successes` must lie in"):
        clopper_pearson(successes, trials)


@pytest.mark.parametrize(("bound", "trials"), [(0.5, 5), (0.8, 14), (0.9, 29), (0.97, 99), (0.99, 299)])
def test_the_fewest_trials_are_those_whose_bound_gets_there(bound, trials):
    assert fewest_trials(bound) == trials
    assert clopper_pearson_lower(trials, trials) >= bound > clopper_pearson_lower(trials - 1, trials - 1)
