"""How small a curve can be followed before it falls: the size of the core.

Source: Mehmeti-Göpel and Disselhoff, ICML 2023: the core is the shortest network without a loss of accuracy.
"""

import numpy as np
from jaxtyping import Float


def core_size(
    size: Float[np.ndarray, " n"], quality: Float[np.ndarray, " n"], reference: float, drop: float
) -> float | None:
    """Return the smallest size down to which a curve, read from the largest, stays above ``reference - drop``.

    Between the last point that is good enough and the first that is not, the curve is a straight line. A point that is
    good again behind the first fall does not count: nothing says that one gets there.

    Args:
        size: of every point, in any order; points of one size count as their mean.
        quality: of every point.
        reference: quality of what nothing was taken from.
        drop: how much of it may be lost.

    Returns:
        The size: the least one if no point falls; ``None`` where already the largest does, or without points.
    """
    if not len(size) or not (np.all(np.isfinite(size)) and np.all(np.isfinite(quality)) and np.isfinite(reference)):
        return None
    places, whose = np.unique(size, return_inverse=True)
    mean = np.bincount(whose, weights=quality) / np.bincount(whose)
    x, y = places[::-1], mean[::-1]
    least = reference - drop
    below = np.flatnonzero(y < least)
    if not len(below):
        return float(x[-1])
    i = int(below[0])
    if i == 0:
        return None
    return float(x[i] + (x[i - 1] - x[i]) * (least - y[i]) / (y[i - 1] - y[i]))
