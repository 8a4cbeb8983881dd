"""How far one curve lies above another where both were measured."""

import numpy as np
from jaxtyping import Float

POINTS = 10


def curve_gap(
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " n"],
    other_x: Float[np.ndarray, " m"],
    other_y: Float[np.ndarray, " m"],
) -> float | None:
    """Return the mean of (this curve - the other) at ten places of the overlap, linearly interpolated.

    The overlap reaches from the larger of the two least x to the smaller of the two largest; the places are equally
    spaced, both ends among them. Points with one x count as their mean.

    Args:
        x: of the points of this curve, in any order.
        y: of the same points.
        other_x: of the points of the other curve.
        other_y: of the same points.

    Returns:
        The gap; ``None`` where the curves share no x, or have no points or gaps.
    """
    if not len(x) or not len(other_x) or not all(np.all(np.isfinite(one)) for one in (x, y, other_x, other_y)):
        return None
    low, high = max(np.min(x), np.min(other_x)), min(np.max(x), np.max(other_x))
    if low > high:
        return None
    places = np.linspace(low, high, POINTS)
    return float(np.mean(np.interp(places, *_sorted(x, y)) - np.interp(places, *_sorted(other_x, other_y))))


def _sorted(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the points from left to right, those with one x as their mean."""
    places, whose = np.unique(x, return_inverse=True)
    return places, np.bincount(whose, weights=y) / np.bincount(whose)
