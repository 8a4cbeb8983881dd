"""Operations with a weight: which axis of the input each reads, which axis of the output its rows make.

Matchers stand in an explicit table. A weight is an operand that does not depend on the model's inputs: a parameter, or
something that the graph computes from parameters (weight standardization, a slice of a packed projection).
"""

from dataclasses import dataclass

from torch import Tensor
from torch.fx import Node

from netcaliper.trace.names import operation


@dataclass(frozen=True)
class Weighted:
    """A weighted call.

    Attributes:
        op: what it is called in reports.
        operand: the node whose columns it reads, ``None`` for an embedding.
        operand_index: position of that node among the arguments.
        weight: the node of its weight.
        column_axis: axis of the weight that holds the input columns.
        row_axis: axis of the weight that holds the output rows.
        reads: axis of the operand that is contracted.
        makes: axis of the value along which the rows lie.
        groups: number of groups of a convolution.
        recurrent: a recurrent network, whose inner gates are not visible.
        routed: every row of the operand meets the weight of the expert that it was sent to.
    """

    op: str
    operand: Node | None
    operand_index: int
    weight: Node
    column_axis: int
    row_axis: int
    reads: int
    makes: int
    groups: int = 1
    recurrent: bool = False
    routed: bool = False


def match(node: Node, depends: frozenset[Node]) -> Weighted | None:
    """Return the weighted call that a node is, ``None`` if it is none."""
    op = operation(node)
    a = node.args
    if op == "aten.linear" and _is(a[0], depends) and _fixed(a[1], depends):
        return Weighted("linear", a[0], 0, a[1], 1, 0, -1, -1)  # type: ignore[arg-type]
    if op in _CONVOLUTIONS and _is(a[0], depends) and _fixed(a[1], depends):
        return _convolution(node, op)
    if op == "aten.embedding" and _fixed(a[0], depends):
        return Weighted("embedding", None, 1, a[0], 0, 1, -1, -1)  # type: ignore[arg-type]
    if op == "aten.addmm" and _is(a[1], depends) and _fixed(a[2], depends):
        return Weighted("linear", a[1], 1, a[2], 0, 1, -1, -1)  # type: ignore[arg-type]
    if op in ("aten.mm", "aten.matmul", "aten.bmm"):
        if _is(a[0], depends) and _fixed(a[1], depends):
            return Weighted("matmul", a[0], 0, a[1], _rank(a[1]) - 2, _rank(a[1]) - 1, -1, -1)  # type: ignore[arg-type]
        if _fixed(a[0], depends) and _is(a[1], depends):
            return Weighted("matmul", a[1], 1, a[0], _rank(a[0]) - 1, _rank(a[0]) - 2, -2, -2)  # type: ignore[arg-type]
    if op in _ROUTED and _is(a[0], depends) and _fixed(a[1], depends):
        return Weighted("experts", a[0], 0, a[1], 1, 2, -1, -1, routed=True)  # type: ignore[arg-type]
    if op in _RECURRENT and _is(a[0], depends):
        weights = a[2] if len(a) > 2 else None
        if isinstance(weights, (list, tuple)):
            return Weighted(op.split(".")[1], a[0], 0, weights[0], 1, 0, -1, -1, recurrent=True)  # type: ignore[arg-type]
    return None


_CONVOLUTIONS = (
    {f"aten.conv{d}d": d for d in (1, 2, 3)}
    | {f"aten.conv_transpose{d}d": d for d in (1, 2, 3)}
    | {"aten.convolution": 0}
)
_ROUTED = ("aten._grouped_mm", "transformers.grouped_mm_fallback.default")
_RECURRENT = ("aten.lstm", "aten.gru", "aten.rnn_tanh", "aten.rnn_relu")


def _convolution(node: Node, op: str) -> Weighted:
    transposed = "transpose" in op or (op == "aten.convolution" and bool(node.args[6]))
    position = 8 if op == "aten.convolution" else 6
    groups = node.args[position] if len(node.args) > position else node.kwargs.get("groups", 1)
    name = "conv_transpose" if transposed else op.split(".")[1]
    channel = -(_rank(node.args[1]) - 1)  # type: ignore[arg-type]
    columns, rows = (0, 1) if transposed else (1, 0)
    return Weighted(name, node.args[0], 0, node.args[1], columns, rows, channel, channel, int(groups))  # type: ignore[arg-type]


def _is(value: object, depends: frozenset[Node]) -> bool:
    return isinstance(value, Node) and value in depends


def _fixed(value: object, depends: frozenset[Node]) -> bool:
    return isinstance(value, Node) and value not in depends


def _rank(node: Node) -> int:
    value = node.meta.get("val")
    return value.dim() if isinstance(value, Tensor) else 2
