"""In which order the units of every dimension should go, and what the network loses on the way.

The order is that of block elimination on what the readers of the dimension read in the original network: each step
takes the unit whose readers, fitted again to the units that stay, lose the least. What a loss u of the readers means
for the answers is measured once a dimension: with about a twentieth of the readers' variance gone (and the readers
fitted again), the divergence of the whole network from itself divided by u. Small independent errors add up in the
divergence, which is quadratic in them, so that losses of several dimensions can be compared and summed.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int

from netcaliper.feed.protocol import ROWS_PER_UNIT, rows_wanted
from netcaliper.shrink.calls import Call
from netcaliper.shrink.held import Held
from netcaliper.shrink.judge import Judge, without
from netcaliper.shrink.norms import over_kept
from netcaliper.stats.block_elimination import Reader, eliminate_blocks, refit
from netcaliper.stats.covariance import Covariance
from netcaliper.surgery.masking import leaving_some, masked
from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import NODE, Graph
from netcaliper.trace.structure import Dimension

MAX_COLUMNS = 9216
"""Widest input of a reader: work grows with the cube of the columns."""

REACH = 0.999
"""The path ends where a reader would lose more of its variance."""

PROBE = 0.05
"""Share of the readers' variance that is gone where a dimension's effect on the answers is measured."""


Cut = tuple[str, int, Int[np.ndarray, " places"]]
"""Name of a tensor, one of its axes, and how many indices of it have gone after 0, 1, 2, ... steps."""


@runtime_checkable
class Path(Protocol):
    """Something that can be taken away in steps: units of a dimension, or a whole residual block in one step."""

    @property
    def name(self) -> str:
        """Of what goes."""
        ...

    @property
    def loss(self) -> Float64[np.ndarray, " places"]:
        """Expected divergence of the answers after 0, 1, 2, ... steps."""
        ...

    @property
    def start(self) -> int:
        """Number of steps that are taken in any case."""
        ...

    def cuts(self) -> list[Cut]:
        """Return what is taken out of which tensor."""
        ...

    def places(self, multiple: int) -> Int[np.ndarray, " choices"]:
        """Return the numbers of steps that may be taken, where what stays should be a multiple."""
        ...


PIECES = 24
"""Places on a path that are looked at."""


@dataclass(frozen=True, eq=False)
class UnitPath:
    """The order in which the units of a dimension go.

    Attributes:
        dimension: whose units.
        order: of the units, first to go first; those that are not in it stay.
        loss: expected divergence of the answers after 0, 1, 2, ... of them have gone.
        start: number of units that have gone already, by what the weights prove.
    """

    dimension: Dimension
    order: Int[np.ndarray, " steps"]
    loss: Float64[np.ndarray, " places"]
    start: int = 0

    @property
    def name(self) -> str:
        """Of the dimension."""
        return self.dimension.name

    def cuts(self) -> list[Cut]:
        """Return how many indices of every holder have gone."""
        found = []
        for holder in self.dimension.holders:
            indices = np.zeros(self.dimension.units, dtype=np.int64)
            np.add.at(indices, holder.unit[holder.unit >= 0], 1)
            found.append((holder.names[0], holder.axis, np.append(0, np.cumsum(indices[self.order]))))
        return found

    def places(self, multiple: int) -> Int[np.ndarray, " choices"]:
        """Return every place of a short path, about ``PIECES`` of a long one; heads are not rounded."""
        steps = np.arange(1, len(self.order) + 1)
        left = self.dimension.units - steps
        if multiple > 1 and self.dimension.kind != "heads":
            return steps[(left % multiple == 0) & (left > 0)]
        each = max(1, len(steps) // PIECES)
        return steps[(steps % each == 0) | (steps == len(steps))]

    def removed(self, steps: int) -> Bool[np.ndarray, " units"]:
        """Return which units have gone after some steps."""
        gone = np.zeros(self.dimension.units, dtype=bool)
        gone[self.order[:steps]] = True
        return gone


def columns_of(dimension: Dimension, calls: Mapping[str, Call]) -> dict[str, Int[np.ndarray, " columns"]]:
    """Return by call that reads a dimension the unit of every column of W, -1 for none."""
    return {
        consumer.node: calls[consumer.node].source.unit_of_column(consumer)
        for consumer in dimension.consumers
        if consumer.node in calls
    }


def gone_columns(
    dimensions: Sequence[Dimension], calls: Mapping[str, Call], removed: Mapping[str, Bool[np.ndarray, " units"]]
) -> dict[str, Bool[np.ndarray, " columns"]]:
    """Return by call the columns of W that read removed units of any dimension."""
    gone: dict[str, np.ndarray] = {}
    for dimension in dimensions:
        if dimension.name not in removed or not removed[dimension.name].any():
            continue
        for node, owner in columns_of(dimension, calls).items():
            lost = (owner >= 0) & removed[dimension.name][np.maximum(owner, 0)]
            gone[node] = gone.get(node, np.zeros(len(owner), dtype=bool)) | lost
    return gone


def unfit(dimension: Dimension, calls: Mapping[str, Call], refused: Mapping[str, str]) -> str | None:
    """Say why the readers of a dimension cannot make up for its units, if they cannot."""
    for consumer in dimension.consumers:
        if consumer.node not in calls:
            return f"{consumer.name}, which reads it, {refused.get(consumer.node, 'is no weighted call')}"
        columns = calls[consumer.node].source.columns
        if columns > MAX_COLUMNS:
            return f"{consumer.name} has {columns:,} input columns, more than the {MAX_COLUMNS:,} that are read"
    for norm in dimension.norms:
        if norm.kind not in ("rms_norm", "layer_norm"):
            return f"{norm.name} takes statistics over its units that cannot be followed"
    return None


def find_paths(
    graph: Graph,
    dimensions: Sequence[Dimension],
    calls: Mapping[str, Call],
    held: Held,
    judge: Judge,
    gone: Mapping[str, Bool[np.ndarray, " units"]],
) -> tuple[tuple[UnitPath, ...], dict[str, str]]:
    """Find the path of every dimension, in one run over the held examples and one run of the judge's for each.

    Args:
        graph: the network after the exact steps.
        dimensions: those of which ``unfit`` says nothing.
        calls: by node.
        held: examples to fit on.
        judge: holds examples to measure the divergence on; not those that anything is chosen on later.
        gone: by dimension the units that have gone already: the path begins with them.

    Returns:
        The paths, and by name why there is none.
    """
    moments = _Moments(graph, dimensions, calls, held, gone)
    found: list[UnitPath] = []
    refused: dict[str, str] = {}
    for dimension in dimensions:
        readers = moments.readers(dimension)
        if isinstance(readers, str):
            refused[dimension.name] = readers
            continue
        path = _path(graph, dimension, calls, readers, moments, judge)
        if path is None:
            refused[dimension.name] = "no unit can go without its readers losing everything"
        else:
            found.append(path)
    return tuple(found), refused


class _Moments:
    """Moments of what the readers of all dimensions read; readers of the same rows share theirs."""

    def __init__(
        self,
        graph: Graph,
        dimensions: Sequence[Dimension],
        calls: Mapping[str, Call],
        held: Held,
        gone: Mapping[str, Bool[np.ndarray, " units"]],
    ) -> None:
        self.graph, self.calls, self.gone = graph, calls, gone
        wanted = {c.node for d in dimensions for c in d.consumers}
        self._readers = [call for call in calls.values() if call.node in wanted]
        states: dict[Hashable, Covariance] = {}
        by_source: dict[str, list[Call]] = {}
        self._unread: dict[Hashable, str] = {}
        for call in self._readers:
            if call.source.layout not in states:
                states[call.source.layout] = Covariance(call.source.columns)
                by_source.setdefault(call.source.source, []).append(call)
        for number, batch in enumerate(held.batches):

            def tap(source: str, number: int = number, batch: Batch = batch):
                def take(value: torch.Tensor, *_: torch.Tensor) -> None:
                    for call in by_source[source]:
                        valid = call.source.valid(graph, batch, value)
                        if isinstance(valid, str):
                            self._unread[call.source.layout] = valid
                            continue
                        wanted = rows_wanted(call.source.columns)
                        rows = held.rows(number, call.source.width(value, batch.size), wanted, valid)
                        states[call.source.layout].update(call.source.rows(value, batch.size, *rows).cpu())

                return take

            graph.run(batch, taps={NODE + source: tap(source) for source in by_source})
        self._seen = {layout: state.finish() for layout, state in states.items()}
        self._moment: dict[tuple[Hashable, bool], np.ndarray] = {}
        self._owner: dict[bytes, np.ndarray] = {}

    def mean(self, call: Call) -> Float64[np.ndarray, " columns"]:
        """Return the mean of the columns of a call."""
        return self._seen[call.source.layout].mean

    def free(self, dimension: Dimension) -> Bool[np.ndarray, " units"]:
        """Return the units that may still go."""
        return ~dimension.frozen & ~self.gone.get(dimension.name, np.zeros(dimension.units, dtype=bool))

    def readers(self, dimension: Dimension) -> list[Reader] | str:
        """Return the readers of a dimension, or say which one cannot be judged and why."""
        free = self.free(dimension)
        compact = np.append(np.where(free, np.cumsum(free) - 1, -1), -1)
        readers = []
        for node, owner in columns_of(dimension, self.calls).items():
            call = self.calls[node]
            if call.source.layout in self._unread:
                return self._unread[call.source.layout]
            seen = self._seen[call.source.layout]
            if seen.count <= call.source.columns + 1:
                return (
                    f"too few rows ({seen.count:,} for the {call.source.columns:,} input columns of {call.name}); give "
                    f"more examples ({ROWS_PER_UNIT * call.source.columns:,} rows are enough)"
                )
            own = compact[owner]
            weight = call.matrix(self.graph.program.tensors[call.weight])
            covariance = seen.covariance * ((seen.count - 1) / seen.count)
            variance = float(np.sum((weight @ covariance) * weight))
            centered = call.constant is not None
            key = (call.source.layout, centered)
            if key not in self._moment:
                self._moment[key] = covariance if centered else covariance + np.outer(seen.mean, seen.mean)
            own = self._owner.setdefault(own.tobytes(), own)
            readers.append(Reader(self._moment[key], weight, own, variance, seen.count, call.node))
        return [reader for reader in readers if reader.variance > 0] or "what reads it does not vary"


def _path(
    graph: Graph,
    dimension: Dimension,
    calls: Mapping[str, Call],
    readers: Sequence[Reader],
    moments: _Moments,
    judge: Judge,
) -> UnitPath | None:
    free = np.flatnonzero(moments.free(dimension))
    first = np.flatnonzero(moments.gone.get(dimension.name, np.zeros(dimension.units, dtype=bool)))
    found = eliminate_blocks(readers, len(free), 0.0, reach=REACH)
    order = np.concatenate([found.order, found.later])
    lost = np.concatenate([found.unexplained, found.later_unexplained])
    may = leaving_some(dimension, free[order], first)
    order, lost = order[may], lost[may]
    if not len(order):
        return None
    u = np.maximum.accumulate(np.append(0.0, lost.mean(1)))
    probe = max(1, int(np.searchsorted(u, PROBE)))
    probe = min(probe, len(order))
    removed = np.zeros(dimension.units, dtype=bool)
    removed[first] = True
    removed[free[order[:probe]]] = True
    state = masked(graph.program.tensors, graph.structure, {dimension.name: removed})
    small = np.zeros(len(free), dtype=bool)
    small[order[:probe]] = True
    for reader in readers:
        call = calls[reader.name]
        weight, _ = refit([reader], small)[0]
        state[call.weight] = call.source.as_stored(weight)
        if call.constant is not None:
            shift = torch.from_numpy((reader.weight - weight) @ moments.mean(call))
            old = state[call.constant.name].detach()
            state[call.constant.name] = old + call.constant.sign * shift.to(old)
    smaller = over_kept(graph.with_state(state), {dimension.name: removed})
    divergence = judge.judge(without(smaller)).divergence
    loss = u * (divergence / max(u[probe], 1e-12))
    return UnitPath(dimension, np.concatenate([first, free[order]]), np.append(np.zeros(len(first)), loss), len(first))
