"""Dominant examples: the few that carry the first principal component of a layer.

Source: Nguyen, Raghu and Kornblith, arXiv 2202.07184: layers of one block structure share their first component, which
lies on few examples of large norm; other seeds have other such examples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int, Int64
from scipy.stats import hypergeom

from netcaliper.errors import InputError

SHARE = 0.01

FEWEST = 4


@dataclass(frozen=True)
class Dominating:
    """The dominant examples of a layer.

    Attributes:
        examples: their positions in the held sample, most dominant first.
        share: of the examples that was asked for.
        weight: ``sum u_1^2`` over them: how much of the first component lies on them (their number / n by chance).
        variance: ``sum K_ii / trace K`` over them: how much of the layer's variance lies on them.
    """

    examples: Int64[np.ndarray, " m"]
    share: float
    weight: float
    variance: float


def count_of(n: int, share: float = SHARE) -> int:
    """Return how many of n examples count as dominant: ``share``, rounded up, at least 4.

    Raises:
        InputError: the share is not in (0, 1), or that would be all examples.
    """
    if not 0 < share < 1:
        raise InputError(f"`share` must lie in (0, 1), got {share}; the default is {SHARE}.")
    count = max(FEWEST, math.ceil(share * n - 1e-9))  # 1e-9: .07 * 100 is more than 7 in floating point
    if count >= n:
        raise InputError(f"`share` must leave some of the examples, got {count} of {n}; hold more examples.")
    return count


def dominant(
    first: Float64[np.ndarray, " n"], variances: Float64[np.ndarray, " n"], share: float = SHARE
) -> Dominating | None:
    """Return the examples with the largest ``u_1^2``, equal ones in their order; ``None`` for a gap.

    Args:
        first: u_1 of the layer, NaN for a gap.
        variances: the diagonal of its centered Gram matrix: squared norms of the centered examples.
        share: of the examples that counts as dominant.
    """
    count = count_of(len(first), share)
    if not (np.isfinite(first).all() and np.isfinite(variances).all()):
        return None
    weights = first**2
    examples = np.argsort(-weights, kind="stable")[:count].astype(np.int64)
    return Dominating(
        examples, share, float(weights[examples].sum()), float(variances[examples].sum() / variances.sum())
    )


def jaccard(sets: Sequence[Int[np.ndarray, " _"] | None]) -> Float64[np.ndarray, "sets sets"]:
    """Return ``|A and B| / |A or B|`` for every two sets of examples (of layers, or of seeds); NaN for gaps."""
    overlap = np.full((len(sets), len(sets)), math.nan)
    members = [None if examples is None else frozenset(examples.tolist()) for examples in sets]
    for i, a in enumerate(members):
        for j, b in enumerate(members[: i + 1]):
            if a and b:
                overlap[i, j] = overlap[j, i] = len(a & b) / len(a | b)
    return overlap


def stability(sets: Sequence[Int[np.ndarray, " _"] | None]) -> float | None:
    """Return the mean Jaccard overlap of two different ones of the sets; ``None`` with fewer than two that are no gap.

    Beside it belongs ``chance``.
    """
    pairs = jaccard(sets)[np.triu_indices(len(sets), 1)]
    pairs = pairs[~np.isnan(pairs)]
    return float(pairs.mean()) if len(pairs) else None


def chance(n: int, first: int, second: int) -> float:
    """Return the expected Jaccard overlap of two independent random sets: ``E[h / (a + b - h)]``, h hypergeometric.

    Args:
        n: examples.
        first: size a of one set, at least 1.
        second: size b of the other.
    """
    common = np.arange(min(first, second) + 1)
    return float(np.sum(hypergeom.pmf(common, n, first, second) * common / (first + second - common)))


def read_at(shares: Float64[np.ndarray, " layers"], block: tuple[int, int] | None = None) -> int | None:
    """Return the layer that the dominant examples of a network are read at; ``None`` if all layers are gaps.

    Args:
        shares: of variance of the first component, by layer, NaN for gaps.
        block: first and last layer of the block structure, if there is one: its middle then (of two the earlier; a gap
            gives way to the layer next to it), else the layer whose first component has the largest share.
    """
    layers = np.flatnonzero(~np.isnan(shares))
    if block is not None:
        inside = layers[(layers >= block[0]) & (layers <= block[1])]
        if len(inside):
            return int(inside[np.argmin(np.abs(inside - sum(block) / 2))])
    return int(np.nanargmax(shares)) if len(layers) else None
