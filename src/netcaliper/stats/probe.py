"""Linear probes: how well a linear classifier on a layer tells the classes, from the layer's Gram matrix.

Multinomial logistic regression with bias and L2 penalty, on m fit examples x_i with classes y_i::

    minimize  1/m sum_i CE(W^T x_i + b, y_i) + penalty / 2 ||W||^2        the bias is free

W lies in the span of the fit examples, so that coordinates in an orthonormal basis of it say all: with
``K_fit = U Lam U^T`` (centered on the fit examples, which moves b only) they are ``U Lam^1/2``, and
``K_other,fit U Lam^-1/2`` for other examples. All of a layer is divided by one number, so that the mean squared norm of
its fit examples is 1; a penalty then means the same for every layer.

Three disjoint sets: the classifier is fit on the first, the penalty chosen on the second, the accuracy measured on the
third. It differs from the probes of Nguyen, Raghu and Kornblith (ICLR 2021), which run stochastic gradient descent on
augmented images without penalty and keep the best test accuracy over epochs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from scipy.optimize import minimize
from scipy.special import softmax
from torch import Tensor

from netcaliper.errors import DataError, InputError
from netcaliper.stats.held_gram import FEWEST, centered, gap, spanned
from netcaliper.stats.intervals import clopper_pearson

PENALTIES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)

FIT, SELECT = 0.5, 0.2
"""Shares of the held examples; the rest is held out."""

STEPS = 500

GRADIENT = 1e-6
"""Largest entry of the scaled gradient at which the fit stops."""

ONE_CLASS = "the fit examples are all of one class"


@dataclass(frozen=True)
class Parts:
    """Positions in the held sample, disjoint.

    Attributes:
        fit: the classifier is fit on these.
        select: the penalty is chosen on these.
        test: the accuracy is measured on these.
    """

    fit: Int64[np.ndarray, " fit"]
    select: Int64[np.ndarray, " select"]
    test: Int64[np.ndarray, " test"]


@dataclass(frozen=True)
class Probe:
    """What a linear classifier gets out of a layer.

    Attributes:
        accuracy: on the held-out examples; NaN for a gap.
        low, high: its 95 % Clopper-Pearson interval, over held-out examples, the classifier being what it is.
        penalty: the chosen one; ``None`` for a gap.
        select_accuracy: with it on the select examples, for which it is the best of all penalties: biased upward.
        right: which of the held-out examples it gets right, to compare layers example by example.
        missing: classes without a fit example: never answered, all their examples are wrong.
        reason: why nothing can be said, in words.
    """

    accuracy: float
    low: float
    high: float
    penalty: float | None
    select_accuracy: float
    right: Bool[np.ndarray, " test"]
    missing: tuple[int, ...]
    reason: str | None = None


def split(n: int, *, seed: int) -> Parts:
    """Draw the three parts of n held examples: half to fit, a fifth to select, the rest held out.

    Raises:
        DataError: there are fewer than 20 examples.
    """
    if n < 20:
        raise DataError(f"`n` must be at least 20 for a probe with three disjoint parts, got {n}; hold more examples.")
    order = np.random.default_rng([seed % 2**64, n]).permutation(n)
    fit, select = round(FIT * n), round((FIT + SELECT) * n)
    return Parts(*(np.sort(part).astype(np.int64) for part in np.split(order, [fit, select])))


def probe(
    gram: Float[Tensor, "n n"], labels: Int[np.ndarray, " n"], parts: Parts, penalties: Sequence[float] = PENALTIES
) -> Probe:
    """Fit linear classifiers on a layer and return how the chosen one does on held-out examples.

    The penalty with the most right select examples is chosen, the largest of equally good ones.

    Args:
        gram: ``K = X X^T`` of all held examples, centered or not.
        labels: their classes, from 0.
        parts: which example is for what.
        penalties: to choose from.

    Raises:
        InputError: there is no penalty, or one that is not positive.
        DataError: the parts overlap or are too small; see also ``held_gram.gap``.
    """
    if not penalties or not all(0 < penalty < math.inf for penalty in penalties):
        raise InputError(f"`penalties` must be positive, at least one, got {tuple(penalties)}.")
    _check(parts, len(gram))
    classes, target = np.unique(labels[parts.fit], return_inverse=True)
    missing = tuple(np.setdiff1d(labels, classes).tolist())
    reason = gap(gram)
    if reason is None and gap(gram[parts.fit][:, parts.fit]) is not None:
        reason = "constant: all fit examples give the same activations"
    if reason is None and len(classes) < 2:
        reason = ONE_CLASS
    if reason is not None:
        wrong = np.zeros(len(parts.test), dtype=bool)
        return Probe(math.nan, math.nan, math.nan, None, math.nan, wrong, missing, reason)

    fit, select, test = coordinates(gram, parts)
    best, weights = None, None
    for penalty in sorted(penalties, reverse=True):  # from stiff to loose, each fit starting from the one before
        weights = fitted(fit, target, len(classes), penalty, weights)
        right = classes[answers(select, weights).argmax(1)] == labels[parts.select]
        if best is None or right.mean() > best[0]:
            best = right.mean(), penalty, classes[answers(test, weights).argmax(1)] == labels[parts.test]
    assert best is not None
    select_accuracy, penalty, right = best
    low, high = clopper_pearson(int(right.sum()), len(right))
    return Probe(float(right.mean()), low, high, penalty, float(select_accuracy), right, missing)


def _check(parts: Parts, n: int) -> None:
    """Refuse parts that overlap, or with too few examples."""
    every = np.concatenate([parts.fit, parts.select, parts.test])
    if len(np.unique(every)) < len(every) or every.min(initial=0) < 0 or every.max(initial=0) >= n:
        raise DataError(f"`parts` must be disjoint positions in 0..{n - 1}; draw them with `split`.")
    sizes = len(parts.fit), len(parts.select), len(parts.test)
    if sizes[0] < FEWEST or not all(sizes):
        raise DataError(
            f"`parts` must have at least {FEWEST} examples to fit and one to select and to test, got {sizes}; hold "
            "more examples."
        )


def coordinates(gram: Float[Tensor, "n n"], parts: Parts) -> tuple[Float64[np.ndarray, "_ rank"], ...]:
    """Return fit, select and test examples in an orthonormal basis of the span of the fit examples.

    Centered on the fit examples and scaled to a mean squared norm of 1 of theirs. Directions that carry less than the
    rounding of the Gram matrix are left out.
    """
    inner = centered(gram).cpu().numpy()
    mean = inner[:, parts.fit].mean(1)
    inner = inner[:, parts.fit] - mean[:, None] - mean[parts.fit] + mean[parts.fit].mean()
    own = torch.from_numpy(inner[parts.fit])
    values, vectors = (found.numpy() for found in spanned(own, gram.dtype))
    scale = math.sqrt(values.sum() / len(own))
    basis = vectors / (np.sqrt(values) * scale)
    return tuple(inner[part] @ basis for part in (parts.fit, parts.select, parts.test))


def answers(
    points: Float64[np.ndarray, "points rank"], weights: Float64[np.ndarray, "rank_1 classes"]
) -> Float64[np.ndarray, "points classes"]:
    """Return the logits; the last row of the weights is the bias."""
    return points @ weights[:-1] + weights[-1]


def fitted(
    points: Float64[np.ndarray, "m rank"],
    target: Int[np.ndarray, " m"],
    classes: int,
    penalty: float,
    start: Float64[np.ndarray, "rank_1 classes"] | None = None,
) -> Float64[np.ndarray, "rank_1 classes"]:
    """Return the weights of the logistic regression, the bias last, by L-BFGS.

    Every weight is measured in units of one over the root of the objective's curvature along it where the fit starts,
    ``E[p_c (1 - p_c) x_j^2] + penalty``. All directions are then about alike, and few steps are enough whatever the
    spectrum of the layer.

    Args:
        points: coordinates of the fit examples.
        target: their classes, 0 to ``classes - 1``.
        classes: number of classes.
        penalty: of the squared norm of the weights.
        start: weights to start from.
    """
    m, rank = points.shape
    extended = np.column_stack([points, np.ones(m)])
    penalties = np.append(np.full(rank, penalty), 0.0)[:, None]
    if start is None:
        start = np.zeros((rank + 1, classes))
    probability = softmax(extended @ start, axis=1)
    # some curvature for the bias of a class that is told apart without any doubt, and that has no penalty
    curvature = np.maximum(np.square(extended).T @ (probability * (1 - probability)) / m, penalty) + penalties
    units = 1 / np.sqrt(curvature)
    hot = np.zeros((m, classes))
    hot[np.arange(m), target] = 1.0

    def objective(flat: Float64[np.ndarray, " _"]) -> tuple[float, Float64[np.ndarray, " _"]]:
        weights = flat.reshape(-1, classes) * units
        logits = extended @ weights
        logits -= logits.max(1, keepdims=True)
        exponential = np.exp(logits)
        total = exponential.sum(1, keepdims=True)
        loss = (np.log(total).sum() - np.sum(logits * hot)) / m + np.sum(penalties * weights * weights) / 2
        gradient = extended.T @ ((exponential / total - hot) / m) + penalties * weights
        return float(loss), (gradient * units).ravel()

    # ftol 0: the gradient alone says when to stop; maxcor: steps that are remembered
    options = {"maxiter": STEPS, "gtol": GRADIENT, "ftol": 0.0, "maxcor": 20}
    found = minimize(objective, (start / units).ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(-1, classes) * units


def saturation(accuracy: Float[np.ndarray, " layers"], n_test: int) -> int | None:
    """Return the first layer whose held-out accuracy is within one standard error of the best; ``None`` without any.

    The standard error is ``sqrt(p (1 - p) / n)`` at the best accuracy p: none if p is 1.

    Args:
        accuracy: by layer, NaN for gaps.
        n_test: number of held-out examples.
    """
    if np.isnan(accuracy).all():
        return None
    best = float(np.nanmax(accuracy))
    enough = best - math.sqrt(best * (1 - best) / n_test)
    return int(np.flatnonzero(accuracy >= enough - 1e-12)[0])
