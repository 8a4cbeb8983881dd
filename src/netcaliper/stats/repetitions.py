"""What a number says that was measured in several repetitions: the mean, and how far off it may be."""

import numpy as np
from jaxtyping import Float
from scipy.stats import bootstrap, norm, t

BOOTSTRAP_FROM = 8
"""With fewer repetitions a bootstrap has too few values to draw from, and a t interval is used."""

RESAMPLES = 9999


def mean_interval(values: Float[np.ndarray, " n"], *, level: float = 0.95) -> tuple[float, float] | None:
    """Return the interval of the mean over repetitions: Student's t, a percentile bootstrap from 8 of them.

    ``mean +- t_{n-1} sd / sqrt(n)``, exact for normal values. The bootstrap draws n of n repetitions 9,999 times from a
    fixed seed and follows skewed values. Its percentiles are moved outward, from alpha/2 to
    ``Phi(-sqrt(n / (n - 1)) t_{n-1, 1 - alpha/2})``: plain ones cover only 89 % for eight normal values (Hesterberg,
    "What Teachers Should Know About the Bootstrap", 2015, the expanded percentile interval).

    Args:
        values: one a repetition; their order does not matter.
        level: two-sided confidence.

    Returns:
        ``(low, high)``, or ``None`` with fewer than two repetitions or with a gap.
    """
    count = len(values)
    if count < 2 or not np.all(np.isfinite(values)):
        return None
    values = np.sort(values)
    shifted = values - values[0]  # equal values then give an interval of exactly no width
    if count < BOOTSTRAP_FROM:
        half = float(t.ppf((1 + level) / 2, count - 1) * np.std(shifted, ddof=1) / np.sqrt(count))
        middle = float(np.mean(shifted))
        low, high = middle - half, middle + half
    else:
        tail = norm.cdf(-np.sqrt(count / (count - 1)) * t.ppf((1 + level) / 2, count - 1))
        drawn = bootstrap(
            (shifted,),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=float(1 - 2 * tail),
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        low, high = float(drawn.low), float(drawn.high)
    return float(values[0]) + low, float(values[0]) + high
