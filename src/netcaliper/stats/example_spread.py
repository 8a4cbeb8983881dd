r"""Do two groups of seeds get different examples right, or do single examples only look different by chance?

Of every example i, p_Ai is the share of the group's networks that get it right. Their differences spread even between
two groups of the same kind, since few networks estimate p badly. With x_a the right answers (0, 1) of network a, less
their mean over examples, and ``<x, y> = mean_i x_i y_i``::

    observed    Var_i(p_A - p_B)
    systematic  mean_{a != a'} <x_a, x_a'> + mean_{b != b'} <x_b, x_b'> - 2 mean_{a, b} <x_a, x_b>
    chance      observed - systematic
              = sum over groups of mean_i p_i (1 - p_i) / (n - 1)  -  s^2 / n

where s^2 is the unbiased variance over networks of their accuracies. The first term is the usual plug-in; the second,
small one is what moves all examples of a network together, which a variance over examples does not see. No network
meets itself in ``systematic``: it is an unbiased estimate of ``Var_i`` of the differences of the true p_i, however the
answers of one network hang together. It can therefore be negative.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int

RESAMPLES = 2000

LEVEL = 0.95

SPLITS = 200
"""Random halves of a group."""

FEWEST = 5
"""Networks of a group below which resampling networks says little of what other networks would give."""


@dataclass(frozen=True)
class Spread:
    """How per-example accuracies of two groups differ; all are standard deviations over examples, as shares.

    Attributes:
        observed: of ``p_A - p_B``.
        chance: what seeds alone give, analytic.
        split_half: what random halves of one group give, scaled from the sizes of the halves to those of the groups;
            of the first group and of the second.
        systematic: root of observed variance minus chance variance, negative (minus the root) if that is.
        low: lower end of the 95 % percentile interval of ``systematic`` over resampled networks; NaN with fewer than
            5 networks in a group.
        high: its upper end.
    """

    observed: float
    chance: float
    split_half: tuple[float, float]
    systematic: float
    low: float
    high: float


def example_spread(
    first: Bool[np.ndarray, "networks1 examples"], second: Bool[np.ndarray, "networks2 examples"], *, seed: int
) -> Spread:
    """Compare two groups.

    Args:
        first: which examples each network of the first group gets right, at least two networks.
        second: the same of the second group.
        seed: of the halves and of the resamples.
    """
    rng = np.random.default_rng([seed % 2**64, len(first), len(second)])
    groups = [_centered(first), _centered(second)]
    observed = float(np.var(first.mean(0) - second.mean(0)))
    chance = sum(_noise(group) / len(group) for group in groups)
    scale = 1 / len(first) + 1 / len(second)
    low, high = _interval(groups[0], groups[1], rng)
    return Spread(
        observed=math.sqrt(observed),
        chance=math.sqrt(chance),
        split_half=(_split_half(groups[0], scale, rng), _split_half(groups[1], scale, rng)),
        systematic=float(_signed_root(np.array(observed - chance))),
        low=low,
        high=high,
    )


def _centered(right: Bool[np.ndarray, "networks examples"]) -> Float64[np.ndarray, "networks examples"]:
    """Return the x of the equations, over the root of the examples: inner products are then means."""
    return (right - right.mean(1, keepdims=True)) / math.sqrt(right.shape[1])


def _noise(group: Float64[np.ndarray, "networks examples"]) -> float:
    """Return ``mean_i n p_i (1 - p_i) / (n - 1) - s^2``: what one network adds, unbiased; exactly 0 for equal ones."""
    return float(((group - group[0]).var(0, ddof=1)).sum())


def _split_half(group: Float64[np.ndarray, "networks examples"], scale: float, rng: np.random.Generator) -> float:
    """Return the root mean square over random halves of what they differ by, for groups with ``sum 1/n = scale``."""
    networks, half = len(group), len(group) // 2
    order = rng.permuted(np.tile(np.arange(networks), (SPLITS, 1)), axis=1)
    weights = np.where(order < half, 1 / half, -1 / (networks - half))
    squares = np.square(weights @ (group - group[0])).sum(1)  # exactly 0 for equal networks
    return math.sqrt(float(squares.mean()) * scale / (1 / half + 1 / (networks - half)))


def _interval(
    first: Float64[np.ndarray, "networks1 examples"],
    second: Float64[np.ndarray, "networks2 examples"],
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return the percentile interval of the signed root of ``systematic``.

    A network that is drawn twice does not meet itself: resamples would otherwise lie too high by all of ``chance``.
    """
    if min(len(first), len(second)) < FEWEST:
        return math.nan, math.nan
    drawn = [rng.multinomial(len(group), np.full(len(group), 1 / len(group)), RESAMPLES) for group in (first, second)]
    across = np.einsum("ra,ab,rb->r", drawn[0], first @ second.T, drawn[1], optimize=True) / (len(first) * len(second))
    systematic = _meetings(first, drawn[0]) + _meetings(second, drawn[1]) - 2 * across
    low, high = np.nanquantile(systematic, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(_signed_root(low)), float(_signed_root(high))


def _meetings(
    group: Float64[np.ndarray, "networks examples"], drawn: Int[np.ndarray, "resamples networks"]
) -> Float64[np.ndarray, " resamples"]:
    """Return ``mean_{a != a'} <x_a, x_a'>`` of resamples; NaN for one that only holds one network."""
    gram = group @ group.T
    pairs = np.square(drawn.sum(1)) - np.square(drawn).sum(1)
    met = np.einsum("ra,ab,rb->r", drawn, gram, drawn, optimize=True) - np.square(drawn) @ gram.diagonal()
    return np.divide(met, pairs, out=np.full(len(drawn), np.nan), where=pairs > 0)


def _signed_root(variance: Float64[np.ndarray, ""] | np.float64) -> Float64[np.ndarray, ""] | np.float64:
    return np.sign(variance) * np.sqrt(np.abs(variance))
