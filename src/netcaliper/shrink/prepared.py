"""What is known before anything is chosen: the parts of the data, the weighted calls, what can be cut at all."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, get_args

import numpy as np

from netcaliper.errors import CutRefused, InputError
from netcaliper.feed.dry_run import dry_run
from netcaliper.feed.outputs import MAJORITY
from netcaliper.measure.estimate import available_memory
from netcaliper.reading.shrinking import StepKind
from netcaliper.shrink.calls import Call, find_calls
from netcaliper.shrink.exact import Exact, find_exact
from netcaliper.shrink.judge import Judge
from netcaliper.shrink.parts import FITTED, Parts, parts_of
from netcaliper.surgery.cut import cut_checked
from netcaliper.surgery.masking import masked
from netcaliper.trace.batches import first_batch
from netcaliper.trace.graph import Graph
from netcaliper.trace.structure import Dimension

STEPS = get_args(StepKind)

KINDS: Mapping[str, StepKind] = {"inner": "absorb", "stream": "stream", "heads": "heads"}
"""What a step on a dimension is called."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network that is going to be made smaller.

    Attributes:
        graph: the network.
        parts: of the data.
        calls: weighted calls that can be fitted again, in the order of execution.
        uncalled: of the others, by node, why not.
        dimensions: whose units can be cut.
        exact: what the weights prove to be of no use.
        refused: what stays, by name with the reason.
        judge: compares on the select examples.
        warnings: in words.
    """

    graph: Graph
    parts: Parts
    calls: tuple[Call, ...]
    uncalled: Mapping[str, str]
    dimensions: tuple[Dimension, ...]
    exact: Exact
    refused: tuple[tuple[str, str], ...]
    judge: Judge
    warnings: tuple[str, ...]

    @property
    def by_node(self) -> dict[str, Call]:
        """The calls by node."""
        return {call.node: call for call in self.calls}


def prepare(
    graph: Graph,
    data: Iterable[Any],
    verification: Iterable[Any] | None,
    *,
    force: bool,
    skip: Sequence[str],
    sites: str,
    seed: int,
    agreement: float | None,
    exact_in: Collection[str] | None = None,
) -> Prepared:
    """Read everything that does not depend on how small the network is to be.

    Args:
        graph: the network.
        data: as in ``shrink``.
        verification: as in ``shrink``.
        force: as in ``shrink``.
        skip: as in ``shrink``.
        sites: as in ``shrink``.
        seed: as in ``shrink``.
        agreement: that a bound must be able to reach, if one is asked for.
        exact_in: names of the dimensions in which exact steps are looked for; all that can be cut by default.

    Raises:
        InputError: an unknown step or site.
        DataError: the data are too few, or overlap.
    """
    for step in skip:
        if step not in STEPS:
            raise InputError(f"`skip` must name steps among {', '.join(STEPS)}, got {step!r}; choose from these.")
    first = first_batch(data, form=graph.form)
    parts = parts_of(graph, data, verification, seed=seed, force=force, most=_most(graph, first), agreement=agreement)
    judge = Judge(graph, parts.select)
    structure = graph.structure
    refused = list(structure.refused)
    left = []
    for dimension in structure.dimensions:
        if KINDS[dimension.kind] in skip and dimension.kind != "inner":
            refused.append((dimension.name, f"`skip` leaves out {KINDS[dimension.kind]}"))
        elif not any(fnmatchcase(name, sites) for name in (dimension.name, *dimension.sites)):
            refused.append((dimension.name, f"`sites` {sites!r} leaves it out"))
        else:
            left.append(dimension)
    if sites != "*" and not left:
        names = ", ".join(d.name for d in structure.dimensions[:8])
        raise InputError(
            f"`sites` must match something that can be cut, got {sites!r} with no match; there are {names}."
        )
    dimensions, not_cut = cuttable(graph, left)
    calls, uncalled = find_calls(graph)
    exact = find_exact(
        graph,
        [d for d in dimensions if exact_in is None or d.name in exact_in],
        {c.node: c for c in calls},
        parts.calibrate,
        skip,
    )
    warnings = []
    largest = judge.largest_class
    if largest is not None and largest > MAJORITY:
        warnings.append(
            f"one class holds {100 * largest:.0f} % of the network's answers: to agree with them says little."
        )
    return Prepared(
        graph, parts, calls, uncalled, dimensions, exact, (*refused, *not_cut, *exact.stay), judge, tuple(warnings)
    )


def _most(graph: Graph, first: Any) -> int:
    """Return how many examples two networks can hold the values of at once: a quarter of the memory, each an eighth."""
    free = available_memory(graph.device)
    held = dry_run(graph, first).held
    return FITTED if free is None else max(8, int(free / 8 / max(held, 1)))


def cuttable(
    graph: Graph, dimensions: Sequence[Dimension]
) -> tuple[tuple[Dimension, ...], tuple[tuple[str, str], ...]]:
    """Try which dimensions can be cut, by cutting one unit of each: code with a size written into it refuses.

    Returns:
        Those that can, and the others by name with the reason.
    """
    left, refused = [d for d in dimensions if np.count_nonzero(~d.frozen) and d.units > 1], []
    while left:
        removed = {d.name: np.arange(d.units) == int(np.flatnonzero(~d.frozen)[-1]) for d in left}
        try:
            cut_checked(graph, removed, masked(graph.program.tensors, graph.structure, removed))
        except CutRefused as problem:
            names = [name for name in problem.dimensions if name in removed] or [left[-1].name]
            refused += [(name, str(problem)) for name in names]
            left = [d for d in left if d.name not in names]
        else:
            break
    return tuple(left), tuple(refused)
