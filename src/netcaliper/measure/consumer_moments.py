"""Moments of what consumers read: accumulated in one pass, one state for all consumers that read the same rows."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from netcaliper.feed.protocol import Plan
from netcaliper.feed.ranks import Ranks, uneven
from netcaliper.feed.work_folder import WorkFolder
from netcaliper.measure.consumer_input import ConsumerInput
from netcaliper.stats.block_elimination import Reader
from netcaliper.stats.covariance import Covariance
from netcaliper.stats.sampling import CALIBRATE
from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import NODE, Graph, Tap

Key = tuple[str, int]
"""Node of a consumer, and the operand that carries the units."""


@dataclass(frozen=True)
class _Seen:
    """What is known of the rows of one layout after the pass.

    Attributes:
        count: number of rows; those expected, if they are too few to be accumulated.
        mean: of the columns.
        moment: S as block elimination takes it.
        variance: by consumer, that of its output, summed over outputs.
        unread: why padding cannot be told from data there, in words.
    """

    count: int
    mean: Float64[np.ndarray, " columns"]
    moment: Float64[np.ndarray, "columns columns"]
    variance: Mapping[Key, float]
    unread: str | None = None


class _Rows:
    """The rows of one layout while the pass goes on.

    Attributes:
        expected: how many there will be, or were held so far; ``None`` before the first batch.
        state: their moments, if they are going to be enough.
        held: the rows themselves, as long as it cannot be told.
        unread: why padding cannot be told from data there, in words.
    """

    def __init__(self, columns: int, device: torch.device) -> None:
        self.columns, self.device = columns, device
        self.expected: int | None = None
        self.state: Covariance | None = None
        self.held: list[Tensor] | None = None
        self.unread: str | None = None

    @property
    def wanted(self) -> bool:
        """Whether rows are taken in."""
        return self.state is not None or self.held is not None

    def expect(self, rows: int | None) -> None:
        """Allocate for so many rows to come if they are enough; where they cannot be counted yet, hold them."""
        self.expected = rows or 0
        if rows is None:
            self.held = []
        elif rows > self.columns + 1:
            self.state = Covariance(self.columns, self.device)

    def update(self, rows: Float[Tensor, "rows columns"]) -> None:
        """Take in rows; those that were held go first."""
        if self.state is not None:
            self.state.update(rows)
            return
        assert self.held is not None
        assert self.expected is not None
        self.held.append(rows)
        self.expected += len(rows)
        if self.expected > self.columns + 1:
            self._release()

    def _release(self) -> Covariance:
        """Return the state, with the rows that were held."""
        self.state = self.state or Covariance(self.columns, self.device)
        for part in self.held or ():
            self.state.update(part)
        self.held = None
        return self.state

    def merge(self, other: "_Rows") -> None:
        """Take in the rows of the same layout that another process saw.

        Raises:
            DataError: by the first batch of one there will be enough rows, by that of the other there will not.
        """
        self.unread = self.unread or other.unread
        if other.expected is None:
            return
        if self.expected is None:
            self.expected, self.state, self.held = other.expected, other.state, other.held
        elif other.held is not None:
            for part in other.held:
                self.update(part)
        elif other.state is not None and self.wanted:
            self._release().merge(other.state)
        elif other.state is not None or self.state is not None:
            raise uneven(f"what a consumer reads ({self.columns:,} columns)")


class ConsumerMoments:
    """Moments of the inputs of consumers over the calibrate rows that the plan draws.

    A layout whose rows will not outnumber its columns is not accumulated: its first tap tells how many there will be,
    before anything is allocated. Where examples differ in length, rows are held until they outnumber the columns.

    Args:
        graph: the network.
        plan: of the run.
        inputs: the consumers.
        free: by consumer, whether a new fit may change the bias (else S is the second moment about zero).
        folder: keeps the moments once the pass is done; what it holds already is not accumulated again.
    """

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        inputs: Mapping[Key, ConsumerInput],
        free: Mapping[Key, bool],
        folder: WorkFolder | None = None,
    ) -> None:
        self.graph, self.plan, self.inputs, self.free, self.folder = graph, plan, dict(inputs), dict(free), folder
        self._readers: dict[Hashable, list[Key]] = {}
        for key, source in self.inputs.items():
            self._readers.setdefault(source.layout, []).append(key)
        self._file = {layout: f"input-{number:03}" for number, layout in enumerate(self._readers)}
        self._missing = {layout for layout, file in self._file.items() if folder is None or not folder.holds(file)}
        self._rows = {layout: _Rows(self._source(layout).columns, graph.device) for layout in self._missing}
        self._seen: dict[Hashable, _Seen] = {}

    @property
    def missing(self) -> bool:
        """Whether a pass over the calibrate examples is needed."""
        return bool(self._missing)

    def taps(self, batch: Batch) -> dict[str, Tap]:
        """Return what feeds the states, by node, for a batch."""
        by_node: dict[str, list[Hashable]] = {}
        for layout in self._readers:
            if layout in self._missing:
                by_node.setdefault(self._source(layout).source, []).append(layout)
        return {NODE + node: self._tap(layouts, batch) for node, layouts in by_node.items()}

    def _source(self, layout: Hashable) -> ConsumerInput:
        return self.inputs[self._readers[layout][0]]

    def _tap(self, layouts: Sequence[Hashable], batch: Batch) -> Callable[..., None]:
        index = batch.indices.numpy()

        def tap(value: Tensor, *_: Tensor) -> None:
            for layout in layouts:
                source = self._source(layout)
                rows = self._rows[layout]
                valid = source.valid(self.graph, batch, value)
                if isinstance(valid, str):
                    rows.unread = valid
                    continue
                width = source.width(value, len(index))
                if rows.expected is None:
                    varies = self.graph.padding.varies(source.source, source.column_axis, source.batch_axis)
                    rows.expect(None if varies else self.plan.expected_rows(source.columns, width))
                if rows.wanted:
                    example, position = self.plan.sample(index, CALIBRATE, source.columns, width, valid)
                    rows.update(source.rows(value.detach(), len(index), example, position))

        return tap

    def pool(self, ranks: Ranks) -> None:
        """Take in what other processes saw; all have the same moments then."""
        for layout in self._file:
            if layout in self._missing:
                self._rows[layout] = ranks.merged(self._rows[layout])

    def finish(self) -> None:
        """Close the states when the pass is done, and write them if there is a folder."""
        for layout, file in self._file.items():
            if layout not in self._missing:
                continue
            rows = self._rows.pop(layout)
            unread = rows.unread
            if rows.state is None or unread is not None:
                count, arrays = rows.expected or 0, {}
            else:
                moments = rows.state.finish()
                count, arrays = moments.count, {"mean": moments.mean, "covariance": moments.covariance}
            if self.folder is not None:
                self.folder.put(file, arrays, {"rows": count, "unread": unread})
            self._close(layout, count, arrays, unread)
        self._missing.clear()

    def _close(
        self, layout: Hashable, count: int, arrays: Mapping[str, np.ndarray], unread: str | None = None
    ) -> _Seen:
        """Bring moments into the form in which elimination takes them; their covariance is used up."""
        if not arrays:
            nothing = np.zeros(0)
            self._seen[layout] = _Seen(count, nothing, nothing.reshape(0, 0), {}, unread)
            return self._seen[layout]
        mean, moment, keys = arrays["mean"], arrays["covariance"], self._readers[layout]
        moment *= (count - 1) / max(count, 1)
        variance = {}
        for key in keys:
            weight = self.inputs[key].weight
            variance[key] = float(np.einsum("ij,ij->", weight @ moment, weight))
        if not all(self.free[key] for key in keys):
            moment += np.outer(mean, mean)
        self._seen[layout] = _Seen(count, mean, moment, variance)
        return self._seen[layout]

    def _of(self, key: Key) -> _Seen:
        """Return what was seen of a consumer's rows, read from the folder if it was written by an earlier run."""
        if self._missing:
            self.finish()
        layout = self.inputs[key].layout
        if layout not in self._seen:
            assert self.folder is not None
            arrays, record = self.folder.get(self._file[layout])
            return self._close(layout, record["rows"], arrays, record["unread"])
        return self._seen[layout]

    def unread(self, key: Key) -> str | None:
        """Return why the rows of a consumer were not read, in words, if they were not."""
        return self._of(key).unread

    def rows(self, key: Key) -> int:
        """Return the number of rows of a consumer; those expected, if they are too few to be accumulated."""
        return self._of(key).count

    def mean(self, key: Key) -> Float64[np.ndarray, " columns"]:
        """Return the mean of the columns of a consumer."""
        return self._of(key).mean

    def reader(self, key: Key, owner: Int[np.ndarray, " columns"], name: str) -> Reader:
        """Return a consumer as block elimination takes it; those of equal layout share one moment."""
        seen = self._of(key)
        return Reader(seen.moment, self.inputs[key].weight, owner, seen.variance[key], seen.count, name)
