"""How a number grows with size: slopes a doubling of size, of the number itself and of its logarithm."""

import numpy as np
from jaxtyping import Float


def doubling_slope(size: Float[np.ndarray, " n"], values: Float[np.ndarray, " n"]) -> float | None:
    """Return the least squares slope of the values on log2(size): what one doubling of size adds.

    Args:
        size: above 0.
        values: one a size; a size may stand several times.

    Returns:
        The slope; ``None`` with fewer than two different sizes, with a size that is not above 0, or with a gap.
    """
    if not (np.all(np.isfinite(size)) and np.all(size > 0) and np.all(np.isfinite(values))):
        return None
    x = np.log2(size)
    if len(np.unique(x)) < 2:
        return None
    centered = x - x.mean()
    return float(centered @ (values - values.mean()) / (centered @ centered))


def growth_slope(size: Float[np.ndarray, " n"], values: Float[np.ndarray, " n"]) -> float | None:
    """Return s, the least squares slope of log2(values) on log2(size): one doubling of size multiplies by g = 2^s.

    g = 2 is growth in step with size, g = 1 none (Casper et al., AAAI 2021, section 4, read factors a doubling).

    Args:
        size: above 0.
        values: above 0, one a size.

    Returns:
        The slope; ``None`` where a value is not above 0 (there is no log 0), and where ``doubling_slope`` has none.
    """
    if not (np.all(np.isfinite(values)) and np.all(values > 0)):
        return None
    return doubling_slope(size, np.log2(values))
