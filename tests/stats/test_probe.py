"""Linear probes from Gram matrices, against logistic regression on the features."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from netcaliper.errors import DataError, InputError
from netcaliper.stats.intervals import clopper_pearson
from netcaliper.stats.probe import ONE_CLASS, answers, coordinates, fitted, probe, saturation, split


def layer(n: int = 240, p: int = 40, classes: int = 4, signal: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=n)
    means = rng.standard_normal((classes, p))
    return (rng.standard_normal((n, p)) + signal * means[labels]) * np.arange(1, p + 1) ** -0.5 + 5, labels


def gram(x: np.ndarray) -> torch.Tensor:
    xc = torch.from_numpy(x - x.mean(0))
    return xc @ xc.T


def on_features(x: np.ndarray, labels: np.ndarray, fit: np.ndarray, penalty: float) -> LogisticRegression:
    """Fit the same classifier on features; their scale is that of the fit examples."""
    model = LogisticRegression(C=1 / (penalty * len(fit)), tol=1e-9, max_iter=20000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # past the tolerance that floating point can meet
        return model.fit(scaled(x, fit)[fit], labels[fit])


def scaled(x: np.ndarray, fit: np.ndarray) -> np.ndarray:
    centered = x - x[fit].mean(0)
    return centered / np.sqrt(np.square(centered[fit]).sum(1).mean())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("p", "signal"), [(5, 0.7), (40, 0.5), (600, 0.3)])
def test_it_is_logistic_regression_on_the_features(dtype: torch.dtype, p: int, signal: float) -> None:
    x, labels = layer(p=p, signal=signal)
    parts = split(len(x), seed=0)
    fit, _, test = coordinates(gram(x).to(dtype), parts)
    weights = None
    for penalty in (1e-1, 1e-2, 1e-3, 1e-4):
        weights = fitted(fit, labels[parts.fit], 4, penalty, weights)
        expected = on_features(x, labels, parts.fit, penalty).predict_proba(scaled(x, parts.fit)[parts.test])
        assert softmax(answers(test, weights), axis=1) == pytest.approx(expected, abs=1e-4)


def test_the_whole_probe_is_the_search_done_on_features() -> None:
    x, labels = layer(signal=0.35)
    parts = split(len(x), seed=1)
    penalties = (1e-1, 1e-2, 1e-3)
    found = probe(gram(x), labels, parts, penalties)
    z = scaled(x, parts.fit)
    models = [on_features(x, labels, parts.fit, penalty) for penalty in penalties]
    scores = [float(model.score(z[parts.select], labels[parts.select])) for model in models]
    best = int(np.argmax(scores))  # the first: the largest penalty of equally good ones
    right = np.asarray(models[best].predict(z[parts.test]) == labels[parts.test])
    assert found.penalty == penalties[best]
    assert found.select_accuracy == pytest.approx(scores[best])
    assert np.array_equal(found.right, right)
    assert found.accuracy == pytest.approx(right.mean())
    assert (found.low, found.high) == clopper_pearson(int(right.sum()), len(right))
    assert found.missing == ()


def test_rotation_scale_and_shift_change_nothing() -> None:
    x, labels = layer()
    parts = split(len(x), seed=0)
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((40, 40)))[0]
    moved = 1e3 * x @ rotation - 70
    first = probe(gram(x), labels, parts)
    for other in (gram(moved), torch.from_numpy(moved @ moved.T)):
        second = probe(other, labels, parts)
        assert (second.penalty, second.accuracy) == (first.penalty, first.accuracy)


def test_held_out_examples_leave_no_trace_in_the_fit() -> None:
    x, labels = layer()
    parts = split(len(x), seed=0)
    other = x.copy()
    other[parts.test[1:]] += 50 * np.random.default_rng(1).standard_normal(other[parts.test[1:]].shape)
    relabeled = labels.copy()
    relabeled[parts.test[1:]] = 0
    one, two = probe(gram(x), labels, parts), probe(gram(other), relabeled, parts)
    assert (one.penalty, one.select_accuracy, one.right[0]) == (two.penalty, two.select_accuracy, two.right[0])


def test_what_is_not_there_is_not_found_and_what_is_is() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(5, size=600)
    parts = split(600, seed=0)
    noise = rng.standard_normal((600, 100))
    blind = probe(gram(noise), labels, parts)
    assert blind.low <= 0.2 <= blind.high
    seeing = probe(gram(noise + 8 * np.eye(100)[labels]), labels, parts)
    assert seeing.accuracy > 0.98


def test_a_signal_in_a_small_direction_is_found_beside_a_dominant_one() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=500)
    x = rng.standard_normal((500, 20))
    x[:, 0] *= 100
    x[:, 1] = 6 * labels + rng.standard_normal(500)
    assert probe(gram(x).float(), labels, split(500, seed=0)).accuracy > 0.95


def test_classes_without_a_fit_example_are_named_and_wrong() -> None:
    x, labels = layer(signal=3.0)
    parts = split(len(x), seed=0)
    labels[parts.fit] = np.where(labels[parts.fit] == 2, 3, labels[parts.fit])
    found = probe(gram(x), labels, parts)
    assert found.missing == (2,)
    assert found.reason is None
    assert not found.right[labels[parts.test] == 2].any()
    assert found.right[labels[parts.test] < 2].mean() > 0.9


def test_gaps_are_named() -> None:
    x, labels = layer()
    parts = split(len(x), seed=0)
    same = x.copy()
    same[parts.fit] = 1.0
    for K, y, reason in [
        (torch.zeros(240, 240), labels, "constant: all held"),
        (gram(same).float(), labels, "constant: all fit"),
        (gram(x) * float("nan"), labels, "not finite"),
        (gram(x), np.zeros(240, dtype=np.int64), ONE_CLASS),
    ]:
        found = probe(K, y, parts)
        assert found.reason is not None
        assert found.reason.startswith(reason)
        assert np.isnan([found.accuracy, found.low, found.high]).all()
        assert found.penalty is None


def test_parts_are_disjoint_drawn_by_seed_and_checked() -> None:
    parts = split(101, seed=3)
    every = np.concatenate([parts.fit, parts.select, parts.test])
    assert sorted(every.tolist()) == list(range(101))
    assert np.array_equal(parts.fit, split(101, seed=3).fit)
    assert not np.array_equal(parts.fit, split(101, seed=4).fit)
    x, labels = layer(101)
    with pytest.raises(DataError, match="disjoint"):
        probe(gram(x), labels, replace(parts, test=parts.fit))
    with pytest.raises(DataError, match="disjoint"):
        probe(gram(x[:50]), labels[:50], parts)
    with pytest.raises(DataError, match="one to select"):
        probe(gram(x), labels, replace(parts, select=parts.select[:0]))
    with pytest.raises(DataError, match="at least 20"):
        split(19, seed=0)


@pytest.mark.parametrize("penalties", [(), (0.0,), (float("inf"),)])
def test_penalties_are_checked(penalties: tuple[float, ...]) -> None:
    x, labels = layer()
    with pytest.raises(InputError, match="`penalties` must be positive"):
        probe(gram(x), labels, split(len(x), seed=0), penalties)


@pytest.mark.parametrize(
    ("accuracy", "first"),
    [
        ([0.1, 0.5, 0.78, 0.8, 0.79], 2),  # one standard error of 0.8 on 300 is .023
        ([0.1, 0.5, 0.77, 0.8, 0.79], 3),
        ([np.nan, 0.8, 0.3], 1),
        ([0.9, 1.0, 1.0], 1),
        ([np.nan, np.nan], None),
    ],
)
def test_saturation(accuracy: list[float], first: int | None) -> None:
    assert saturation(np.array(accuracy), 300) == first
