"""Ablation curves, against walking along them step by step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from netcaliper.stats import ablation_curve
from netcaliper.stats.ablation_curve import Sums, bootstrap, first_crossing, over_permutations, t_interval


def walked(curve: np.ndarray, threshold: float) -> float | None:
    """Return where one curve first falls below the threshold, by the published rule."""
    steps = len(curve) - 1
    for k in range(steps):
        if curve[k] >= threshold and curve[k + 1] < threshold:
            return k / steps + (threshold - curve[k]) * (1 / steps) / (curve[k + 1] - curve[k])
    return None


@given(arrays(np.float64, (3, 13), elements=st.integers(0, 20).map(lambda i: i / 20)), st.sampled_from([0.5, 0.8]))
def test_the_first_crossing_is_the_one_met_first(curves: np.ndarray, threshold: float) -> None:
    shares, censored = first_crossing(curves, threshold)
    for curve, share, never in zip(curves, shares, censored, strict=True):
        expected = walked(curve, threshold)
        assert never == (expected is None)
        assert share == pytest.approx(1.0 if expected is None else expected, abs=1e-12)


@pytest.mark.parametrize(
    ("curve", "share"),
    [
        ([1, 0.9, 0.7, 0.4], 1.5 / 3),  # halfway between 1/3 and 2/3
        ([1, 0.8, 0.6, 0.9], 1 / 3),  # exactly the threshold counts as met
        ([1, 0.6, 1.0, 0.6], 0.5 / 3),  # falls, rises, falls: the first time counts
        ([1, 0.9, 0.9, 0.8], 1.0),  # never below
        ([1, 0, 0, 0], 0.2 / 3),
    ],
)
def test_known_curves(curve: list[float], share: float) -> None:
    found, censored = first_crossing(np.array(curve, dtype=float), 0.8)
    assert float(found) == pytest.approx(share, abs=1e-12)
    assert bool(censored) == (share == 1.0)


def test_agreement_is_exact_where_it_is_counted() -> None:
    sums = Sums(np.repeat([0.0, 1.0], [12, 3])[None, None], np.ones(15))
    assert sums.agreement().tolist() == [[12 / 15]]


def test_the_t_interval_is_that_of_scipy_and_has_no_width_for_equal_values() -> None:
    values = np.array([0.3, 0.35, 0.28, 0.4])
    expected = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert t_interval(values) == pytest.approx(expected)
    assert t_interval(np.full(8, 0.1)) == (0.1, 0.1)
    assert t_interval(np.array([0.0, 1.0])) == (0.0, 1.0)  # cut
    assert t_interval(np.array([0.5])) is None


def test_over_permutations_it_is_the_mean_and_in_the_paper_the_largest() -> None:
    shares = np.array([[0.2, 0.4, 0.9], [0.1, 0.1, 0.1]])
    assert over_permutations(shares).tolist() == [0.5, 0.1]
    assert over_permutations(shares, paper=True).tolist() == [0.9, 0.1]


def resampled(sums: Sums, threshold: float, seed: int, resamples: int) -> list[float]:
    """Return the share of every resample, examples drawn and curves walked one by one."""
    permutations, levels, examples = sums.loss.shape
    rng = np.random.default_rng([seed, examples])
    shares = []
    for drawn in rng.integers(examples, size=(resamples, examples)):
        scale = sums.scale[drawn].sum()
        curves = [[(scale - sums.loss[p, k, drawn].sum()) / scale for k in range(levels)] for p in range(permutations)]
        walks = [walked(np.array(curve), threshold) for curve in curves]
        shares.append(float(np.mean([1.0 if walk is None else walk for walk in walks])))
    return shares


def regression(seed: int = 0) -> Sums:
    rng = np.random.default_rng(seed)
    growing = np.cumsum(rng.exponential(0.1, (2, 5, 20)), axis=1)
    growing[:, 0] = 0
    return Sums(growing, rng.exponential(1, 20))


@pytest.mark.parametrize("chunk", [7, 10**6])
def test_the_bootstrap_is_that_of_drawing_examples_one_by_one(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation_curve, "WEIGHTS_AT_ONCE", chunk * 20)
    sums = regression()
    expected = np.quantile(resampled(sums, 0.9, 3, 60), [0.025, 0.975])
    assert bootstrap(sums, 0.9, seed=3, resamples=60) == pytest.approx(expected, abs=1e-12)
    assert bootstrap(sums, 0.9, seed=4, resamples=60) != pytest.approx(expected, abs=1e-12)


def test_resamples_without_any_scale_have_no_loss() -> None:
    scale = np.zeros(14)
    scale[0] = 1.0
    sums = Sums(np.zeros((1, 3, 14)), scale)
    assert bootstrap(sums, 0.9, seed=0) == (1.0, 1.0)


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    probability = np.linspace(0, 1, 13) ** 2 * 0.9  # of a change, by level
    truth, _ = first_crossing(1 - probability, 0.8)
    hits = 0
    for trial in range(60):
        loss = (rng.random((1, 1, 200)) < probability[None, :, None]).astype(float)  # nested, as ablations are
        low, high = bootstrap(Sums(loss, np.ones(200)), 0.8, seed=trial, resamples=300)
        hits += low <= float(truth) <= high
    assert 50 <= hits <= 60  # 57 expected
