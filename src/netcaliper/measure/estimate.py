"""What a measurement will cost, before it runs: passes, operations, and memory against a limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from netcaliper.errors import InputError
from netcaliper.feed.dry_run import DryRun
from netcaliper.measure.consumer_input import ConsumerInput
from netcaliper.measure.network_run import NetworkRun
from netcaliper.measure.redundant import FOLDED_UNITS, accumulated
from netcaliper.stats.sampling import FOLDS

WORKSPACE = 4
"""Square matrices of its width that judging one site, or one consumer input, holds besides its moments."""

_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Estimate:
    """Cost of a run.

    Attributes:
        passes: forward passes of all the data through the whole network.
        macs: multiply-accumulates of running them.
        statistics: multiply-accumulates of the covariances, factorizations and eliminations.
        memory: bytes beside the model, by what they hold; they do not depend on the number of examples.
        widest: the site or consumer whose covariances are the largest, in words; empty if none are taken.
        ablated: number of examples on which units are taken away, 0 for none.
    """

    passes: float
    macs: int
    statistics: int
    memory: dict[str, int]
    widest: str
    ablated: int

    @property
    def bytes(self) -> int:
        """All of the memory."""
        return sum(self.memory.values())

    def __str__(self) -> str:
        """Say it in one line."""
        ablated = f", units taken away on {self.ablated:,} examples" if self.ablated else ""
        return (
            f"{self.passes:.1f} forward passes of the data, {(self.macs + self.statistics) / 1e9:,.1f} GMAC, "
            f"{_size(self.bytes)} beside the model{ablated}"
        )

    def check(self, limit: int) -> None:
        """Refuse a run that would take more memory than there is.

        Raises:
            InputError: the estimate is above ``limit`` bytes; the message says what takes it and what to reduce.
        """
        if self.bytes <= limit:
            return
        parts = ", ".join(f"{what} {_size(size)}" for what, size in self.memory.items() if size)
        widest = f"; the widest is {self.widest}" if self.widest else ""
        raise InputError(
            f"`memory` must hold what the run takes beside the model, about {_size(self.bytes)} ({parts}{widest}), got "
            f"{_size(limit)}; read fewer sites (`sites`), leave out `redundant` and `needed` (`skip`), give smaller "
            "batches, go without the twin (`twin=False`), or allow more (`memory`)."
        )


def estimate(
    runs: Sequence[NetworkRun], dry: DryRun, batch: int, *, twin_passes: float = 0.0, twin: bool = False
) -> Estimate:
    """Estimate the cost of reading some networks one after the other.

    Args:
        runs: what is going to be read of each.
        dry: of the first network, with the shapes of its sites and of what their consumers read.
        batch: examples a batch.
        twin_passes: forward passes that it takes to make the twin.
        twin: whether a twin's weights are held too.
    """
    passes = sum(run.passes() for run in runs) + twin_passes
    covariances = [_covariances(run, dry) for run in runs]
    held = max(_held(run, dry) for run in runs)
    memory, widest = max(
        (_memory(run, taken) for run, taken in zip(runs, covariances, strict=True)), key=lambda m: m[0]
    )
    statistics = sum(_work(run, taken) for run, taken in zip(runs, covariances, strict=True))
    return Estimate(
        passes,
        int(passes * runs[0].plan.examples * dry.macs),
        statistics,
        {
            "covariances": memory,
            "rows that may not be enough": held,
            "values of a batch": dry.held * batch,
            "the twin": dry.weights if twin else 0,
        },
        widest,
        sum(run.ablated_examples for run in runs if run.ablated_sites),
    )


def available_memory(device: torch.device, processes: int = 1) -> int | None:
    """Return the bytes that are free on a device, ``None`` where that cannot be told.

    Args:
        device: where the run computes.
        processes: that share the memory of this machine.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu" or not _MEMINFO.is_file():
        return None
    facts = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if ":" in line)
    return int(facts["MemAvailable"].split()[0]) * 1024 // processes if "MemAvailable" in facts else None


@dataclass(frozen=True)
class _Taken:
    """One covariance that is going to be taken: of a site's units, or of what a consumer reads."""

    name: str
    width: int
    copies: int


def _covariances(run: NetworkRun, dry: DryRun) -> list[_Taken]:
    """Return the covariances that are taken, leaving out those for which there are too few rows."""
    taken = []
    if any(m.name == "redundant" for m in run.measures):
        for site in run.sites:
            if accumulated(run.plan, site.units, site.rows(dry.shapes[site.node], dry.examples).shape[1]):
                folds = FOLDS if site.units <= FOLDED_UNITS else 1
                taken.append(_Taken(f"{site.name} ({site.units:,} units)", site.units, 1 + folds))
    for source, rows in _inputs(run, dry):
        if rows > source.columns + 1:
            taken.append(_Taken(f"the input of {source.node.name} ({source.columns:,} columns)", source.columns, 1))
    return taken


def _held(run: NetworkRun, dry: DryRun) -> int:
    """Return the bytes of rows of consumers that wait until they are enough, where lengths differ between batches."""
    total = 0
    for source, rows in _inputs(run, dry):
        varies = run.graph.padding.varies(source.source, source.column_axis, source.batch_axis)
        if varies and rows <= source.columns + 1:
            total += rows * source.columns * dry.shapes[source.source].element_size()
    return total


def _inputs(run: NetworkRun, dry: DryRun) -> list[tuple[ConsumerInput, int]]:
    """Return what consumers read, each layout once, with the rows that are expected of it."""
    layouts = {} if run.needed is None else {source.layout: source for source in run.needed.inputs.values()}
    return [
        (source, run.plan.expected_rows(source.columns, source.width(dry.shapes[source.source], dry.examples)))
        for source in layouts.values()
    ]


def _memory(run: NetworkRun, taken: Sequence[_Taken]) -> tuple[int, str]:
    """Return the bytes of all states and of judging the widest, and what that is."""
    states = sum(8 * (7 * FOLDS + 4) * site.units for site in run.sites)
    # a covariance holds its scatter, and rows that wait to be multiplied
    states += sum(8 * one.copies * one.width * (one.width + max(one.width, 512)) for one in taken)
    widest = max(taken, key=lambda one: one.width, default=None)
    return (states, "") if widest is None else (states + WORKSPACE * 8 * widest.width**2, widest.name)


def _work(run: NetworkRun, taken: Sequence[_Taken]) -> int:
    """Return the multiply-accumulates of accumulating and judging."""
    return sum(2 * run.plan.row_cap(one.width) * one.width**2 + 12 * one.copies * one.width**3 for one in taken)


def _size(count: int) -> str:
    """Return a number of bytes in the unit that fits it."""
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"
