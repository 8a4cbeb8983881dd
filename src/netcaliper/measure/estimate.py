"""What a static measurement will cost, before it runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from netcaliper.measure.protocol import Plan
from netcaliper.measure.redundant import FOLDED_UNITS
from netcaliper.stats.sampling import FOLDS
from netcaliper.trace.site import Site


@dataclass(frozen=True)
class Estimate:
    """Cost of a run.

    Attributes:
        examples: number of examples that are run through the network (calibrate and select).
        passes: that as a share of all examples.
        macs: multiply-accumulates of running them.
        statistics: multiply-accumulates of the covariances and factorizations.
        memory: bytes of all states; it does not depend on the number of examples.
    """

    examples: int
    passes: float
    macs: int
    statistics: int
    memory: int

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.examples:,} examples ({self.passes:.2f} forward passes, "
            f"{(self.macs + self.statistics) / 1e9:,.1f} GMAC), states of {self.memory / 2**20:,.1f} MiB"
        )


def estimate(sites: Sequence[Site], plan: Plan, macs_of_example: int) -> Estimate:
    """Estimate the cost of all static measures at these sites.

    Args:
        sites: the sites that are read.
        plan: what is read of the data.
        macs_of_example: multiply-accumulates of one forward pass of one example.
    """
    examples = plan.sizes["calibrate"] + plan.sizes["select"]
    statistics = memory = 0
    for site in sites:
        n = site.units
        covariances = 1 + (FOLDS if n <= FOLDED_UNITS else 1)
        statistics += 3 * plan.row_cap(n) * n**2 // 2 + 12 * n**3 * (FOLDS if n <= FOLDED_UNITS else 1)
        memory += 8 * (covariances * n * (n + max(n, 512)) + (7 * FOLDS + 4) * n)
    return Estimate(examples, examples / plan.examples, macs_of_example * examples, statistics, memory)
