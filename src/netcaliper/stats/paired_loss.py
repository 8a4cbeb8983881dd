"""How much of a score a change may cost: one-sided bounds of a paired mean loss, example by example."""

from dataclasses import dataclass
from math import log, log1p

import numpy as np
from jaxtyping import Float64
from scipy.optimize import root_scalar

from netcaliper.stats.intervals import clopper_pearson_lower, clopper_pearson_upper, fewest_trials

LEVEL = 0.95


@dataclass(frozen=True)
class Loss:
    """A mean loss with its bounds.

    Attributes:
        value: ``mean(before - after)``.
        low: lower bound, one-sided.
        high: upper bound, one-sided.
    """

    value: float
    low: float
    high: float


def paired_loss(
    before: Float64[np.ndarray, " examples"],
    after: Float64[np.ndarray, " examples"],
    *,
    binary: bool,
    gains: bool,
    level: float = LEVEL,
) -> Loss:
    """Return the mean loss of a score in [0, 1] and its two one-sided bounds, valid for any number of examples.

    With ``l = max(before - after, 0)`` and ``g = max(after - before, 0)`` the loss is ``mean l - mean g``; its upper
    bound is the upper bound of ``E l`` minus the lower bound of ``E g``, each at ``1 - (1 - level) / 2``, since either
    may fail (Bonferroni). Where a gain is impossible, ``E l`` has the whole level.

    Args:
        before: scores of the examples.
        after: scores of the same examples after the change.
        binary: scores are 0 or 1 by construction; then bounds are those of Clopper and Pearson (1934), else those of
            Hoeffding (1963, theorem 1).
        gains: whether a score can rise at all; ``False`` where ``before`` is 1 by construction.
        level: one-sided confidence of either bound.

    Raises:
        ValueError: there is no example.
    """
    lost, gained = np.maximum(before - after, 0.0), np.maximum(after - before, 0.0)
    part = (1 + level) / 2 if gains else level
    low, high = _bounds(lost, binary, part)
    if gains:
        rise_low, rise_high = _bounds(gained, binary, part)
        low, high = low - rise_high, high - rise_low
    return Loss(float(lost.mean() - gained.mean()), low, high)


def fewest_examples(margin: float, *, gains: bool, level: float = LEVEL) -> int:
    """Return the fewest examples with which no loss at all shows that the loss is at most ``margin``.

    Args:
        margin: in (0, 1).
        gains: as in ``paired_loss``.
        level: one-sided confidence.
    """
    return fewest_trials(1 - margin, level=(1 + level) / 2 if gains else level)


def _bounds(values: Float64[np.ndarray, " examples"], binary: bool, level: float) -> tuple[float, float]:
    """Return one-sided bounds of the mean of values in [0, 1]."""
    count = len(values)
    if count == 0:
        raise ValueError("`values` must hold at least one example, got none")
    if binary:
        ones = int(values.sum())
        return clopper_pearson_lower(ones, count, level=level), clopper_pearson_upper(ones, count, level=level)
    mean = float(values.mean())
    return 1 - _hoeffding_upper(1 - mean, count, level), _hoeffding_upper(mean, count, level)


def _hoeffding_upper(mean: float, count: int, level: float) -> float:
    """Return the largest p that ``P(mean of n <= m) <= exp(-n kl(m, p))`` does not exclude (Hoeffding 1963).

    ``kl(m, p) = m log(m / p) + (1 - m) log((1 - m) / (1 - p))``; for m = 0 it is the bound of zero events.
    """
    allowed = -log1p(-level) / count
    if mean >= 1:
        return 1.0

    def excess(p: float) -> float:
        rest = (1 - mean) * (log1p(-mean) - log1p(-p))
        return (mean * log(mean / p) if mean > 0 else 0.0) + rest - allowed

    top = float(np.nextafter(1.0, 0.0))
    if excess(top) <= 0:
        return 1.0
    return float(root_scalar(excess, bracket=(max(mean, float(np.finfo(float).tiny)), top), xtol=1e-12).root)
