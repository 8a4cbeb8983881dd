"""How unit ids pass through each operation: the rule table.

A rule takes the ids that one carrier (a site, or a layer of producer rows) has on the operands of a call and returns
the ids on its value. An operation that is not in ``RULES`` and not weighted is unknown, and refused by name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from netcaliper.trace.activations import ACTIVATIONS, NONLINEAR
from netcaliper.trace.ids import MIXED, NONE, Ids, compact, merge, varying, window


@dataclass(frozen=True)
class Layer:
    """Ids of one carrier on one value.

    Attributes:
        ids: compact ids, of the value's rank.
        through: names of operations on the way that mixed all units into a statistic (a normalization), or mixed them
            for good.
        statistic: the ids are ``MIXED`` because units were reduced to a statistic; scaling by it is a normalization.
    """

    ids: Ids
    through: tuple[str, ...] = ()
    statistic: bool = False

    @property
    def mixed(self) -> bool:
        """Whether nothing but mixtures is left."""
        return bool((self.ids < 0).all()) and bool((self.ids == MIXED).any())


@dataclass(frozen=True)
class Call:
    """One call of the graph with its real arguments."""

    node: Node
    op: str
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    value: Any

    def argument(self, index: int, key: str, default: Any) -> Any:
        """Return a positional or keyword argument."""
        if key in self.kwargs:
            return self.kwargs[key]
        return self.args[index] if len(self.args) > index else default


Layers = dict[Node, Layer]
Rule = Callable[[Call, Layers], "Layer | list[Layer]"]


def _through(layers: Layers, *more: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([name for layer in layers.values() for name in layer.through] + list(more)))


def _only(layers: Layers) -> Layer:
    return next(iter(layers.values()))


def _axis(axis: int, rank: int) -> int:
    return axis + rank if axis < 0 else axis


def ranked(ids: Ids, rank: int) -> Ids:
    """Give ids the rank of a value that they are broadcast to."""
    return ids.reshape([1] * (rank - ids.dim()) + list(ids.shape)) if ids.dim() < rank else ids


def pointwise(call: Call, layers: Layers) -> Layer:
    """Elementwise: ids pass; scaling by a statistic of the same carrier is a normalization and is noted."""
    rank = call.value.dim() if isinstance(call.value, Tensor) else _only(layers).ids.dim()
    parts = [replace(layer, ids=ranked(layer.ids, rank)) for layer in layers.values()]
    carrying = [part for part in parts if not part.statistic] or parts
    ids = carrying[0].ids
    for part in carrying[1:]:
        ids = merge(ids, part.ids)
    return Layer(ids, _through(layers), all(part.statistic for part in parts))


def move(call: Call, layers: Layers) -> "Layer | list[Layer]":
    """Run the operation itself on the ids; operands that carry nothing are filled with ``NONE``."""
    statistic = all(layer.statistic for layer in layers.values())
    through = _through(layers)

    def swap(argument: Any, original: Any) -> Any:
        if isinstance(original, Node):
            if not isinstance(argument, Tensor):
                return argument
            if original in layers:
                return layers[original].ids.expand(argument.shape)
            return (
                torch.full_like(argument, NONE, dtype=torch.int64, device="cpu")
                if argument.is_floating_point()
                else argument.cpu()
            )
        if isinstance(original, (list, tuple)):
            return type(original)(swap(a, o) for a, o in zip(argument, original, strict=True))
        return argument

    args = [swap(a, o) for a, o in zip(call.args, call.node.args, strict=True)]
    kwargs = {
        key: swap(value, call.node.kwargs[key])
        for key, value in call.kwargs.items()
        if key not in ("dtype", "layout", "device", "pin_memory")
    }
    target: Any = call.node.target
    if call.op in ("aten.view", "aten._unsafe_view"):
        target = torch.ops.aten.reshape.default  # expanded ids have other strides than the value
    moved = target(*args, **kwargs)
    if isinstance(moved, Tensor):
        return Layer(compact(moved), through, statistic)
    return [Layer(compact(part), through, statistic) for part in moved]


def pad(call: Call, layers: Layers) -> "Layer | list[Layer]":
    """Padding: the filling carries nothing; reflected and repeated borders carry what they repeat."""
    layer = _only(layers)
    widths = list(call.args[1])
    mode = (
        str(call.argument(2, "mode", "constant")) if call.op == "aten.pad" else call.op.split(".")[1].split("_pad")[0]
    )
    full = layer.ids.expand(call.args[0].shape)
    if mode == "constant":
        return replace(layer, ids=compact(torch.nn.functional.pad(full, widths, value=NONE)))
    mode = {"reflection": "reflect", "replication": "replicate"}.get(mode, mode)
    return replace(layer, ids=compact(torch.nn.functional.pad(full.double(), widths, mode=mode).long()))


def reduce_(call: Call, layers: Layers) -> Layer:
    """Mean, sum, max over axes: an id survives where it is the only one, else a statistic of units is left."""
    layer = _only(layers)
    rank = layer.ids.dim()
    dims = call.argument(1, "dim", None)
    if call.op == "aten.linalg_vector_norm":
        dims = call.argument(2, "dim", None)
    keep_index = {"aten.linalg_vector_norm": 3, "aten.var": 3, "aten.std": 3}.get(call.op, 2)
    keepdim = bool(call.argument(keep_index, "keepdim", False))
    dims = list(range(rank)) if dims is None or dims == [] else [dims] if isinstance(dims, int) else list(dims)
    ids = window(layer.ids, [_axis(d, rank) for d in dims], keepdim=keepdim)
    mixes = bool((ids == MIXED).any()) and not bool((layer.ids == MIXED).all())
    return Layer(compact(ids), (*layer.through, call.name) if mixes else layer.through, layer.statistic or mixes)


def spatial(call: Call, layers: Layers) -> "Layer | list[Layer]":
    """Pooling and resizing over the last axes: ids pass if they do not vary there."""
    layer = _only(layers)
    dims = (
        int(next(c for c in reversed(call.op) if c.isdigit()))
        if any(c.isdigit() for c in call.op)
        else layer.ids.dim() - 2
    )
    within = set(range(layer.ids.dim() - dims, layer.ids.dim()))
    if within & set(varying(layer.ids)):
        layer = Layer(torch.full([1] * layer.ids.dim(), MIXED), (*layer.through, call.name))
    else:
        layer = replace(layer, ids=window(layer.ids, sorted(within), keepdim=True))
    return [layer] * len(call.value) if isinstance(call.value, (tuple, list)) else layer


def normalize(axes: Callable[[Call, int], Sequence[int]]) -> Rule:
    """A normalization whose statistics run over ``axes``: ids pass; where units lie on them, its name is noted."""

    def rule(call: Call, layers: Layers) -> "Layer | list[Layer]":
        layer = _only(layers)
        mixes = set(varying(layer.ids)) & set(axes(call, layer.ids.dim()))
        if mixes:
            layer = replace(layer, through=tuple(dict.fromkeys((*layer.through, call.name))))
        return [layer] * len(call.value) if isinstance(call.value, (tuple, list)) else layer

    return rule


def _normalized_shape(call: Call, rank: int) -> Sequence[int]:
    return range(rank - len(call.args[1]), rank)


def _group_axes(call: Call, rank: int) -> Sequence[int]:
    groups = call.args[1] if call.op == "aten.group_norm" else call.args[6]
    return range(2, rank) if groups == call.args[0].shape[1] else range(1, rank)


def along_axis(index: int) -> Rule:
    """Softmax, cumulative sums: ids pass unless the axis is the one on which the units lie."""

    def rule(call: Call, layers: Layers) -> "Layer | list[Layer]":
        layer = _only(layers)
        rank = layer.ids.dim()
        axis = _axis(int(call.argument(index, "dim", -1)), rank)
        if axis in varying(layer.ids):
            layer = Layer(torch.full([1] * rank, MIXED), (*layer.through, call.name))
        return [layer] * len(call.value) if isinstance(call.value, (tuple, list)) else layer

    return rule


def contract(call: Call, layer: Layer, axis: int) -> Layer:
    """Contract one axis of an operand: its units mix; units on other axes stay, and do not vary on the new axis."""
    rank = call.value.dim()
    ids = ranked(layer.ids, rank)
    axis = _axis(axis, rank)
    if axis in varying(ids):
        return Layer(torch.full([1] * rank, MIXED), (*layer.through, call.name))
    return replace(layer, ids=compact(window(ids, [axis], keepdim=True)))


def matmul(call: Call, layers: Layers) -> Layer:
    """Product of two values: ``out[i, j] = sum_k a[i, k] b[k, j]``; units along k mix, units along i or j stay."""
    first, second = (0, 1) if call.op not in ("aten.baddbmm",) else (1, 2)
    a, b = call.node.args[first], call.node.args[second]
    parts: Layers = {}
    for node, layer in layers.items():
        if node is a:
            parts[node] = contract(call, layer, -1)
        elif node is b:
            parts[node] = contract(call, layer, -2)
        else:
            parts[node] = layer
    clear = {node: layer for node, layer in parts.items() if not layer.mixed}
    # one carrier on both sides: the mixed side is a set of weights for the clear one, like a statistic
    return replace(pointwise(call, clear or parts), through=_through(parts))


def attention(call: Call, layers: Layers) -> Layer:
    """Scaled dot-product attention: the value operand keeps its ids, query and key mix theirs into weights."""
    query, key, value = call.node.args[:3]
    rank = call.value.dim()
    if value not in layers:
        return Layer(torch.full([1] * rank, MIXED), _through(layers, call.name))
    layer = layers[value]  # type: ignore[index]
    if rank - 2 in varying(layer.ids):
        return Layer(torch.full([1] * rank, MIXED), _through(layers, call.name))
    ids = window(layer.ids, [rank - 2], keepdim=True)
    heads = call.value.shape[-3] if rank >= 3 else 1
    if ids.shape[-3 if rank >= 3 else 0] not in (1, heads):
        ids = ids.repeat_interleave(heads // ids.shape[-3], dim=-3)  # grouped-query attention
    mixing = [node for node in (query, key) if node in layers]
    return Layer(compact(ids), _through(layers, call.name) if mixing else layer.through, layer.statistic)


def gated_linear_unit(call: Call, layers: Layers) -> Layer:
    """``glu(x) = a * sigmoid(b)`` with x split in two along an axis: each half carries its own ids."""
    layer = _only(layers)
    axis = _axis(int(call.argument(1, "dim", -1)), layer.ids.dim())
    if axis not in varying(layer.ids):
        return layer
    a, b = layer.ids.chunk(2, axis)
    return replace(layer, ids=merge(a, b))


def first_of_many(call: Call, layers: Layers) -> list[Layer]:
    """Operations with several outputs, of which only the first carries the values."""
    ids = spatial(call, layers) if "pool" in call.op else along_axis(1)(call, layers)
    layer = ids[0] if isinstance(ids, list) else ids
    empty = Layer(torch.full([1] * layer.ids.dim(), NONE), layer.through)
    return [layer, *[empty] * (len(call.value) - 1)]


def extreme(call: Call, layers: Layers) -> "Layer | list[Layer]":
    """``max`` and ``min``: elementwise of two values, or over one axis (values and positions), or over everything."""
    if isinstance(call.value, Tensor):
        return pointwise(call, layers) if len(call.args) > 1 else reduce_(call, layers)
    values = reduce_(call, layers)
    return [values, replace(values, ids=torch.full([1] * values.ids.dim(), NONE))]


def _names(rule: Rule, *names: str) -> dict[str, Rule]:
    return {f"aten.{name}": rule for name in names}


POINTWISE = frozenset(
    f"aten.{name}"
    for name in (
        "add", "sub", "rsub", "mul", "div", "neg", "clone", "alias", "detach", "lift_fresh_copy", "contiguous",
        "dropout", "feature_dropout", "to", "_to_copy", "type_as", "where", "masked_fill", "lerp", "addcmul", "addcdiv",
        "nan_to_num", "positive", "real", "threshold", "xlogy", "copy", "tril", "triu",
    )
) | frozenset(ACTIVATIONS) | NONLINEAR  # fmt: skip

RULES: dict[str, Rule] = {
    **dict.fromkeys(POINTWISE, pointwise),
    **_names(
        move, "view", "reshape", "_unsafe_view", "permute", "transpose", "t", "numpy_T", "mT", "expand", "expand_as",
        "flatten", "unflatten", "slice", "select", "split", "split_with_sizes", "chunk", "tensor_split", "unbind",
        "squeeze", "unsqueeze", "repeat", "repeat_interleave", "roll", "flip", "rot90", "index", "index_select",
        "gather", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "cat", "stack", "slice_scatter",
        "select_scatter", "movedim", "swapaxes", "narrow", "diagonal", "tile", "as_strided", "unfold", "atleast_2d",
        "hstack", "vstack", "split_copy", "meshgrid", "index_put", "slice_copy", "select_copy", "view_copy",
        "expand_copy", "permute_copy", "unsqueeze_copy", "squeeze_copy", "column_stack", "concat", "_reshape_copy",
    ),
    **_names(pad, "constant_pad_nd", "pad", "reflection_pad1d", "reflection_pad2d", "replication_pad1d",
    "replication_pad2d"), **_names(reduce_, "mean", "sum", "amax", "amin", "var", "std", "linalg_vector_norm", "prod",
    "logsumexp", "nansum", "norm"), **_names(
        spatial, "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d",
        "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "_adaptive_avg_pool2d",
        "adaptive_max_pool1d", "adaptive_max_pool2d", "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d",
        "_upsample_nearest_exact2d", "upsample_bilinear2d", "_upsample_bilinear2d_aa", "upsample_bicubic2d",
        "_upsample_bicubic2d_aa", "upsample_trilinear3d", "upsample_linear1d", "grid_sampler_2d", "grid_sampler",
    ),
    **_names(first_of_many, "max_pool2d_with_indices", "max_pool1d_with_indices", "adaptive_max_pool2d",
    "adaptive_max_pool1d"), **_names(normalize(_normalized_shape), "layer_norm", "native_layer_norm", "rms_norm",
    "_fused_rms_norm"), **_names(normalize(_group_axes), "group_norm", "native_group_norm"),
    **_names(
        normalize(lambda call, rank: ()), "batch_norm", "_native_batch_norm_legit_no_training", "native_batch_norm",
        "instance_norm", "_native_batch_norm_legit",
    ),
    **_names(along_axis(1), "softmax", "_softmax", "log_softmax", "_log_softmax", "cumsum", "cumprod", "_safe_softmax"),
    **_names(matmul, "matmul", "mm", "bmm", "baddbmm"),
    **_names(attention, "scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu"),
    **_names(gated_linear_unit, "glu"),
    **_names(extreme, "max", "min"),
}  # fmt: skip

COMPARISONS = frozenset(
    f"aten.{name}"
    for name in (
        "gt", "ge", "lt", "le", "eq", "ne", "isnan", "isinf", "isfinite", "argmax", "argmin", "topk", "sort", "argsort",
        "any", "all", "nonzero", "logical_and", "logical_or", "logical_not", "logical_xor", "bitwise_not",
        "bitwise_and", "one_hot", "equal", "item", "_local_scalar_dense", "median", "kthvalue", "multinomial",
    )
)  # fmt: skip
"""Operations that read units to decide something: what they change cannot be followed."""

SHAPES = frozenset(
    f"aten.{name}"
    for name in (
        "sym_size", "sym_numel", "sym_stride", "full", "full_like", "zeros", "zeros_like", "ones", "ones_like", "empty",
        "empty_like", "arange", "new_zeros", "new_ones", "new_full", "new_empty", "scalar_tensor", "eye", "linspace",
        "_assert_scalar", "sym_constrain_range_for_size", "_assert_tensor_metadata", "tril_indices", "triu_indices",
        "is_nonzero",
    )
)  # fmt: skip
"""Operations that read at most the shape of their operands."""
