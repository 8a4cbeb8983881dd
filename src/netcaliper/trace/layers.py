"""The layers of a network: the value of every operation, as rows by example, to be compared with each other."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import accumulate, pairwise
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from netcaliper.errors import InputError
from netcaliper.trace.axes import size_of, symbols_of
from netcaliper.trace.batches import MASKS
from netcaliper.trace.graph import NODE, Graph
from netcaliper.trace.names import module_path, short

INPUT = "input"
"""Name of the layer that is the input itself."""

_MOVES = frozenset(
    (
        "view", "reshape", "_unsafe_view", "permute", "transpose", "t", "movedim", "expand", "squeeze", "unsqueeze",
        "flatten", "unflatten", "clone", "contiguous", "alias", "detach", "_to_copy", "to", "dropout", "slice",
        "select", "split", "split_with_sizes", "chunk", "unbind", "narrow", "getitem", "repeat", "roll", "flip",
    )
)  # fmt: skip
"""Operations that only move values: what comes out is what went in, and would be compared twice."""

_UNITS_FIRST = frozenset(
    (
        "conv1d", "conv2d", "conv3d", "convolution", "conv_transpose2d", "_native_batch_norm_legit_no_training",
        "batch_norm", "group_norm", "native_group_norm", "max_pool2d", "max_pool2d_with_indices", "avg_pool2d",
        "adaptive_avg_pool2d", "_adaptive_avg_pool2d", "upsample_bilinear2d", "upsample_nearest2d",
    )
)  # fmt: skip
_UNITS_LAST = frozenset(("linear", "addmm", "mm", "matmul", "layer_norm", "native_layer_norm", "rms_norm", "embedding"))


@dataclass(frozen=True)
class LayerValue:
    """The value of one operation.

    Attributes:
        name: stable between runs: that of its site, else module path, operation and call number.
        op: the operation.
        kind: ``stream`` for a residual sum and an activation right after one, else ``inner``.
        stage: number of the stage, from 0: layers up to a residual sum belong to its stage, and residual sums of one
            shape follow each other in one stage.
        shape: of one example, without the batch axis.
        node: name of the node in the graph, of a placeholder for the input.
        batch_axis: axis of the value that holds the batch.
        units_axis: axis along which its units lie, ``None`` if that is not known.
    """

    name: str
    op: str
    kind: Literal["stream", "inner"]
    stage: int
    shape: tuple[int, ...]
    node: str
    batch_axis: int
    units_axis: int | None

    def rows(self, value: Shaped[Tensor, "..."], examples: int) -> Shaped[Tensor, "examples features"]:
        """Lay the value out with one row an example, without a copy where its memory allows it.

        The order of the features is that of the memory: what is compared does not depend on it.
        """
        value = value.movedim(self.batch_axis, 0)
        inner = sorted(range(1, value.dim()), key=value.stride, reverse=True)
        return value.permute(0, *inner).reshape(examples, -1)

    def pooled(
        self, value: Shaped[Tensor, "..."], examples: int, valid: Bool[Tensor, "examples positions"] | None
    ) -> Float[Tensor, "examples units"]:
        """Return the mean over positions, over valid ones only where some are padding."""
        assert self.units_axis is not None
        value = value.movedim((self.batch_axis, self.units_axis), (0, -1))
        value = value.reshape(examples, -1, value.shape[-1])
        if valid is None:
            return value.mean(1)
        counted = torch.where(valid[..., None], value, 0.0)  # where, for padding may hold NaN
        return counted.sum(1) / valid.sum(1)[:, None]

    def token(
        self,
        value: Shaped[Tensor, "..."],
        examples: int,
        which: Int[Tensor, " examples"],
        valid: Bool[Tensor, "examples positions"] | None,
    ) -> Shaped[Tensor, "examples units"]:
        """Return one position of every example: of its valid ones that of the number ``which``."""
        assert self.units_axis is not None
        value = value.movedim((self.batch_axis, self.units_axis), (0, -1))
        value = value.reshape(examples, -1, value.shape[-1])
        if valid is not None:
            which = torch.argsort(~valid, dim=1, stable=True)[torch.arange(examples), which]
        return value[torch.arange(examples, device=value.device), which.to(value.device)]


Chosen = str | Sequence[str]


def find_layers(graph: Graph) -> tuple[tuple[LayerValue, ...], tuple[tuple[str, str], ...]]:
    """Return the input and the value of every operation that computes something, in the order of execution.

    Operations that only move values (views, slices, copies) are no layers of their own. Values that no example's data
    reach (masks, positions) are none either.

    Returns:
        The layers, and what is none of them although it holds data, by name with the reason.
    """
    exported = graph.program.steps[0].node.graph
    nodes = {node.name: node for node in exported.nodes}
    reached = _reached(list(exported.nodes), graph)
    sites = {site.node: site for site in graph.sites}
    streams = {site.node for site in graph.sites if site.kind == "stream"}
    leaves = {name for name, module in graph.model.named_modules() if name and not any(module.children())}
    taken, found, left = Counter(site.name for site in graph.sites), [], []
    for name in graph.program.user_inputs:
        node = nodes[name]
        if node in reached and node.meta["val"].is_floating_point() and node.meta["val"].dim() > 1:
            found.append((INPUT if INPUT not in [n for n, _ in found] else f"{INPUT}.{name}", node))
    for step in graph.program.steps:
        node = step.node
        if node not in reached or not _computes(node):
            continue
        found.append((sites[node.name].name if node.name in sites else _name(node, leaves, taken), node))
    layers, stages = [], _stages([node for _, node in found], streams, graph)
    for (name, node), stage in zip(found, stages, strict=True):
        axis = graph.example_axis(node.name)
        if axis is None:
            left.append((name, "its values do not lie example by example"))
            continue
        layers.append(
            LayerValue(
                name=name,
                op=INPUT if node.op == "placeholder" else _operation(node),
                kind="stream" if _on_stream(node, streams) else "inner",
                stage=stage,
                shape=_shape_of_example(node, graph),
                node=node.name,
                batch_axis=axis,
                units_axis=_fixed(node, _units_axis(node, sites)),
            )
        )
    return tuple(layers), tuple(left)


def _stages(nodes: Sequence[Node], streams: set[str], graph: Graph) -> list[int]:
    """Return the stage of every value: that of its own residual sum, or of the next one, or of the last one."""
    sums = [(place, _shape_of_example(node, graph)) for place, node in enumerate(nodes) if node.name in streams]
    number = list(accumulate((a[1] != b[1] for a, b in pairwise(sums)), initial=0))
    places = [place for place, _ in sums]
    found = []
    for place, node in enumerate(nodes):
        own = bisect_left(places, place)
        if _on_stream(node, streams) and node.name not in streams:
            own -= 1
        found.append(number[min(own, len(number) - 1)] if sums else 0)
    return found


def _on_stream(node: Node, streams: set[str]) -> bool:
    after = _source(node)
    return node.name in streams or (after is not None and after.name in streams)


def _operation(node: Node) -> str:
    op = short(_made_by(node)).strip("_")
    return _OPERATIONS.get(op, op)


_OPERATIONS = {
    "native_batch_norm_legit_no_training": "batch_norm",
    "native_layer_norm": "layer_norm",
    "scaled_dot_product_attention": "attention",
    "max_pool2d_with_indices": "max_pool2d",
}
"""What the graph calls otherwise than people do."""


def chosen_layers(graph: Graph, layers: Chosen = "all") -> tuple[tuple[LayerValue, ...], tuple[tuple[str, str], ...]]:
    """Choose layers: ``"all"`` operations, ``"sites"``, ``"streams"`` (residual sums), or names and shell patterns.

    Returns:
        The layers, and what holds data but is no layer, by name with the reason.

    Raises:
        InputError: something that is no name, nothing matches, or fewer than two layers are left to compare.
    """
    every, left = find_layers(graph)
    sites = {site.node: site.kind for site in graph.sites}
    if isinstance(layers, str) and layers in ("all", "sites", "streams"):
        wanted = tuple(
            layer
            for layer in every
            if layers == "all" or (layer.node in sites and (layers == "sites" or sites[layer.node] == "stream"))
        )
        if len(wanted) < 2:
            raise InputError(
                f"`layers` = {layers!r} must leave at least 2 layers to compare, got {len(wanted)} of the "
                f"{len(every)} of {graph.name}; use layers='all'."
            )
        return wanted, left
    patterns = [layers] if isinstance(layers, str) else list(layers)
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise InputError(f"`layers` must hold names or patterns, got {layers!r}; e.g. layers='stage1.*'.")
    for pattern in patterns:
        if not any(layer.name == pattern or fnmatchcase(layer.name, pattern) for layer in every):
            why = dict(left).get(pattern)
            shown = ", ".join(layer.name for layer in every[:8]) + (", ..." if len(every) > 8 else "")
            raise InputError(
                f"`layers` must match layers of {graph.name}, got {pattern!r} "
                + (f"({why})" if why else f"with no match: no operation of that name runs; the layers are {shown}.")
            )
    wanted = tuple(layer for layer in every if any(layer.name == p or fnmatchcase(layer.name, p) for p in patterns))
    if len(wanted) < 2:
        names = f"{wanted[0].name!r} alone" if wanted else "none"
        raise InputError(f"`layers` must name at least 2 layers to compare, got {names}; name more.")
    return wanted, left


def tap_key(layer: LayerValue) -> str:
    """Return the key under which ``Graph.run`` takes a tap of a layer."""
    return NODE + layer.node


def _reached(nodes: Sequence[Node], graph: Graph) -> set[Node]:
    """Return everything that depends on the data themselves, not only on masks of padding."""
    names = dict(zip(graph.program.user_inputs, _input_names(graph), strict=False))
    reached = set()
    for node in nodes:
        if node.op == "placeholder":
            if node.name in graph.program.user_inputs and names.get(node.name) not in MASKS:
                reached.add(node)
        elif any(source in reached for source in node.all_input_nodes) and not str(node.target).startswith(
            ("aten.sym_size", "sym_size")
        ):
            reached.add(node)
    return {node for node in reached if isinstance(node.meta.get("val"), (Tensor, tuple, list))}


def _input_names(graph: Graph) -> list[str]:
    return [name for name, value in graph.example.named.items() for _ in pytree.tree_leaves(value)]


def _made_by(node: Node) -> Node:
    """Return the operation behind one of its several results."""
    return node.all_input_nodes[0] if short(node) == "getitem" else node


def _computes(node: Node) -> bool:
    """Tell whether a node makes new floating-point values."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.dim() < 2:
        return False
    if short(node) == "getitem":
        return short(_made_by(node)) not in _MOVES and node.args[1:] == (0,)
    return short(node) not in _MOVES


def _source(node: Node) -> Node | None:
    """Return the value that a pointwise function of one argument reads, through copies."""
    if node.op == "placeholder" or _units(node) is not None or short(node) == "getitem":
        return None
    sources = [source for source in node.all_input_nodes if isinstance(source.meta.get("val"), Tensor)]
    while len(sources) == 1 and short(sources[0]) in ("clone", "dropout", "_to_copy"):
        sources = sources[0].all_input_nodes
    one = sources[0] if len(sources) == 1 else None
    return one if one is not None and one.meta["val"].shape == node.meta["val"].shape else None


def _shape_of_example(node: Node, graph: Graph) -> tuple[int, ...]:
    """Return the shape that one example of the traced batch has."""
    shape = [int(size) if isinstance(size, int) else int(size.node.hint) for size in node.meta["val"].shape]
    axis = graph.example_axis(node.name) or 0
    several = shape[axis] // graph.traced_batch
    rest = shape[:axis] + shape[axis + 1 :]
    return tuple(rest if several == 1 else [several, *rest])


def _units(node: Node) -> int | None:
    """Return the axis of the units that an operation makes by itself."""
    rank = node.meta["val"].dim()
    made = _made_by(node) if node.op != "placeholder" else node
    op = short(made) if made.op == "call_function" else ""
    if op in _UNITS_FIRST:
        return 1
    if op in _UNITS_LAST or rank == 2:
        return rank - 1
    return None


def _units_axis(node: Node, sites: dict) -> int | None:
    """Return the axis of the units: the site's, the operation's, or that of what a pointwise operation reads."""
    seen = set()
    while node not in seen:
        seen.add(node)
        if node.name in sites:
            return sites[node.name].axis
        own = _units(node)
        if own is not None:
            return own
        shape = node.meta["val"].shape
        same = [s for s in node.all_input_nodes if getattr(s.meta.get("val"), "shape", None) == shape]
        if not same or short(node) in _MOVES:
            return None
        node = same[0]
    return None


def _fixed(node: Node, axis: int | None) -> int | None:
    """Return the axis unless its size goes with the data: attention scores have a key a token, which is no unit."""
    return None if axis is None or symbols_of(size_of(node.meta["val"].shape[axis])) else axis


def _name(node: Node, leaves: set[str], taken: Counter[str]) -> str:
    path, op = module_path(node), _operation(node)
    base = path if path in leaves else f"{path}.{op}" if path else op
    taken[base] += 1
    return base if taken[base] == 1 else f"{base}#{taken[base]}"


def features(layer: LayerValue) -> int:
    """Return the number of features of one example."""
    return math.prod(layer.shape)
