"""Equivalence: do two groups of networks have the same mean accuracy, up to a margin that was set beforehand?

That a difference is not significant shows nothing of the kind: few networks make everything insignificant.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from statsmodels.stats.weightstats import CompareMeans, ttost_ind

MARGIN = 1.0
"""Points of a percent within which accuracies count as the same, fixed before any network was looked at."""

LEVEL = 0.05
"""Of each of the two tests."""


@dataclass(frozen=True)
class Equivalence:
    """Welch's two one-sided tests (Schuirmann 1987).

    Attributes:
        difference: mean of the first group minus mean of the second, in points.
        low: lower end of the 90 % Welch interval, which lies within the margin exactly if both tests pass at 5 %.
        high: its upper end.
        p: the larger p value of the two tests.
    """

    difference: float
    low: float
    high: float
    p: float

    @property
    def equivalent(self) -> bool:
        """Whether the means are shown to be closer than the margin."""
        return self.p < LEVEL


def equivalence(
    first: Float[np.ndarray, " networks1"], second: Float[np.ndarray, " networks2"], *, margin: float = MARGIN
) -> Equivalence | None:
    """Test ``|mean1 - mean2| >= margin`` against ``|mean1 - mean2| < margin``.

    Args:
        first: accuracies of at least two networks, in points of a percent.
        second: the same of the second group.
        margin: in points.

    Returns:
        The tests; ``None`` if accuracies vary in neither group, so that there is nothing to judge a difference by.
    """
    if np.ptp(first) == 0 and np.ptp(second) == 0:
        return None
    shift = first[0]  # equal accuracies then have a variance of exactly 0
    moved = first - shift, second - shift
    p = float(ttost_ind(*moved, -margin, margin, usevar="unequal")[0])
    means = CompareMeans.from_data(*moved)
    low, high = means.tconfint_diff(alpha=2 * LEVEL, usevar="unequal")
    return Equivalence(float(moved[0].mean() - moved[1].mean()), float(low), float(high), p)
