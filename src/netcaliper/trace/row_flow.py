"""One pass over the graph that says where the rows of every producer lie, and what every operation asks of them.

The rule of an operation answers one question: if some rows are taken away, is what is left a value that the operation
takes, with the result of before less these rows? If it is so for every row by itself the ids pass; if only for some
together these are tied; if not they are frozen, with the reason in words. See ``rows.py`` for what a value carries.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import Node

from netcaliper.trace.elementwise import find_regions
from netcaliper.trace.export import source_line
from netcaliper.trace.ids import Ids, along
from netcaliper.trace.moved_rows import Cutting, joined, moved
from netcaliper.trace.names import Namer, module_path, operation, short
from netcaliper.trace.program import Program, Step, Values, bound
from netcaliper.trace.root_mean_square import exit_of
from netcaliper.trace.rows import Carried, RowLayer, Rows, placed, ranked
from netcaliper.trace.rules import (
    COMPARISONS,
    POINTWISE,
    RULES,
    SHAPES,
    Call,
    attention,
    extreme,
    gated_linear_unit,
    matmul,
    move,
    pad,
    reduce_,
    spatial,
)
from netcaliper.trace.structure import Norm
from netcaliper.trace.weighted import Weighted, match

_BATCH_NORMS = {
    "aten.batch_norm", "aten.native_batch_norm", "aten._native_batch_norm_legit_no_training", "aten.instance_norm",
    "aten._native_batch_norm_legit",
}  # fmt: skip
_LAYER_NORMS = {"aten.layer_norm", "aten.native_layer_norm"}
_RMS_NORMS = {"aten.rms_norm", "aten._fused_rms_norm"}
_GROUP_NORMS = {"aten.group_norm": (1, 2, 3), "aten.native_group_norm": (6, 1, 2)}
_ALONG = {"softmax", "_softmax", "log_softmax", "_log_softmax", "cumsum", "cumprod", "_safe_softmax"}
_ELEMENTWISE = POINTWISE - {"aten.tril", "aten.triu", "aten.prelu"}


@dataclass(frozen=True, eq=False)
class Read:
    """Columns of a weighted call and the rows that they read; ``NONE`` for a column that reads none."""

    name: str
    op: str
    weight: str | None
    rows: Ids
    through: tuple[str, ...]
    node: str
    operand: int


@dataclass(frozen=True, eq=False)
class Heads:
    """An attention and the rows of its heads; none where they were lost, with the reason."""

    name: str
    rows: Ids
    lost: str


class RowFlow:
    """What the pass finds; ``visit`` is called after every step of a real run, ``finish`` at the end."""

    def __init__(self, model: nn.Module, program: Program) -> None:
        self.rows = Rows()
        self.values: dict[str, Carried | list[Carried]] = {}
        self.axis_rows: dict[tuple[str, int], Ids] = {}
        """Rows along every axis of every parameter, by the first of its names."""
        self.made: list[tuple[str, Ids]] = []
        """Names of weighted calls and the rows that they make."""
        self.read: list[Read] = []
        self.columns: list[Ids] = []
        self.norms: list[tuple[Norm, Ids]] = []
        self.heads: list[Heads] = []
        self.cutting = Cutting()
        self._program = program
        nodes = [step.node for step in program.steps]
        placeholders = [n for n in nodes[0].graph.nodes if n.op == "placeholder"] if nodes else []
        self._live = find_regions([*placeholders, *nodes], frozenset(program.user_inputs)).depends
        self._namer = Namer(model)
        self._counts: Counter[str] = Counter()
        self._exits: dict[Node, Norm] = {}
        self._names: dict[tuple[object, ...], str] = {}
        self._owned = {id(tensor) for tensor in [*model.parameters(), *model.buffers()]}

    # ---- one step

    def visit(self, step: Step, value: Any, values: Values) -> None:
        """Push the rows through one step."""
        node = step.node
        self._alive = values
        if node.op == "call_function" and operation(node) == "getitem":
            parts = self.values.get(node.args[0].name)  # type: ignore[union-attr]
            self.values[node.name] = parts[node.args[1]] if isinstance(parts, list) else _bare(value)  # type: ignore[index]
        elif node.op == "call_function":
            self.values[node.name] = self._call(node, value, values)
        else:
            self.values[node.name] = _bare(value)

    def finish(self) -> None:
        """Freeze what an output returns."""
        for output in self._program.outputs:
            if isinstance(output, Node):
                self.rows.freeze_all([self._of(output)], "an output returns them")

    def _of(self, node: object) -> Carried:
        if not isinstance(node, Node):
            return Carried(())
        if node.name not in self.values:
            fixed = self._program.fixed(node.name)
            live = self._alive.get(node.name) if fixed is None else fixed
            self.values[node.name] = self._parameter(node.name, live) if fixed is not None else _bare(live)
        carried = self.values[node.name]
        return carried if isinstance(carried, Carried) else Carried(())

    def _parameter(self, node: str, tensor: Any) -> Carried:
        if not isinstance(tensor, Tensor) or id(tensor) not in self._owned or not tensor.is_floating_point():
            return _bare(tensor, fixed=True)
        rank = tensor.dim()
        name = self._names.setdefault(tensor_key(tensor), self._program.parameters[node])
        layers = []
        for axis, size in enumerate(tensor.shape):
            if size > 1:
                if (name, axis) not in self.axis_rows:
                    self.axis_rows[name, axis] = self.rows.classes.fresh(size)
                layers.append(RowLayer(along(axis, rank, self.axis_rows[name, axis])))
        return Carried(tuple(tensor.shape), tuple(layers), zero=not name.endswith("running_var"), fixed=True)

    def _call(self, node: Node, value: Any, values: Values) -> Carried | list[Carried]:
        op = operation(node)
        weighted = match(node, self._live)
        if op == "aten.embedding" and weighted is None:
            weighted = Weighted("embedding", None, 1, node.args[0], 0, 1, -1, -1)  # type: ignore[arg-type]
        if weighted is not None and len(self._of(weighted.weight).shape) > 2 and weighted.op == "matmul":
            weighted = None
        if weighted is not None:
            return self._weigh(node, weighted, value)
        operands = [self._of(operand) for operand in node.all_input_nodes]
        fixed = node not in self._live
        if op in SHAPES or not any(carried.layers for carried in operands):
            lost = next((carried.lost for carried in operands if carried.lost), "")
            return _all_bare(value, lost=lost, fixed=fixed)
        args, kwargs = bound(node, values)
        call = Call(node, op, module_path(node) or short(node), args, kwargs, value)
        rule = RULES.get(op)
        moves = rule in (move, pad)
        if fixed and not (moves or (op in _ELEMENTWISE and sum(bool(c.layers) for c in operands) == 1)):
            return self._refuse(node, operands, value, f"{_at(node)} computes something from the weights")
        if op in COMPARISONS or rule is None or op in ("aten.tril", "aten.triu"):
            does = "compares them" if op in COMPARISONS else "is an operation without a rule"
            return self._refuse(node, operands, value, f"{_at(node)} {does}")
        if moves and op in ("aten.cat", "aten.stack"):
            result: Carried | list[Carried] = joined(self.rows, self._of, call)
        elif moves:
            labelled = [n for n in node.all_input_nodes if self._of(n).layers]
            found = moved(self.rows, self.cutting, call, labelled[0], self._of(labelled[0]), self._live, _at(node))
            if len(labelled) > 1 or found is None:
                return self._refuse(node, operands, value, f"{_at(node)} puts them in other places")
            result = found
        elif op == "aten.prelu":
            result = self._affine(call, [self._of(n) for n in node.args], 1)
        elif op in _ELEMENTWISE or (rule is extreme and isinstance(value, Tensor) and len(args) > 1):
            result = self._elementwise(call, operands)
        elif op in _BATCH_NORMS:
            x, *rest = (self._of(argument) for argument in node.args[:5])
            result = self._affine(call, [x, *rest], 1)
            result = replace(result, zero=x.zero or bool(rest[0].shape))
        elif op in _LAYER_NORMS or op in _RMS_NORMS or op in _GROUP_NORMS:
            result = self._norm(call)
        elif rule in (reduce_, extreme):
            result = self._reduce(call, operands[0])
        elif rule is spatial or "pool" in op:
            last = next((int(c) for c in reversed(op) if c.isdigit()), len(operands[0].shape) - 2)
            result = self.rows.without(operands[0], range(-last, 0), f"{_at(node)} mixes them")
        elif op.removeprefix("aten.") in _ALONG:
            result = self.rows.without(operands[0], [int(call.argument(1, "dim", -1))], f"{_at(node)} mixes them")
            result = replace(result, zero=False)
        elif rule is gated_linear_unit:
            result = self._halves(call, operands[0])
        elif rule is attention:
            result = self._attention(call)
        elif rule is matmul and len(node.args) == 2:
            result = self._product(node, self._of(node.args[0]), self._of(node.args[1]))
        else:
            return self._refuse(node, operands, value, f"{_at(node)} is an operation without a rule")
        return _shaped(result, value, fixed)

    def _refuse(self, node: Node, operands: Sequence[Carried], value: Any, why: str) -> Carried | list[Carried]:
        self.rows.freeze_all(operands, why)
        return _all_bare(value, lost=why, fixed=node not in self._live)

    # ---- weights

    def _weigh(self, node: Node, weighted: Weighted, value: Any) -> Carried | list[Carried]:
        name = self._namer.name(node, weighted.op, weighted=True)
        x = self._of(weighted.operand) if weighted.operand is not None else None
        weight = self._of(weighted.weight)
        if weighted.recurrent or weighted.routed:
            inside = "is a recurrent cell" if weighted.recurrent else "sends tokens to experts with units of their own"
            return self._refuse(node, [self._of(n) for n in node.all_input_nodes], value, f"{name} {inside}")
        if isinstance(value, (tuple, list)):
            return self._refuse(
                node, [self._of(n) for n in node.all_input_nodes], value, f"{name} returns several values"
            )
        rank, makes = value.dim(), weighted.makes % value.dim()
        made = self._line(weight, weighted.row_axis)
        if weighted.groups > 1:
            assert x is not None
            made, kept = self._grouped(weighted, name, node, x, weight, made)
        elif x is not None:
            kept = self._contract(weighted, name, node, x, self._line(weight, weighted.column_axis))
        else:
            kept = ()
            if (vocabulary := weight.along(0)) is not None:
                self.rows.freeze(vocabulary.ids, f"{name} looks them up")
        through: tuple[str, ...] = ()
        if isinstance(made, RowLayer):
            made, through = made.ids, made.through
        elif made is not None:
            self.made.append((name, made))
        new = () if made is None else (RowLayer(along(makes, rank, made), through),)
        lost = "" if new or kept else f"{name} makes none that could go by itself"
        result = Carried(tuple(value.shape), (*new, *kept), zero=weight.zero, lost=lost)
        bias = self._bias(node, weighted)
        if bias is not None:
            result = self._affine_of([result, bias], makes, f"{name} adds something else")
            result = replace(result, zero=weight.zero and bias.zero)
        return result

    def _bias(self, node: Node, weighted: Weighted) -> Carried | None:
        op = operation(node)
        if op == "aten.addmm":
            return self._of(node.args[0])
        position = 2 if op == "aten.linear" or "conv" in op else None
        if position is None or len(node.args) <= position or not isinstance(node.args[position], Node):
            return None
        return self._of(node.args[position])

    def _line(self, weight: Carried, axis: int) -> Ids | None:
        layer = weight.along(axis)
        if layer is not None:
            axis %= len(weight.shape)
            layer = self.rows.collapse(layer, layer.axes - {axis}, "a weight has them along two axes")
        return None if layer is None else layer.ids.reshape(-1)

    def _contract(self, weighted: Weighted, name: str, node: Node, x: Carried, own: Ids | None) -> tuple[RowLayer, ...]:
        """Let a weight read what lies along one axis, and return the layers that stay beside it."""
        axis = weighted.reads % len(x.shape)
        if weighted.op.startswith("conv") and any(size > 1 for size in self._of(weighted.weight).shape[2:]):
            over = [
                d for d in range(len(x.shape) - len(self._of(weighted.weight).shape) + 2, len(x.shape)) if d != axis
            ]
            x = self.rows.without(x, over, f"{name} slides over them")
        layer = x.along(axis)
        kept = tuple(other for other in x.layers if other is not layer)
        if layer is None:
            if own is not None:
                self.rows.freeze(own, x.lost or f"{name} reads what cannot go")
            return kept
        layer = self.rows.collapse(layer, layer.axes - {axis}, f"{name} reads them along another axis too")
        assert layer is not None
        rows = layer.ids.reshape(-1)
        if own is None:
            self.rows.freeze(rows, f"{name} has a weight that cannot be cut")
        else:
            self.rows.tie(own, rows, f"{name} reads them beside what cannot go")
            self.columns.append(own)
        self._reads(weighted, name, node, rows, layer.through)
        return kept

    def _reads(self, weighted: Weighted, name: str, node: Node, rows: Ids, through: tuple[str, ...]) -> None:
        weight = self._program.parameters.get(weighted.weight.name)
        self.read.append(Read(name, weighted.op, weight, rows, through, node.name, weighted.operand_index))

    def _grouped(
        self, weighted: Weighted, name: str, node: Node, x: Carried, weight: Carried, made: Ids | None
    ) -> tuple[Ids | RowLayer | None, tuple[RowLayer, ...]]:
        """Let a grouped convolution read: filters of single channels ride with them.

        Otherwise every group must lose as many channels, and the weight has one column for the channels at one place of
        all groups: these are one unit.
        """
        axis = weighted.reads % len(x.shape)
        channels, groups = x.shape[axis], weighted.groups
        x = self.rows.without(x, range(axis + 1, len(x.shape)), f"{name} slides over them")
        layer = x.along(axis)
        kept = tuple(other for other in x.layers if other is not layer)
        rows = None
        if layer is not None:
            layer = self.rows.collapse(layer, layer.axes - {axis}, f"{name} reads them along another axis too")
            assert layer is not None
            rows = layer.ids.reshape(-1)
        plain = self._program.parameters.get(weighted.weight.name)
        transposed = weighted.row_axis == 1
        depthwise = groups == channels and not transposed
        if rows is None or made is None or transposed or (plain is None and not depthwise):
            for ids in (rows, made):
                if ids is not None:
                    self.rows.freeze(ids, f"{name} has groups of channels that cannot be cut")
            return None, kept
        if depthwise:
            self.rows.tie(
                made, rows.repeat_interleave(len(made) // channels), f"{name} reads them beside what cannot go"
            )
            assert layer is not None
            return RowLayer(made, layer.through), kept
        columns = self._line(weight, weighted.column_axis)
        if columns is None:
            self.rows.freeze(rows, f"{name} reads one channel a group")
        else:
            self.rows.tie(columns.repeat(groups), rows, f"{name} reads them beside what cannot go")
            self.columns.append(columns)
        each = len(made) // groups
        self.rows.tie(made, made[:each].repeat(groups), f"{name} has groups of channels that cannot be cut")
        self._reads(weighted, name, node, rows, layer.through if layer else ())
        return made, kept

    # ---- everything else

    def _elementwise(self, call: Call, operands: Sequence[Carried]) -> Carried:
        met = self.rows.meet(operands, f"{_at(call.node)} combines them with what cannot go")
        norm = self._exits.get(call.node)
        if norm is not None:
            layers = [replace(x, through=tuple(dict.fromkeys((*x.through, norm.name)))) for x in met.layers]
            met = replace(met, layers=tuple(layers))
        return replace(met, zero=self._keeps_zero(call))

    def _keeps_zero(self, call: Call) -> bool:
        """Tell whether the value is 0 where those of its operands are 0 that are so for a unit without weights."""

        def zeroed(argument: Any, original: Any) -> Any:
            if isinstance(original, Node):
                zero = isinstance(argument, Tensor) and self._of(original).zero
                return torch.zeros_like(argument) if zero else argument
            return argument

        args = [zeroed(a, o) for a, o in zip(call.args, call.node.args, strict=True)]
        kwargs = {key: zeroed(a, call.node.kwargs[key]) for key, a in call.kwargs.items()}
        with torch.no_grad():
            value = call.node.target(*args, **kwargs)  # type: ignore[operator]
        return isinstance(value, Tensor) and bool((value == 0).all())

    def _affine(self, call: Call, values: Sequence[Carried], axis: int) -> Carried:
        met = self._affine_of(values, axis, f"{_at(call.node)} combines them with what cannot go")
        return replace(met, zero=values[0].zero)

    def _affine_of(self, values: Sequence[Carried], axis: int, why: str) -> Carried:
        """Combine a value with vectors along one of its axes."""
        rank = len(values[0].shape)
        vectors = [placed(v, axis, rank) if len(v.shape) == 1 else ranked(v, rank) for v in values[1:] if v.shape]
        return self.rows.meet([values[0], *vectors], why)

    def _norm(self, call: Call) -> Carried:
        node, op = call.node, call.op
        x = self._of(node.args[0])
        rank = len(x.shape)
        if op in _GROUP_NORMS:
            kind, (groups, weight, bias) = "group_norm", _GROUP_NORMS[op]
            own = call.args[groups] == x.shape[1]
            over, axis = list(range(2 if own else 1, rank)), 1
        else:
            kind, weight, bias = ("layer_norm" if op in _LAYER_NORMS else "rms_norm"), 2, 3
            over, axis = list(range(rank - len(call.args[1]), rank)), rank - 1
        layers: list[RowLayer] = []
        for layer in x.layers:
            across = layer.axes & set(over)
            if not across or layer.axes - across:
                kept = self.rows.collapse(layer, across, f"{_at(node)} takes statistics over them")
                layers += [kept] if kept is not None else []
                continue
            zero_at_zero = kind != "rms_norm" or x.zero
            norm = self._found_norm(node, kind if zero_at_zero else "other", layer.ids)
            layers.append(replace(layer, through=tuple(dict.fromkeys((*layer.through, norm.name)))))
        x = replace(x, layers=tuple(layers))
        scales = [
            self._of(node.args[i]) for i in (weight, bias) if len(node.args) > i and isinstance(node.args[i], Node)
        ]
        scales = scales[:1] if kind == "rms_norm" else scales
        met = self._affine_of([x, *scales], axis, f"{_at(node)} combines them with what cannot go")
        zero = x.zero if kind == "rms_norm" else len(scales) == 2
        return replace(met, zero=zero)

    def _found_norm(self, node: Node, kind: Any, ids: Ids) -> Norm:
        if kind == "group_norm":
            self.rows.freeze(ids, f"{_at(node)} takes statistics over groups of them")
        nothing = np.empty(0, dtype=np.int64)  # its units are known once all ties are
        norm = Norm(self._namer.name(node, kind, weighted=True), module_path(node), kind, node.name, nothing)
        self.norms.append((norm, ids))
        return norm

    def _reduce(self, call: Call, x: Carried) -> Carried | list[Carried]:
        node, rank = call.node, len(x.shape)
        keep = {"aten.linalg_vector_norm": 3, "aten.var": 3, "aten.std": 3}.get(call.op, 2)
        dims = call.argument(2 if call.op == "aten.linalg_vector_norm" else 1, "dim", None)
        dims = list(range(rank)) if dims is None or dims == [] else [dims] if isinstance(dims, int) else list(dims)
        dims = sorted({int(d) % rank for d in dims})
        divides = exit_of(node)
        layers: list[RowLayer] = []
        for layer in x.layers:
            if divides is not None and layer.axes == frozenset(dims):
                self._exits[divides] = self._found_norm(node, "rms_norm" if x.zero else "other", layer.ids)
                continue
            kept = self.rows.collapse(layer, dims, f"{_at(node)} takes a statistic over them")
            layers += [kept] if kept is not None else []
        if not bool(call.argument(keep, "keepdim", False)):
            for d in reversed(dims):
                layers = [replace(layer, ids=layer.ids.squeeze(d)) for layer in layers]
        lost = "" if layers else x.lost or f"{_at(node)} takes a statistic over them"
        result = Carried(x.shape, tuple(layers), zero=x.zero, lost=lost)
        return [result, *[Carried(())] * (len(call.value) - 1)] if isinstance(call.value, (tuple, list)) else result

    def _halves(self, call: Call, x: Carried) -> Carried:
        axis = int(call.argument(1, "dim", -1)) % len(x.shape)
        layers = []
        for layer in x.layers:
            if axis in layer.axes:
                first, second = layer.ids.chunk(2, axis)
                self.rows.tie(first, second, f"{_at(call.node)} combines them with what cannot go")
                layers.append(replace(layer, ids=first))
            else:
                layers.append(layer)
        return replace(x, layers=tuple(layers))

    def _attention(self, call: Call) -> Carried:
        node, rank = call.node, call.value.dim()
        query, key, value = (self._of(n) for n in node.args[:3])
        mask = self._of(call.node.args[3]) if len(node.args) > 3 else self._of(node.kwargs.get("attn_mask"))
        scores = f"they make the scores of {_at(node)}"
        parts = []
        for operand in (query, key, mask):
            x = self.rows.without(ranked(operand, rank), [-1, -2], scores)
            parts.append(replace(x, shape=(*x.shape[:-2], 1, 1)))
        value = self.rows.without(value, [-2], scores)
        value = replace(value, shape=(*value.shape[:-2], 1, value.shape[-1]))
        parts = [_repeated(x, call.value.shape[-3]) if rank > 2 else x for x in (*parts, value)]
        met = self.rows.meet([parts[3], *parts[:3]], f"{_at(node)} combines them with what cannot go")
        self._note_heads(node, met, list(range(rank - 2)))
        return replace(met, zero=value.zero)

    def _product(self, node: Node, a: Carried, b: Carried) -> Carried:
        """Multiply two values: what lies along the contracted axis cannot go, the axes before are common."""
        rank = max(len(a.shape), len(b.shape), 2)
        a, b = ranked(a, rank), ranked(b, rank)
        why = f"{_at(node)} sums over them"
        left, right = self.rows.without(a, [-1], why), self.rows.without(b, [-2], why)
        left = replace(left, shape=(*left.shape[:-1], 1))
        right = replace(right, shape=(*right.shape[:-2], 1, right.shape[-1]))
        met = self.rows.meet([right, left], f"{_at(node)} combines them with what cannot go")
        if _weighs_values(node.args[0]):
            self._note_heads(node, met, list(range(rank - 2)))
        return replace(met, zero=a.zero or b.zero)

    def _note_heads(self, node: Node, met: Carried, axes: Sequence[int]) -> None:
        path = module_path(node) or short(node)
        self._counts[path] += 1
        name = path if self._counts[path] == 1 else f"{path}#{self._counts[path]}"
        layers = [layer.ids for layer in met.layers if layer.axes <= set(axes)]
        rows = torch.cat([ids.reshape(-1) for ids in layers]) if layers else torch.empty(0, dtype=torch.int64)
        self.heads.append(Heads(name, rows, met.lost or "it has one head, or none on an axis of their own"))


def tensor_key(tensor: Tensor) -> tuple[object, ...]:
    """Return what two names of one tensor have in common."""
    return (tensor.data_ptr(), tuple(tensor.shape), tensor.stride())


def _at(node: Node) -> str:
    place = source_line(node)
    path = module_path(node)
    return short(node) + (f" in {path}" if path else "") + (f" ({place})" if place else "")


def _bare(value: Any, *, lost: str = "", fixed: bool = False) -> Carried:
    return Carried(tuple(value.shape) if isinstance(value, Tensor) else (), lost=lost, fixed=fixed)


def _all_bare(value: Any, *, lost: str, fixed: bool) -> Carried | list[Carried]:
    if isinstance(value, (tuple, list)):
        return [_bare(part, lost=lost, fixed=fixed) for part in value]
    return _bare(value, lost=lost, fixed=fixed)


def _shaped(result: Carried | list[Carried], value: Any, fixed: bool) -> Carried | list[Carried]:
    """Give a result the shape of the value that it stands for."""
    if not isinstance(value, (tuple, list)):
        assert isinstance(result, Carried)
        return replace(result, shape=tuple(value.shape), fixed=fixed)
    parts = result if isinstance(result, list) else [result, *[Carried(())] * (len(value) - 1)]
    return [
        replace(part, shape=tuple(each.shape), fixed=fixed) if isinstance(each, Tensor) else Carried(())
        for part, each in zip(parts, value, strict=True)
    ]


def _repeated(value: Carried, heads: int) -> Carried:
    """Repeat keys and values of grouped-query attention for all query heads that share them."""
    own = value.shape[-3]
    if own in (1, heads):
        return value
    layers = [
        replace(layer, ids=layer.ids.repeat_interleave(heads // own, dim=-3)) if layer.ids.shape[-3] == own else layer
        for layer in value.layers
    ]
    return replace(value, shape=(*value.shape[:-3], heads, *value.shape[-2:]), layers=tuple(layers))


def _weighs_values(node: object) -> bool:
    """Tell whether a value is a softmax, but for casts and views."""
    passing = {"aten.to", "aten._to_copy", "aten.clone", "aten.dropout", "aten.view", "aten.expand", "aten.detach"}
    while isinstance(node, Node) and operation(node) in passing:
        node = node.args[0]
    return isinstance(node, Node) and "softmax" in operation(node)
