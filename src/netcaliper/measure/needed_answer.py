"""What is found at one site: the units that its consumers need at tau, and the path of the elimination."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int

from netcaliper.stats.block_elimination import SLACK


@dataclass(frozen=True)
class Needed:
    """How many units of one site its consumers need at tau.

    Attributes:
        site: name of the site.
        units: number of units n.
        tau: share of the variance of each consumer's output that may be lost.
        upper_bound: number of units kept by greedy elimination, an upper bound on the fewest; ``None`` if not judged.
        kept: units that stay.
        order: removed units, first removed first.
        unexplained: by consumer, u after every step.
        final: by consumer, u at ``kept``, from the fitted weights.
        later: units that greedy elimination removes next, as far as was asked.
        later_unexplained: the largest u of a consumer after each of these.
        rows: calibrate rows of the consumer with the fewest.
        reason: why the site was not judged, in words.
        warnings: what makes the count less sure, in words.
    """

    site: str
    units: int
    tau: float
    upper_bound: int | None = None
    kept: Int[np.ndarray, " kept"] | None = None
    order: Int[np.ndarray, " removed"] | None = None
    unexplained: Mapping[str, Float64[np.ndarray, " removed"]] | None = None
    final: Mapping[str, float] | None = None
    later: Int[np.ndarray, " later"] | None = None
    later_unexplained: Float64[np.ndarray, " later"] | None = None
    rows: int = 0
    reason: str | None = None
    warnings: tuple[str, ...] = ()

    def removed(self, tau: float | None = None) -> Bool[np.ndarray, " units"]:
        """Return which units went; at another tau those of the longest start of the path that it allows."""
        gone = np.zeros(self.units, dtype=bool)
        if self.order is None or self.unexplained is None:
            return gone
        if tau is None:
            gone[self.order] = True
            return gone
        assert self.later is not None
        assert self.later_unexplained is not None
        worst = np.max(list(self.unexplained.values()), axis=0)
        worst = np.maximum.accumulate(np.append(worst, self.later_unexplained))
        steps = int(np.searchsorted(worst, tau + SLACK, side="right"))
        gone[np.append(self.order, self.later)[:steps]] = True
        return gone
