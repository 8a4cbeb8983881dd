"""Which nodes of a functional graph are affine forms of earlier values, read off their operations and constants."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, Node
from torch.fx.node import map_arg

from netcaliper.surgery.affine import Affine, Term
from netcaliper.surgery.linear_maps import Kernel, Scale
from netcaliper.trace.names import operation

_IDENTITIES = frozenset(
    f"aten.{name}"
    for name in ("clone", "alias", "detach", "contiguous", "lift_fresh_copy", "positive", "dropout", "_to_copy", "to")
)
_CONVOLUTIONS = {"aten.conv1d": 1, "aten.conv2d": 2, "aten.conv3d": 3}
_NORMS = ("aten._native_batch_norm_legit_no_training", "aten.batch_norm")
_VIEWS = ("aten.view", "aten.reshape", "aten._unsafe_view")


class Constants:
    """Values of nodes that depend on no input, in float64: weights, and what the graph computes from weights."""

    def __init__(self, root: nn.Module) -> None:
        self._root = root
        self._known: dict[Node, Any] = {}

    def __call__(self, node: object) -> Any:
        """Return the value of a node, ``None`` if it depends on an input or is no tensor."""
        if not isinstance(node, Node):
            return None
        stack = [node]
        while stack:
            top = stack[-1]
            waiting = [n for n in top.all_input_nodes if n not in self._known]
            if waiting:
                stack += waiting
            else:
                self._known.setdefault(top, self._value(top))
                stack.pop()
        return self._known[node]

    def _value(self, node: Node) -> Any:
        if node.op == "get_attr":
            found: Any = self._root
            for part in str(node.target).split("."):
                found = getattr(found, part)
            floating = isinstance(found, Tensor) and found.is_floating_point()
            return found.detach().double() if floating else found.detach() if isinstance(found, Tensor) else None
        inputs = node.all_input_nodes
        if node.op != "call_function" or not inputs or any(self._known[n] is None for n in inputs):
            return None
        args = map_arg(node.args, self._known.__getitem__)
        kwargs = map_arg(node.kwargs, self._known.__getitem__)
        with torch.no_grad():
            return node.target(*args, **kwargs)  # type: ignore[operator]


def affine_nodes(graph: Graph, constants: Constants) -> Iterator[tuple[Node, Affine, tuple[Node, ...]]]:
    """Give every affine node, its form, and the nodes between it and what the form reads (parts of one operation)."""
    for node in graph.nodes:
        value = node.meta.get("val")
        if node.op == "call_function" and isinstance(value, Tensor) and value.is_floating_point():
            found = _form(node, constants)
            if found is not None:
                yield node, *found


def is_identity(node: Node) -> bool:
    """Tell whether a node returns what it reads, in the same dtype: a copy, a dropout that is off."""
    if operation(node) not in _IDENTITIES or not isinstance(node.args[0], Node):
        return False
    value, source = node.meta.get("val"), node.args[0].meta.get("val")
    if not isinstance(value, Tensor) or not isinstance(source, Tensor):
        return False
    off = operation(node) != "aten.dropout" or not node.args[2]
    return off and value.dtype == source.dtype and value.device == source.device


def _form(node: Node, constants: Constants) -> tuple[Affine, tuple[Node, ...]] | None:
    op = operation(node)
    if op == "aten.linear" or op in ("aten.addmm", "aten.mm", "aten.matmul"):
        return _matrix(node, op, constants)
    if op in _CONVOLUTIONS or op == "aten.convolution":
        return _convolution(node, op, constants)
    if op in _VIEWS:
        return _flattened(node, constants)
    if op == "getitem" and node.args[1] == 0 and operation(_node(node.args[0])) == _NORMS[0]:
        inner = _node(node.args[0])
        form = _batch_norm(inner, (*inner.args[1:5], inner.args[6]), constants)
        return None if form is None else (form, (inner,))
    if op == _NORMS[1] and not node.args[5]:
        form = _batch_norm(node, (*node.args[1:5], node.args[7]), constants)
        return None if form is None else (form, ())
    if op in ("aten.mul", "aten.div", "aten.add", "aten.sub"):
        form = _elementwise(node, op, constants)
        return None if form is None else (form, ())
    return None


def _matrix(node: Node, op: str, constants: Constants) -> tuple[Affine, tuple[Node, ...]] | None:
    first = 1 if op == "aten.addmm" else 0
    source, weight = node.args[first], constants(node.args[first + 1])
    if node.kwargs or not isinstance(source, Node) or constants(source) is not None:
        return None
    if not isinstance(weight, Tensor) or weight.dim() != 2 or source.meta["val"].dim() != node.meta["val"].dim():
        return None
    given = node.args[0] if op == "aten.addmm" else node.args[2] if op == "aten.linear" and len(node.args) > 2 else None
    bias = None if given is None else constants(given)
    if given is not None and (not isinstance(bias, Tensor) or bias.shape != node.meta["val"].shape[-1:]):
        return None
    matrix = weight if op == "aten.linear" else weight.T
    return Affine((Term(source, Kernel(matrix)),), node.meta["val"].dim() - 1, _nonzero(bias)), ()


def _flattened(node: Node, constants: Constants) -> tuple[Affine, tuple[Node, ...]] | None:
    """Recognize a matrix between two reshapes that only join and part the axes before the units'."""
    inner = node.args[0]
    if not isinstance(inner, Node) or operation(inner) not in ("aten.addmm", "aten.mm") or len(inner.users) != 1:
        return None
    found = _matrix(inner, operation(inner), constants)
    if found is None:
        return None
    flat = found[0].terms[0].source
    if operation(flat) not in _VIEWS or not isinstance(flat.args[0], Node):
        return None
    wide = flat.args[0].meta["val"].shape
    if _sizes(wide[:-1]) != _sizes(node.meta["val"].shape[:-1]) or _sizes(wide[-1:]) != _sizes(
        flat.meta["val"].shape[-1:]
    ):
        return None
    term = Term(flat.args[0], found[0].terms[0].map)
    return Affine((term,), node.meta["val"].dim() - 1, found[0].bias), (inner, flat)


def _convolution(node: Node, op: str, constants: Constants) -> tuple[Affine, tuple[Node, ...]] | None:
    source, weight = node.args[0], constants(node.args[1])
    args = [*node.args, *[None] * 9]
    general = op == "aten.convolution"
    if node.kwargs or not isinstance(source, Node) or not isinstance(weight, Tensor) or (general and args[6]):
        return None
    axes = weight.dim() - 2
    if source.meta["val"].dim() != axes + 2 or constants(source) is not None:
        return None
    bias = None if args[2] is None else constants(args[2])
    if args[2] is not None and not isinstance(bias, Tensor):
        return None
    stride, dilation = (_each_axis(args[place], 1, axes) for place in (3, 5))
    if isinstance(args[4], str):
        reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if args[4] == "same" and any(total % 2 for total in reach):
            return None  # one side gets more zeros than the other
        padding = tuple(total // 2 if args[4] == "same" else 0 for total in reach)
    else:
        padding = _each_axis(args[4], 0, axes)
    groups = args[8 if general else 6]
    kernel = Kernel(weight, stride, padding, dilation, 1 if groups is None else int(groups))  # type: ignore[arg-type]
    return Affine((Term(source, kernel),), 1, _nonzero(bias)), ()


def _batch_norm(node: Node, arguments: Sequence[Any], constants: Constants) -> Affine | None:
    """Return ``y = g (x - mean) / sqrt(var + eps) + beta`` as a scale and a bias."""
    gain, shift, mean, variance = (None if a is None else constants(a) for a in arguments[:4])
    source = node.args[0]
    if mean is None or variance is None or not isinstance(source, Node):
        return None
    factor = (variance + float(arguments[4])).rsqrt()
    factor = factor if gain is None else factor * gain
    bias = -mean * factor if shift is None else shift - mean * factor
    return Affine((Term(source, Scale(factor)),), 1, _nonzero(bias))


def _elementwise(node: Node, op: str, constants: Constants) -> Affine | None:
    if node.kwargs or len(node.args) != 2:
        return None
    shape = node.meta["val"].shape
    given = [constants(argument) for argument in node.args]
    data = [a for a, constant in zip(node.args, given, strict=True) if isinstance(a, Node) and constant is None]
    if any(_sizes(a.meta["val"].shape) != _sizes(shape) or a.meta["val"].dtype != node.meta["val"].dtype for a in data):
        return None
    if len(data) == 2:
        return Affine((Term(data[0], Scale()), Term(data[1], Scale())), None) if op == "aten.add" else None
    constant = next((c for c in given if isinstance(c, Tensor)), None)
    if len(data) != 1 or constant is None or (op in ("aten.div", "aten.sub") and data[0] is not node.args[0]):
        return None
    full = [1] * (len(shape) - constant.dim()) + list(constant.shape)
    axes = [axis for axis, size in enumerate(full) if size > 1]
    if len(axes) != 1 or _sizes(shape[axes[0] : axes[0] + 1]) != (str(full[axes[0]]),):
        return None
    vector = constant.flatten()
    if op in ("aten.mul", "aten.div"):
        return Affine((Term(data[0], Scale(vector if op == "aten.mul" else 1 / vector)),), axes[0])
    return Affine((Term(data[0], Scale()),), axes[0], vector if op == "aten.add" else -vector)


def _each_axis(given: Any, default: int, axes: int) -> tuple[int, ...]:
    if given is None or isinstance(given, int):
        return (default if given is None else given,) * axes
    return tuple(given) if len(given) == axes else (given[0],) * axes


def _nonzero(bias: Tensor | None) -> Tensor | None:
    return None if bias is None or not bool(bias.any()) else bias


def _sizes(shape: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(size) for size in shape)


def _node(value: object) -> Node:
    assert isinstance(value, Node)
    return value
