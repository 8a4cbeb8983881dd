"""Affine duplicates: units that repeat another unit up to scale and shift."""

import numpy as np
from jaxtyping import Float64, Int

EXACT = 1e-6


def duplicate_of(correlation: Float64[np.ndarray, "n n"], tolerance: float = EXACT) -> Int[np.ndarray, " n"]:
    """Find the units with ``x_j = a x_i + c``, and the unit i that each repeats.

    That is the first i < j that is no duplicate itself and has ``r_ij^2 >= 1 - tolerance``.

    Args:
        correlation: of the units, unit diagonal.
        tolerance: share of the variance that a duplicate may leave unexplained.

    Returns:
        For every unit the index of the unit that it repeats, -1 for none.
    """
    alike = correlation**2 >= 1 - tolerance
    repeats = np.full(len(alike), -1, dtype=np.int64)
    for unit in np.flatnonzero(np.count_nonzero(alike, axis=1) > 1):
        if repeats[unit] < 0:
            later = np.flatnonzero(alike[unit, unit + 1 :]) + unit + 1
            repeats[later[repeats[later] < 0]] = unit
    return repeats
