"""What a measurement will cost, before it runs."""

from dataclasses import dataclass

from netcaliper.measure.network_run import NetworkRun
from netcaliper.measure.redundant import FOLDED_UNITS
from netcaliper.stats.sampling import FOLDS


@dataclass(frozen=True)
class Estimate:
    """Cost of a run.

    Attributes:
        passes: forward passes of all the data through the whole network.
        macs: multiply-accumulates of running them.
        statistics: multiply-accumulates of the covariances, factorizations and eliminations.
        memory: bytes of all states; it does not depend on the number of examples.
        ablated: number of examples on which units are taken away, 0 for none.
    """

    passes: float
    macs: int
    statistics: int
    memory: int
    ablated: int

    def __str__(self) -> str:
        """Say it in one line."""
        ablated = f", units taken away on {self.ablated:,} examples" if self.ablated else ""
        return (
            f"{self.passes:.1f} forward passes of the data, {(self.macs + self.statistics) / 1e9:,.1f} GMAC, states of "
            f"{self.memory / 2**20:,.1f} MiB{ablated}"
        )


def estimate(runs: list[NetworkRun], twin_passes: float = 0.0) -> Estimate:
    """Estimate the cost of reading some networks one after the other.

    Args:
        runs: what is going to be read of each.
        twin_passes: forward passes that it takes to make the twin.
    """
    passes = sum(run.passes() for run in runs) + twin_passes
    statistics = sum(_statistics(run) for run in runs)
    memory = max(_memory(run) for run in runs)
    macs = int(passes * runs[0].plan.examples * runs[0].macs)
    return Estimate(passes, macs, statistics, memory, sum(run.ablated_examples for run in runs if run.ablated_sites))


def _statistics(run: NetworkRun) -> int:
    total = 0
    for site in run.sites:
        n = site.units
        total += 3 * run.plan.row_cap(n) * n**2 // 2 + 12 * n**3 * (FOLDS if n <= FOLDED_UNITS else 1)
    return total + sum(run.plan.row_cap(d) * d**2 + d**3 for d in _columns(run))


def _memory(run: NetworkRun) -> int:
    total = 0
    for site in run.sites:
        n = site.units
        covariances = 1 + (FOLDS if n <= FOLDED_UNITS else 1)
        total += 8 * (covariances * n * (n + max(n, 512)) + (7 * FOLDS + 4) * n)
    return total + sum(8 * d * (d + max(d, 512)) for d in _columns(run))


def _columns(run: NetworkRun) -> list[int]:
    """Return the widths of the consumer inputs that are accumulated, as far as is known before the run."""
    return [] if run.needed is None else [source.columns for source in run.needed.inputs.values()]
