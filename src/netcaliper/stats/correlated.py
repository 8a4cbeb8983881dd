"""How correlated pairs of units are: neighbors of each unit, and the distribution over pairs.

Source: Casper et al., "Frivolous Units", AAAI 2021, and arXiv 1912.04783 v1 and v2 ("repeated units").
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

NEIGHBOR = 0.5
"""|r| from which on two units are neighbors."""

COPY = 0.99999
"""|r| from which on the distribution leaves a pair out as a copy."""

BINS = 20


@dataclass(frozen=True)
class Correlated:
    """Correlations of the pairs of units.

    Attributes:
        neighbors: for every unit the number of other units with ``|r| >= .5``, copies included.
        pairs: number of pairs, each counted once, with |r| in (k/20, (k+1)/20] (the first bin has |r| = 0 too);
            copies, ``|r| >= .99999``, are left out.
        mean: mean |r| over these pairs, ``None`` if there are none.
    """

    neighbors: Int[np.ndarray, " n"]
    pairs: Int[np.ndarray, " bins"]
    mean: float | None


def correlated(correlation: Float64[np.ndarray, "n n"]) -> Correlated:
    """Count neighbors and pairs.

    Args:
        correlation: of the units that vary, unit diagonal.
    """
    units = len(correlation)
    edges = np.arange(1, BINS) / BINS
    neighbors, pairs, total = np.zeros(units, dtype=np.int64), np.zeros(BINS, dtype=np.int64), 0.0
    for unit in range(units):  # by rows: nothing of the size of the matrix is held
        later = np.abs(correlation[unit, unit + 1 :])
        near = later >= NEIGHBOR
        neighbors[unit] += np.count_nonzero(near)
        neighbors[unit + 1 :] += near
        counted = later[later < COPY]
        pairs += np.bincount(np.searchsorted(edges, counted, side="left"), minlength=BINS)
        total += float(counted.sum())
    count = int(pairs.sum())
    return Correlated(neighbors, pairs, total / count if count else None)
