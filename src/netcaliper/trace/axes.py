"""Which axis of a value holds the batch, and in which order: read off the sizes of the exported graph."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node

from netcaliper.trace.names import operation

_REORDERS = frozenset(
    f"aten.{name}"
    for name in ("index", "index_select", "gather", "take", "take_along_dim", "sort", "topk", "scatter", "index_put")
)
"""Operations after which an axis need no longer be in the order of what they read (routing to experts)."""

Size = Any
"""A size as sympy writes it: a number, or an expression in symbols that stands for any batch or any length."""


def size_of(size: int | torch.SymInt) -> Size:
    """Return a size of a value in the graph as a number or an expression."""
    return size.node.expr if isinstance(size, torch.SymInt) else size


def symbols_of(size: Size) -> frozenset[Any]:
    """Return the symbols of a size; a number has none."""
    return frozenset(getattr(size, "free_symbols", ()))


def input_shapes(program: ExportedProgram) -> dict[str, torch.Size]:
    """Return the shapes of the model's inputs that are tensors, by placeholder, in the graph's order."""
    names = [str(name) for name in program.graph_signature.user_inputs]
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    return {name: value.shape for name in names if isinstance(value := values.get(name), Tensor)}


def batch_sizes(shapes: Mapping[str, torch.Size]) -> frozenset[Size]:
    """Return what the graph writes for the number of examples: one symbol for each input that no other one is tied to.

    Empty if the graph is bound to one number of examples.
    """
    sizes = {size_of(shape[0]) for shape in shapes.values() if len(shape)}
    return frozenset(size for size in sizes if symbols_of(size))


def batch_axis(node: Node, column_axis: int, batches: frozenset[Size], examples: int) -> int:
    """Return the axis of a value whose size goes with the batch.

    Args:
        node: that makes the value.
        column_axis: axis of its units or columns, which is not looked at in a graph of fixed size.
        batches: from ``batch_sizes``.
        examples: number of examples that were traced.
    """
    shape = node.meta["val"].shape
    symbols = frozenset().union(*map(symbols_of, batches))
    for axis, size in enumerate(shape):
        if symbols_of(size_of(size)) & symbols:
            return axis
    fixed = [size_of(size) for size in shape]
    return next((a for a, s in enumerate(fixed) if a != column_axis % len(fixed) and s == examples), 0)


def example_axis(node: Node, batches: frozenset[Size], examples: int) -> int | None:
    """Return the axis of a value along which its examples lie in order, ``None`` if there is none.

    An axis of exactly the batch comes before one that holds a multiple of it.

    Args:
        node: that makes the value.
        batches: from ``batch_sizes``.
        examples: number of examples that were traced, for a graph that is bound to it.
    """
    shape = [size_of(size) for size in node.meta["val"].shape]
    exact = [axis for axis, size in enumerate(shape) if size in (batches or {examples})]
    if exact:
        return exact[0]
    symbols = frozenset().union(*map(symbols_of, batches))
    several = [axis for axis, size in enumerate(shape) if symbols_of(size) & symbols]
    return several[0] if several and by_example(node, several[0], batches) else None


def by_example(node: Node, axis: int, batches: frozenset[Size]) -> bool:
    """Tell whether the rows along an axis that holds a multiple of the batch lie example by example.

    They do if the axis comes from one of exactly the batch, at its place, by steps that keep the order. Sequence-first
    values laid flat do not, nor do tokens that were sorted by expert. In a graph of fixed size this cannot be seen, and
    is taken for granted.

    Args:
        node: that makes the value.
        axis: of the value.
        batches: from ``batch_sizes``.
    """
    symbols = frozenset().union(*map(symbols_of, batches))
    if not symbols or size_of(node.meta["val"].shape[axis]) in batches:
        return True
    stack, seen = [(node, axis)], {(node, axis)}
    while stack:
        made, at = stack.pop()
        for source in _in_order(made):
            sizes = [size_of(size) for size in source.meta["val"].shape]
            exact = [a for a, size in enumerate(sizes) if size in batches]
            if at in exact:
                return True
            several = [(source, a) for a, size in enumerate(sizes) if symbols_of(size) & symbols and not exact]
            stack += [place for place in several if place not in seen]
            seen.update(several)
    return False


def _in_order(node: Node) -> Iterator[Node]:
    """Give the tensors that a node reads, unless it reorders them."""
    if operation(node) in _REORDERS:
        return
    for source in node.all_input_nodes:
        value = source.meta.get("val")
        if isinstance(value, (list, tuple)):
            yield from _in_order(source)
        elif isinstance(value, Tensor):
            yield source
