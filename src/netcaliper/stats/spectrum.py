"""How many principal components carry a layer: the redundant share, by default and to the letter of the paper.

Source: Casper et al., "Frivolous Units", AAAI 2021, and the function ``get_compressability95`` of its code.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Float64

DROPPED_VARIANCE = 0.05


def spectrum(matrix: Float[np.ndarray, "n n"]) -> Float64[np.ndarray, " n"]:
    """Return the eigenvalues of a covariance or correlation, descending; rounding below zero is cut off."""
    if len(matrix) == 0:
        return np.zeros(0)
    return np.maximum(np.linalg.eigvalsh(matrix)[::-1], 0.0)


def components_for(eigenvalues: Float[np.ndarray, " n"], share: float = 1 - DROPPED_VARIANCE) -> int:
    """Return k95: how many of the largest eigenvalues carry at least ``share`` of the variance (0 if all are 0)."""
    total = eigenvalues.sum()
    if not total > 0:
        return 0
    carried = np.cumsum(eigenvalues) / total
    # an equal share can fall short by rounding, as in nineteen of twenty equal eigenvalues
    return int(np.argmax(carried >= share - len(eigenvalues) * np.finfo(np.float64).eps)) + 1


def redundant_share(eigenvalues: Float[np.ndarray, " n"], units: int | None = None) -> float:
    """Return ``(n - k95) / n``: the share of principal components that 95 % of the variance does not need.

    A layer without variance is redundant altogether.

    Args:
        eigenvalues: descending.
        units: n, when degenerate units were left out of the spectrum.
    """
    units = len(eigenvalues) if units is None else units
    return (units - components_for(eigenvalues)) / units


def smooth_redundant_share(eigenvalues: Float[np.ndarray, " n"], units: int | None = None) -> float:
    """Return the redundant share with a fractional k95, for intervals.

    A jackknife needs a statistic that moves with the data; the count k95 mostly stays and would give an interval of no
    width. Between two counts the share of variance is taken to grow linearly.

    Args:
        eigenvalues: descending.
        units: n, when degenerate units were left out of the spectrum.
    """
    units = len(eigenvalues) if units is None else units
    total = eigenvalues.sum()
    if not total > 0:
        return 1.0
    carried = np.concatenate([[0.0], np.cumsum(eigenvalues) / total])
    return 1 - float(np.interp(1 - DROPPED_VARIANCE, carried, np.arange(len(carried)))) / units


def paper_redundant_share(covariance: Float[np.ndarray, "n n"]) -> float:
    """Return the redundant share as published, quirks included.

    ``r = k / n`` with k the smallest number of *smallest* eigenvalues of the covariance (not standardized; NaN set to
    0) whose share of the total variance *exceeds* .05. The eigenvalue that crosses .05 is counted, so that k is one
    more than ``n - k95``; for a layer without variance 0 / 0 = NaN stops the count at k = 1.
    """
    ascending = np.linalg.eigvalsh(np.nan_to_num(covariance, nan=0.0))
    total = ascending.sum()
    units = len(ascending)
    if not total > 0:
        return 1 / units
    exceeds = np.cumsum(ascending) / total > DROPPED_VARIANCE
    return (int(np.argmax(exceeds)) + 1) / units


def paper_network_share(shares: Sequence[float], factor: float, largest_factor: float) -> float:
    """Return the paper's network value: unweighted mean over hidden layers of ``r * factor / largest_factor``."""
    return float(np.mean(shares)) * factor / largest_factor


def paper_growth(values: Sequence[float], doublings: int | None = None) -> float:
    """Return the growth factor g: the mean of ``P(2w) / P(w)`` over successive doublings of the width.

    Zeros give no ratio and are skipped, as in the paper; without any ratio g is NaN. g > 2 means faster than the width.

    Args:
        values: width-normalized values at widths w, 2w, 4w, ...
        doublings: use only the last so many (the paper: 3 for redundancy, all for prunability).
    """
    if doublings is not None:
        values = values[-(doublings + 1) :]
    ratios = [after / before for before, after in pairwise(values) if before and after]
    return float(np.mean(ratios)) if ratios else math.nan
