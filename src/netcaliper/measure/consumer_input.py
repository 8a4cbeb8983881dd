"""What a weighted operation reads, as rows of columns: ``y = W x + b`` with x unfolded (im2col).

Only the positions that are asked for are gathered; a full unfolding of a feature map is never made.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, Shaped
from torch import Tensor
from torch.fx import Node

from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import Graph
from netcaliper.trace.names import operation
from netcaliper.trace.program import bound
from netcaliper.trace.site import Consumer, Site

_PADS = ("aten.pad", "aten.constant_pad_nd")


@dataclass(frozen=True, eq=False)
class ConsumerInput:
    """The input of one consumer, and how to compute the consumer with other weights.

    Attributes:
        node: the consumer's node.
        source: name of the node that holds the input.
        stored: the weight as the operation stores it.
        kernel: size of the window along each spatial axis, empty for a linear map.
        stride: of the window.
        before: zeros put before each spatial axis.
        after: zeros put after each spatial axis.
        dilation: of the window.
        batch_axis: axis of the input that holds (or is a multiple of) the batch.
        column_axis: axis of the input that is contracted.
        flipped: the weight of a linear map is stored as the transpose of W.
    """

    node: Node
    source: str
    stored: Shaped[Tensor, "..."]
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    batch_axis: int = 0
    column_axis: int = -1
    flipped: bool = False

    @property
    def columns(self) -> int:
        """Number of columns of W."""
        return math.prod(self.stored.shape[1:]) if self.kernel else self.stored.shape[0 if self.flipped else 1]

    @property
    def weight(self) -> Float64[np.ndarray, "outputs columns"]:
        """W, the columns of one input channel side by side; made anew each time, so that no copy is kept."""
        matrix = self.stored.detach().to("cpu", torch.float64).numpy()
        return np.ascontiguousarray(matrix.T if self.flipped else matrix.reshape(len(matrix), -1))

    @property
    def layout(self) -> Hashable:
        """What the rows depend on: consumers of equal layout read the same rows."""
        axes = (self.batch_axis, self.column_axis)
        return (self.source, self.kernel, self.stride, self.before, self.after, self.dilation, *axes)

    @property
    def pads(self) -> bool:
        """Whether the operation itself puts zeros around its input."""
        return any(self.before) or any(self.after)

    def unit_of_column(self, consumer: Consumer) -> Int[np.ndarray, " columns"]:
        """Return the unit that owns each column, -1 for none."""
        return np.repeat(consumer.unit_of_column.astype(np.int64), math.prod(self.kernel))

    def width(self, value: Tensor, examples: int) -> int:
        """Return how many rows one example gives."""
        if self.kernel:
            return value.shape[0] // examples * math.prod(self._out(value))
        return value.numel() // (examples * value.shape[self.column_axis])

    def rows(
        self,
        value: Tensor,
        examples: int,
        example: Int[np.ndarray, " rows"],
        position: Int[np.ndarray, " rows"],
    ) -> Float[Tensor, "rows columns"]:
        """Gather rows of the unfolded input.

        Args:
            value: the input.
            examples: number of examples in it.
            example: example of every row.
            position: its position, in ``0 .. width - 1``.
        """
        if not self.kernel:
            value = value.movedim((self.batch_axis, self.column_axis), (0, -1)).reshape(examples, -1, self.columns)
            return value[torch.from_numpy(example).to(value.device), torch.from_numpy(position).to(value.device)]
        out, spatial = self._out(value), value.shape[2:]
        image, place = np.divmod(position, math.prod(out))
        image += example * (value.shape[0] // examples)
        at = np.unravel_index(place, out)
        d = len(self.kernel)
        index: list[Tensor] = []
        inside = torch.ones(len(position), *[1] * d, dtype=torch.bool, device=value.device)
        for axis in range(d):
            start = at[axis] * self.stride[axis] - self.before[axis]
            taps = start[:, None] + np.arange(self.kernel[axis]) * self.dilation[axis]
            shape = [len(position), *[1] * d]
            shape[axis + 1] = self.kernel[axis]
            where = torch.from_numpy(taps.reshape(shape)).to(value.device)
            inside = inside & (where >= 0) & (where < spatial[axis])
            index.append(where.clamp(0, spatial[axis] - 1))
        first = torch.from_numpy(image.reshape(-1, *[1] * d)).to(value.device)
        patch = value.movedim(1, -1)[(first, *index)] * inside[..., None]  # [rows, *kernel, channels]
        return patch.movedim(-1, 1).reshape(len(position), self.columns)

    def valid(self, graph: Graph, batch: Batch, value: Tensor) -> Bool[Tensor, "examples rows"] | str | None:
        """Return which rows of a batch's examples are no padding, ``None`` for all; or in words why it is not told."""
        found = graph.padding.valid(batch, self.source, self.column_axis, self.batch_axis, value.shape)
        if isinstance(found, Tensor) and (math.prod(self.kernel) > 1 or math.prod(self.stride) > 1 or self.pads):
            return "its windows reach over tokens, some of which are padding; give examples without padding"
        return found.to(value.device) if isinstance(found, Tensor) else found

    def _out(self, value: Tensor) -> tuple[int, ...]:
        """Return the spatial size of the output."""
        return tuple(
            (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, before, after, dilation in zip(
                value.shape[2:], self.kernel, self.stride, self.before, self.after, self.dilation, strict=True
            )
        )

    def as_stored(self, weight: Float64[np.ndarray, "outputs columns"]) -> Shaped[Tensor, "..."]:
        """Return another W in the form of the stored weight, in its type and on its device."""
        matrix = torch.from_numpy(weight.T if self.flipped else weight)
        return matrix.to(self.stored.device, self.stored.dtype).reshape(self.stored.shape)

    def replaced(
        self, graph: Graph, value: Tensor, stored: Shaped[Tensor, "..."], shift: Float64[np.ndarray, " outputs"]
    ) -> Tensor:
        """Compute the consumer on a value with another weight (in stored form) and ``shift`` added to its bias."""
        fixed: dict[str, Any] = {n.name: graph.program.fixed(n.name) for n in self.node.all_input_nodes}
        args, kwargs = bound(self.node, fixed | {self.source: value, _weight_node(self.node, self.source).name: stored})
        out = self.node.target(*args, **kwargs)  # type: ignore[operator]
        if not shift.any():
            return out
        shape = [1] * out.dim()
        shape[self.column_axis] = -1
        return out + torch.from_numpy(shift).to(out).reshape(shape)


def consumer_input(graph: Graph, consumer: Consumer) -> ConsumerInput | str:
    """Return the input of a consumer, or why it cannot be unfolded, in words."""
    node = next(step.node for step in graph.program.steps if step.name == consumer.node)
    op, args = operation(node), list(node.args)
    if consumer.op == "depthwise":
        return "reads every unit with a filter of its own (depthwise), so no unit can take over for another"
    if consumer.through:
        return f"reads the units through {', '.join(consumer.through)}, whose statistics mix them"
    source = args[consumer.operand]
    if op not in (*_CONVOLUTIONS, "aten.linear", "aten.addmm", "aten.mm", "aten.matmul"):
        return f"is {consumer.op} ({op}), which is not unfolded"
    assert isinstance(source, Node)
    others = [n for n in node.all_input_nodes if n is not source]
    stored = _weight_node(node, source.name)
    weight = graph.program.fixed(stored.name)
    if not isinstance(weight, Tensor) or any(graph.program.fixed(n.name) is None for n in others):
        return "has a weight that the graph computes"
    if op not in _CONVOLUTIONS:
        if weight.dim() != 2:
            return f"has a weight of {weight.dim()} axes, not a matrix"
        left = op in ("aten.mm", "aten.matmul") and consumer.operand == 1
        flipped = op != "aten.linear" and not left
        axis = -2 if left else -1
        rows = graph.batch_axis(source.name, axis)
        if not graph.by_example(source.name, rows):
            return "reads rows that are not in the order of the examples"
        return ConsumerInput(
            node,
            source.name,
            weight,
            batch_axis=rows,
            column_axis=axis,
            flipped=flipped,
        )
    return _convolution(graph, node, source, op, weight)


_CONVOLUTIONS = {"aten.conv1d": 1, "aten.conv2d": 2, "aten.conv3d": 3, "aten.convolution": 0}


def _convolution(graph: Graph, node: Node, source: Node, op: str, weight: Shaped[Tensor, "..."]) -> ConsumerInput | str:
    """Read the geometry of a convolution off its arguments."""
    d = weight.dim() - 2
    kernel = tuple(weight.shape[2:])
    read = dict(zip(("stride", "padding", "dilation"), (1, 0, 1), strict=True))
    for place, name in enumerate(read, start=3):
        read[name] = node.args[place] if len(node.args) > place else node.kwargs.get(name, read[name])  # type: ignore[assignment]
    general = op == "aten.convolution"
    if general and bool(node.args[6]):
        return "is a transposed convolution, which is not unfolded"
    place = 8 if general else 6
    groups = node.args[place] if len(node.args) > place else node.kwargs.get("groups", 1)
    if groups != 1:
        return f"is a convolution in {groups} groups, which is not unfolded"
    if len(source.meta["val"].shape) != d + 2:
        return "is a convolution without a batch axis"
    if graph.batch_axis(source.name, 1) != 0 or not graph.by_example(source.name, 0):
        return "is a convolution whose first axis is not the batch, example by example"
    stride, dilation = _each(read["stride"], d), _each(read["dilation"], d)
    if read["padding"] == "same":
        total = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
        before = tuple(size // 2 for size in total)
        after = tuple(size - size // 2 for size in total)
    else:
        before = after = _each(0 if read["padding"] == "valid" else read["padding"], d)
    return ConsumerInput(node, source.name, weight, kernel, stride, before, after, dilation, column_axis=1)


def _each(value: Any, d: int) -> tuple[int, ...]:
    """Return one number for each spatial axis."""
    values: Sequence[Any] = value if isinstance(value, (list, tuple)) else [value]
    return tuple(int(v) for v in (values if len(values) == d else [values[0]] * d))


def _weight_node(node: Node, source: str) -> Node:
    """Return the node of the weight of a linear map or convolution."""
    places = {"aten.addmm": (1, 2), "aten.mm": (0, 1), "aten.matmul": (0, 1)}.get(operation(node), (0, 1))
    nodes = [node.args[place] for place in places]
    return next(n for n in nodes if isinstance(n, Node) and n.name != source)


def pads_between(graph: Graph, site: Site, source: ConsumerInput) -> bool:
    """Tell whether zeros are put around the units on their way from a site into a consumer, or by the consumer."""
    if source.pads:
        return True
    reached, before = {site.node}, {source.source}
    for step in graph.program.steps:
        if step.reads & reached:
            reached.add(step.name)
    for step in reversed(graph.program.steps):
        if step.name in before and step.name in reached and step.name != site.node:
            if operation(step.node) in _PADS:
                return True
            before |= step.reads
    return False
