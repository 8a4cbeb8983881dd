"""Intervals: what a sample of this size allows to say."""

import math

import numpy as np
from jaxtyping import Float
from scipy.stats import beta, t


def jackknife(
    value: float,
    left_out: Float[np.ndarray, " folds"],
    *,
    level: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> tuple[float, float] | None:
    """Return the delete-one-fold jackknife interval ``value +- t_{g-1} se``.

    ``se^2 = (g - 1) / g * sum_i (theta_i - mean theta)^2`` with theta_i the value without fold i (Efron and Stein
    1981).

    Args:
        value: the statistic on all folds.
        left_out: the statistic without each of the g folds.
        level: two-sided confidence.
        bounds: the interval is cut to these.

    Returns:
        ``(low, high)``, or ``None`` with fewer than two folds or where the statistic is undefined.
    """
    count = len(left_out)
    if count < 2 or not np.isfinite(value) or not np.all(np.isfinite(left_out)):
        return None
    shifted = left_out - left_out[0]  # equal values then give an interval of exactly no width
    error = np.sqrt((count - 1) / count * np.sum((shifted - np.mean(shifted)) ** 2))
    half = float(t.ppf((1 + level) / 2, count - 1) * error)
    return max(value - half, bounds[0]), min(value + half, bounds[1])


def clopper_pearson(successes: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval of a proportion (Clopper and Pearson 1934).

    Args:
        successes: number of successes k.
        trials: number of independent trials n, at least 1.
        level: two-sided confidence.
    """
    tail = (1 - level) / 2
    return clopper_pearson_lower(successes, trials, level=1 - tail), clopper_pearson_upper(
        successes, trials, level=1 - tail
    )


def clopper_pearson_lower(successes: int, trials: int, *, level: float = 0.95) -> float:
    """Return the exact one-sided lower bound: the ``1 - level`` quantile of ``Beta(k, n - k + 1)``, 0 for k = 0."""
    _check(successes, trials)
    return 0.0 if successes == 0 else float(beta.ppf(1 - level, successes, trials - successes + 1))


def fewest_trials(bound: float, *, level: float = 0.95) -> int:
    """Return the smallest n whose lower bound for n successes of n, ``(1 - level)^(1/n)``, is at least ``bound``.

    With fewer trials not even full success shows as much.

    Args:
        bound: in (0, 1).
        level: one-sided confidence.
    """
    return math.ceil(math.log(1 - level) / math.log(bound))


def clopper_pearson_upper(successes: int, trials: int, *, level: float = 0.95) -> float:
    """Return the exact one-sided upper bound: the ``level`` quantile of ``Beta(k + 1, n - k)``, 1 for k = n."""
    _check(successes, trials)
    return 1.0 if successes == trials else float(beta.ppf(level, successes + 1, trials - successes))


def zero_event_bound(trials: int, *, level: float = 0.95) -> float:
    """Return ``1 - (1 - level)^(1/n)``: the rate that n independent trials without any event still allow."""
    _check(0, trials)
    return float(-np.expm1(np.log1p(-level) / trials))


def _check(successes: int, trials: int) -> None:
    """Refuse impossible counts."""
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"`successes` must lie in 0..`trials` and `trials` be at least 1, got {successes} of {trials}")
