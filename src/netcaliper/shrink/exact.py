"""Units that can go without any change, by what the weights say: for every input, not only for those that were seen.

- **dead**: every weight that makes the unit is 0 (or only a BatchNorm reads it, with a weight of 0) and so is its
  value; or every weight that reads it is 0.
- **constant**: every weight that makes it is 0, and its value c, which no input changes, goes into the constants of its
  readers: ``b <- b + W_j c``. Where zeros are put around it, c is no constant of the reader: then the unit stays.
- **duplicate**: everything that makes it (rows, biases, normalizations, filters) is equal to that of another unit,
  whose columns take over: ``W_i <- W_i + W_j``.

What only the data say (a ReLU that never fired on them) is not proved and is left to absorption, which takes such units
first, since their readers lose nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.fx import Node

from netcaliper.feed.raw_bytes import raw_bytes
from netcaliper.measure.consumer_input import ConsumerInput, consumer_input
from netcaliper.shrink.calls import NORMS, Call, makes_channels
from netcaliper.shrink.held import Held
from netcaliper.surgery.masking import leaving_some, masked
from netcaliper.trace.graph import NODE, Graph
from netcaliper.trace.names import operation
from netcaliper.trace.site import Consumer
from netcaliper.trace.structure import Dimension, Holder

ROUNDS = 20
"""Taking units away may make others constant or equal: the search is repeated until nothing is found, or so often."""


@dataclass(frozen=True, eq=False)
class ExactStep:
    """Units of one dimension that go for one reason.

    Attributes:
        kind: the reason.
        dimension: name of the dimension.
        units: those that go.
    """

    kind: Literal["dead", "constant", "duplicate"]
    dimension: str
    units: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Exact:
    """What was found.

    Attributes:
        removed: by dimension the units that go.
        state: of the network without them, at full size.
        steps: in order.
        stay: constant units that stay, by dimension, with the reason.
    """

    removed: dict[str, Bool[np.ndarray, " units"]]
    state: dict[str, Tensor]
    steps: tuple[ExactStep, ...]
    stay: tuple[tuple[str, str], ...]


def find_exact(
    graph: Graph,
    dimensions: Sequence[Dimension],
    calls: Mapping[str, Call],
    held: Held,
    skip: Sequence[str] = (),
) -> Exact:
    """Find all units that the weights prove to be of no use.

    Args:
        graph: the network.
        dimensions: to look at; heads and those with a normalization over their units are left out (an RMSNorm counts
            every unit, so that only zeros can go: they are dead).
        calls: weighted calls by node.
        held: examples on which the values of constant units are read.
        skip: reasons that are not looked for.
    """
    return _Search(graph, dimensions, calls, held, skip).result()


class _Search:
    """The state as it becomes, and what has gone."""

    def __init__(
        self,
        graph: Graph,
        dimensions: Sequence[Dimension],
        calls: Mapping[str, Call],
        held: Held,
        skip: Sequence[str],
    ) -> None:
        self.graph, self.calls, self.held, self.skip = graph, calls, held, skip
        self.dimensions = [d for d in dimensions if d.kind != "heads" and self._plain(d)]
        self.removed = {d.name: np.zeros(d.units, dtype=bool) for d in self.dimensions}
        self.state = dict(graph.program.tensors)
        self.steps: list[ExactStep] = []
        self.stay: dict[str, str] = {}
        self.unseen = _unseen(graph, calls.values())

    def _plain(self, dimension: Dimension) -> bool:
        """Tell whether every reader is a linear map of whole columns, and no normalization but RMSNorm is between."""
        tensors = self.graph.program.tensors
        whole = all(
            h.names[0] in tensors and tensors[h.names[0]].shape[h.axis] == len(h.unit) for h in dimension.holders
        )
        return whole and all(norm.kind == "rms_norm" for norm in dimension.norms)

    def result(self) -> Exact:
        for _ in range(ROUNDS):
            before = len(self.steps)
            for dimension in self.dimensions:
                if "dead" not in self.skip:
                    self._unread(dimension)
                if not {"dead", "constant"} <= set(self.skip):
                    self._constant(dimension)
                if "duplicate" not in self.skip:
                    self._duplicate(dimension)
            if len(self.steps) == before:
                break
        gone = {name: units for name, units in self.removed.items() if units.any()}
        return Exact(gone, self.state, tuple(self.steps), tuple(self.stay.items()))

    # ---- the three reasons

    def _unread(self, dimension: Dimension) -> None:
        if dimension.norms or not any(h.role == "column" for h in dimension.holders):
            return
        idle = self._candidates(dimension)
        for holder in dimension.holders:
            if holder.role == "column":
                idle &= self._zero(dimension, holder)
        self._take("dead", dimension, self._leaving_some(dimension, idle))

    def _constant(self, dimension: Dimension) -> None:
        fixed = self._candidates(dimension)
        for holder in dimension.holders:
            if holder.role == "row":
                fixed &= self._zero(dimension, holder)
        fixed = self._leaving_some(dimension, fixed)
        if not fixed.any():
            return
        values = self._values(dimension)
        if isinstance(values, str):
            for unit in np.flatnonzero(fixed):
                self.stay.setdefault(f"unit {unit} of {dimension.name}", f"constant, but {values}")
            return
        dead, constant = fixed.copy(), fixed.copy()
        shifts: list[tuple[Call, np.ndarray]] = []
        for node, found in values.items():
            low, high, name, owner = found
            call = self.calls.get(node)
            for unit in np.flatnonzero(fixed):
                mine = owner == unit
                flat = bool((low[mine] == high[mine]).all())
                zero = flat and not low[mine].any()
                dead[unit] &= zero
                reason = None
                if not zero and dimension.norms:
                    reason = f"{dimension.norms[0].name} counts its value"
                elif not flat:
                    reason = f"its value differs between positions at {node}"
                elif not zero:
                    reason = _no_place(name, call)
                if reason is not None:
                    constant[unit] = False
                    self.stay.setdefault(f"unit {unit} of {dimension.name}", f"constant, but {reason}")
        self._take("dead", dimension, dead if "dead" not in self.skip else np.zeros_like(dead))
        constant &= ~dead
        if not constant.any() or "constant" in self.skip:
            return
        for node, (low, _, _, owner) in values.items():
            call = self.calls.get(node)
            columns = np.flatnonzero((owner >= 0) & constant[np.maximum(owner, 0)])
            if call is None or not low[columns].any():
                continue  # the value is 0 there
            weight = call.matrix(self.state[call.weight])
            # row by row, not as one product: equal rows stay equal to the last bit, and so do duplicates
            shifts.append((call, (weight[:, columns] * low[columns]).sum(1)))
        for call, shift in shifts:
            assert call.constant is not None
            old = self.state[call.constant.name].detach()
            self.state[call.constant.name] = old + call.constant.sign * torch.from_numpy(shift).to(old)
        self._take("constant", dimension, constant)

    def _duplicate(self, dimension: Dimension) -> None:
        if dimension.norms:
            return
        makes = [h for h in dimension.holders if h.role != "column"]
        reads = [h for h in dimension.holders if h.role == "column"]
        first: dict[bytes, int] = {}
        gone = np.zeros(dimension.units, dtype=bool)
        pairs: list[tuple[int, int]] = []
        prints = self._prints(dimension, makes)
        for unit in np.flatnonzero(self._candidates(dimension)):
            key = prints[unit]
            if key in first:
                gone[unit] = True
                pairs.append((first[key], int(unit)))
            else:
                first[key] = int(unit)
        pairs = [pair for pair in pairs if self._read_alike(dimension, reads, *pair)]
        gone[:] = False
        gone[[later for _, later in pairs]] = True
        gone = self._leaving_some(dimension, gone)
        pairs = [(kept, later) for kept, later in pairs if gone[later]]
        if not pairs:
            return
        for holder in reads:
            tensor = self.state[holder.names[0]].detach().clone().movedim(holder.axis, 0)
            for kept, later in pairs:
                tensor[np.flatnonzero(holder.unit == kept)] += tensor[np.flatnonzero(holder.unit == later)]
            self._put(holder, tensor.movedim(0, holder.axis))
        self._take("duplicate", dimension, gone)

    # ---- the state

    def _candidates(self, dimension: Dimension) -> Bool[np.ndarray, " units"]:
        """Return the units that may still go."""
        return ~dimension.frozen & ~self.removed[dimension.name]

    def _leaving_some(self, dimension: Dimension, units: Bool[np.ndarray, " units"]) -> Bool[np.ndarray, " units"]:
        """Return the units without those that have to stay so that something is left of every holder: the first."""
        order = np.flatnonzero(units)[::-1]
        may = leaving_some(dimension, order, np.flatnonzero(self.removed[dimension.name]))
        return np.isin(np.arange(dimension.units), order[may])

    def _zero(self, dimension: Dimension, holder: Holder) -> Bool[np.ndarray, " units"]:
        """Return the units all of whose entries in a holder are 0."""
        tensor = self.state[holder.names[0]].detach().movedim(holder.axis, 0).reshape(len(holder.unit), -1)
        busy = (tensor != 0).any(1).cpu().numpy() & (holder.unit >= 0)
        if holder.role == "row" and (holder.names[0], holder.axis) in self.unseen:
            busy &= ~self.unseen[holder.names[0], holder.axis]
        found = np.ones(dimension.units, dtype=bool)
        found[holder.unit[busy]] = False
        return found

    def _prints(self, dimension: Dimension, holders: Sequence[Holder]) -> list[bytes]:
        """Return the bytes of everything that makes a unit."""
        parts: list[list[bytes]] = [[] for _ in range(dimension.units)]
        for number, holder in enumerate(holders):
            tensor = self.state[holder.names[0]].detach().movedim(holder.axis, 0) + 0.0  # -0 is 0
            table = raw_bytes(tensor.cpu()).reshape(len(holder.unit), -1).numpy()
            for index, unit in enumerate(holder.unit):
                if unit >= 0:
                    # equal rows of two layers make unequal units: the layers read different things
                    parts[unit].append(f"{number}:".encode() + table[index].tobytes())
        return [b"|".join(part) for part in parts]

    def _read_alike(self, dimension: Dimension, reads: Sequence[Holder], kept: int, later: int) -> bool:
        """Tell whether every reader has as many columns for both."""
        counts = [(np.count_nonzero(h.unit == kept), np.count_nonzero(h.unit == later)) for h in reads]
        return all(a == b for a, b in counts)

    def _values(
        self, dimension: Dimension
    ) -> dict[str, tuple[np.ndarray, np.ndarray, str, Int[np.ndarray, " columns"]]] | str:
        """Return by reader the least and the largest value of every column, its name, and the units of its columns.

        Or, in words, which reader cannot be unfolded.
        """
        found: dict[str, tuple[np.ndarray, np.ndarray, str, np.ndarray]] = {}
        graph = self.graph.with_state(self.state)
        batch = self.held.batches[0]

        def tap(consumer: Consumer, source: ConsumerInput):
            def take(value: Tensor, *_: Tensor) -> None:
                channels = len(consumer.unit_of_column)
                moved = value.movedim(source.column_axis, -1).reshape(-1, channels).double().cpu()
                each = source.columns // channels
                low, high = (np.repeat(getattr(moved, how)(0).numpy(), each) for how in ("amin", "amax"))
                found[consumer.node] = (low, high, consumer.name, source.unit_of_column(consumer))

            return take

        for consumer in dimension.consumers:
            call = self.calls.get(consumer.node)
            source = consumer_input(self.graph, consumer) if call is None else call.source
            if isinstance(source, str):
                return f"{consumer.name} {source}"
            graph.run(batch, taps={NODE + source.source: tap(consumer, source)})
        return found

    def _put(self, holder: Holder, tensor: Tensor) -> None:
        for name in holder.names:
            if name in self.state:
                self.state[name] = tensor

    def _take(
        self, kind: Literal["dead", "constant", "duplicate"], dimension: Dimension, units: Bool[np.ndarray, " units"]
    ) -> None:
        """Take units away."""
        if not units.any():
            return
        self.removed[dimension.name] |= units
        self.state = masked(self.state, self.graph.structure, {dimension.name: units})
        self.steps.append(ExactStep(kind, dimension.name, tuple(np.flatnonzero(units).tolist())))


def _unseen(graph: Graph, calls: Iterable[Call]) -> dict[tuple[str, int], Bool[np.ndarray, " rows"]]:
    """Return by weight and axis the rows that only a BatchNorm reads whose own weight is 0 there: as good as 0."""
    found: dict[tuple[str, int], np.ndarray] = {}
    for call in calls:
        users = list(call.source.node.users)
        read = len(users) == 1 and operation(users[0]) in NORMS and makes_channels(call.source.node, call.makes)
        gamma = users[0].args[1] if read else None
        factor = graph.program.fixed(gamma.name) if isinstance(gamma, Node) else None
        if factor is not None:
            found[call.weight, int(call.source.flipped)] = (factor == 0).cpu().numpy()
    return found


def _no_place(name: str, call: Call | None) -> str | None:
    """Say why a reader cannot take a constant into its bias, if it cannot."""
    if call is None:
        return f"{name} has no bias of its own to take its value (its weight is shared or computed)"
    if call.constant is None:
        return f"{name} has no bias to take its value"
    if call.source.pads:
        return f"{name} puts zeros around it, so that its value is none at the border"
    return None
