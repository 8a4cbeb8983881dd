"""Ablation curves: from the agreement at growing shares of ablated units to one share with its intervals.

A curve gives the agreement y_k with the untouched network when a share a_k of the units is ablated, on a fixed grid
``a_k = k / (levels - 1)``, and one curve for each order of the units. Its share is where it first falls below the
threshold.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy.stats import t

STEPS = 12
"""Steps of the grid ``k / 12``: 13 points."""

PERMUTATIONS = 8

PAPER_STEPS, PAPER_PERMUTATIONS = 6, 3
"""Of "Frivolous Units" (Casper et al. 2021): 7 points, 3 permutations."""

RESAMPLES = 1000

WEIGHTS_AT_ONCE = 2**22
"""Numbers of resampling weights that are held at a time."""


@dataclass(frozen=True)
class Sums:
    """By example, what an agreement is made of: ``agreement = (sum scale - sum loss) / sum scale``.

    For a classification the loss is 1 where the prediction changed and the scale is 1; for tokens the share of an
    example's tokens that changed; for a regression ``|y - y0|^2`` and ``|y0 - mean|^2``.

    Attributes:
        loss: by permutation, level and example.
        scale: by example.
    """

    loss: Float64[np.ndarray, "permutations levels examples"]
    scale: Float64[np.ndarray, " examples"]

    def agreement(self) -> Float64[np.ndarray, "permutations levels"]:
        """Return the curves."""
        whole = self.scale.sum()
        return (whole - self.loss.sum(-1)) / whole


def first_crossing(
    curves: Float[np.ndarray, "*curves levels"], threshold: float
) -> tuple[Float64[np.ndarray, "*curves"], Bool[np.ndarray, "*curves"]]:
    """Return where curves first fall below the threshold.

    With the first k for which ``y_k >= T`` and ``y_{k+1} < T``, between the two on a straight line::

        p = a_k + (T - y_k) (a_{k+1} - a_k) / (y_{k+1} - y_k)

    Args:
        curves: agreement on the grid ``k / (levels - 1)``, from nothing to everything ablated.
        threshold: T.

    Returns:
        p, and whether a curve is *censored*: it never falls below T, and p is 1.
    """
    steps = curves.shape[-1] - 1
    down = (curves[..., :-1] >= threshold) & (curves[..., 1:] < threshold)
    k = down.argmax(-1)
    censored = ~down.any(-1)
    before, after = (np.take_along_axis(curves, (k + i)[..., None], -1)[..., 0] for i in (0, 1))
    drop = np.where(censored, -1.0, after - before)
    share = np.where(censored, 1.0, (k + (threshold - before) / drop) / steps)
    return share, np.asarray(censored)


def t_interval(values: Float[np.ndarray, " n"], *, level: float = 0.95) -> tuple[float, float] | None:
    """Return ``mean -+ t_{n-1} sd / sqrt(n)``, cut to [0, 1]; ``None`` with fewer than two values.

    Equal values give an interval of exactly no width.
    """
    count = len(values)
    if count < 2:
        return None
    shifted = values - values[0]
    mean = float(values[0] + shifted.mean())
    half = float(t.ppf((1 + level) / 2, count - 1) * shifted.std(ddof=1) / np.sqrt(count))
    return max(mean - half, 0.0), min(mean + half, 1.0)


def bootstrap(
    sums: Sums, threshold: float, *, seed: int, paper: bool = False, resamples: int = RESAMPLES, level: float = 0.95
) -> tuple[float, float]:
    """Return the percentile interval of the share over resampled examples; the orders of the units stay.

    Args:
        sums: by example.
        threshold: T.
        seed: of the resamples.
        paper: take the largest share over permutations, not their mean.
        resamples: number of resamples.
        level: two-sided confidence.
    """
    permutations, levels, examples = sums.loss.shape
    loss = sums.loss.reshape(-1, examples).T
    rng = np.random.default_rng([seed % 2**64, examples])
    chunk = max(1, WEIGHTS_AT_ONCE // examples)
    shares = []
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = rng.integers(examples, size=(rows, examples)) + examples * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * examples).reshape(rows, examples).astype(np.float64)
        scale = (weights @ sums.scale)[:, None]
        agreement = np.ones((rows, loss.shape[1]))  # a resample without any scale has no loss that could be judged
        np.divide(scale - weights @ loss, scale, out=agreement, where=scale > 0)
        share, _ = first_crossing(agreement.reshape(rows, permutations, levels), threshold)
        shares.append(over_permutations(share, paper=paper))
    low, high = np.quantile(np.concatenate(shares), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def over_permutations(
    shares: Float64[np.ndarray, "*batch permutations"], *, paper: bool = False
) -> Float64[np.ndarray, "*batch"] | np.floating:
    """Return the mean over permutations; in paper mode the largest, which is biased upward."""
    if paper:
        return shares.max(-1)
    first = shares[..., :1]
    return first[..., 0] + (shares - first).mean(-1)
