"""Rows through operations that only move entries: views, slices, joins.

A cut network runs the same code with smaller sizes. A view that splits the axis of units has the sizes of the parts
written into it, and a slice its bounds: which rows may go all the same is decided at the end, from ``Cutting``, when
it is known which of them are tied together.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from netcaliper.trace.ids import NONE, Ids, compact
from netcaliper.trace.rows import Carried, RowLayer, Rows, disjoint, picked
from netcaliper.trace.rules import RULES, Call, Layer, pad

_SLICES = frozenset(
    f"aten.{name}"
    for name in (
        "slice", "split", "split_with_sizes", "chunk", "tensor_split", "narrow", "unbind", "select", "slice_copy",
        "select_copy", "split_copy",
    )
)  # fmt: skip
_PLACED = {"aten.roll": (2, "dims"), "aten.flip": (1, "dims"), "aten.gather": (1, "dim"),
           "aten.index_select": (1, "dim")}  # fmt: skip
_UNSEEN = frozenset(
    f"aten.{name}"
    for name in (
        "as_strided", "unfold", "diagonal", "rot90", "meshgrid", "channel_shuffle", "slice_scatter", "select_scatter",
        "index_put", "hstack", "vstack", "column_stack", "concat",
    )
)  # fmt: skip


@dataclass
class Cutting:
    """Places at which the code of the model cuts an axis of units.

    Attributes:
        split: rows of an axis that a view splits, and where.
        sliced: by value and axis, the rows of the axis, those of every part that is taken, and where.
    """

    split: list[tuple[Ids, str]] = field(default_factory=list)
    sliced: dict[tuple[str, int], tuple[Ids, list[Ids], str]] = field(default_factory=dict)


def moved(
    rows: Rows, cutting: Cutting, call: Call, node: Node, value: Carried, live: frozenset[Node], where: str
) -> Carried | list[Carried] | None:
    """Return what the result of a move carries, ``None`` if units may change their order in it.

    Args:
        rows: to freeze what cannot go.
        cutting: to note views and slices.
        call: the call.
        node: its operand.
        value: what the operand carries.
        live: nodes that depend on the inputs.
        where: the call in words.
    """
    if call.op in _UNSEEN:
        return None
    value = rows.without(value, _placed(call, value), f"{where} puts them in other places")
    tensors = isinstance(call.value, (tuple, list))
    parts: list[list[RowLayer]] = [[] for _ in (call.value if tensors else [call.value])]
    for layer in value.layers:
        index = torch.arange(layer.ids.numel()).reshape(layer.ids.shape)
        found = RULES[call.op](call, {node: Layer(index)})
        new = [picked(layer, part.ids) for part in (found if isinstance(found, list) else [found])]
        if RULES[call.op] is pad:
            # the border of a channel goes with it
            over = [axis for axis in range(layer.ids.dim()) if axis not in layer.axes]
            new = [replace(each, ids=each.ids.amax(over, keepdim=True) if over else each.ids) for each in new]
        _note(cutting, call, node, layer, new, where)
        for part, each in zip(parts, new, strict=True):
            if each.axes:
                part.append(each)
            else:
                rows.freeze(each.ids, f"{where} picks a single one")
    zero = value.zero and not _fills(call)
    results = [
        disjoint(
            rows, Carried(tuple(one.shape), tuple(layers), zero, value.fixed, value.lost), f"{where} joins two axes"
        )
        for layers, one in zip(parts, call.value if tensors else [call.value], strict=True)
    ]
    return results if tensors else results[0]


def _placed(call: Call, value: Carried) -> list[int]:
    """Return the axes along which an operation puts entries in other places."""
    if call.op == "aten.index":
        return [axis for axis, index in enumerate(call.args[1]) if isinstance(index, Tensor)]
    if call.op not in _PLACED:
        return []
    dims = call.argument(*_PLACED[call.op], None)
    if dims is None or dims == []:
        return list(range(len(value.shape)))
    return [dims] if isinstance(dims, int) else list(dims)


def _fills(call: Call) -> bool:
    """Tell whether a padding fills in something else than zeros."""
    filling = {"aten.pad": 3, "aten.constant_pad_nd": 2}.get(call.op)
    return filling is not None and bool(call.argument(filling, "value", 0))


def _note(cutting: Cutting, call: Call, node: Node, layer: RowLayer, new: list[RowLayer], where: str) -> None:
    if len(layer.axes) == 1 and any(len(each.axes) > 1 for each in new):
        cutting.split.append((layer.ids.reshape(-1), where))
    if call.op in _SLICES:
        axis = int(call.argument(2 if "split" in call.op or "chunk" in call.op else 1, "dim", 0))
        axis %= layer.ids.dim()
        if axis in layer.axes:
            whole = layer.ids
            _, parts, _ = cutting.sliced.setdefault((node.name, axis), (whole.reshape(-1), [], where))
            parts += [each.ids.reshape(-1) for each in new]


def joined(rows: Rows, carried: Callable[[object], Carried], call: Call) -> Carried:
    """Return what values carry that are concatenated or stacked.

    Rows along the axis of the join come one after the other; rows along another must go from all values together.
    """
    why = f"{call.name} joins them with what cannot go"
    values = [carried(node) for node in call.node.args[0]]  # type: ignore[union-attr]
    rank = call.value.dim()
    axis = int(call.argument(1, "dim", 0)) % rank
    if call.op == "aten.stack":
        values = [_unsqueezed(value, axis) for value in values]
    values = [value for value in values if all(value.shape) and len(value.shape) == rank]
    here = [value.along(axis) for value in values]
    beside = [
        replace(v, layers=tuple(x for x in v.layers if x is not own), shape=_ones(v.shape, axis), zero=True)
        for v, own in zip(values, here, strict=True)
    ]
    met = rows.meet(beside, why)
    layers = list(met.layers)
    if any(layer is not None for layer in here):
        through = tuple(dict.fromkeys(name for layer in here if layer is not None for name in layer.through))
        lines = [
            torch.full(_ones([1] * rank, axis, v.shape[axis]), NONE) if own is None else own.ids
            for v, own in zip(values, here, strict=True)
        ]
        wide = [max(line.shape[d] for line in lines) for d in range(rank)]
        lines = [line.expand(*_ones(wide, axis, v.shape[axis])) for line, v in zip(lines, values, strict=True)]
        layers.insert(0, RowLayer(compact(torch.cat(lines, axis)), through))
    zero = all(value.zero for value in values if value.layers)
    result = Carried(tuple(call.value.shape), tuple(layers), zero, met.fixed, met.lost)
    return disjoint(rows, result, why)


def _ones(shape: Any, axis: int, size: int = 1) -> tuple[int, ...]:
    return tuple(size if d == axis else each for d, each in enumerate(shape))


def _unsqueezed(value: Carried, axis: int) -> Carried:
    layers = tuple(replace(layer, ids=layer.ids.unsqueeze(axis)) for layer in value.layers)
    return replace(value, shape=(*value.shape[:axis], 1, *value.shape[axis:]), layers=layers)
