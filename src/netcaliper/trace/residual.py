"""Residual blocks: which operand of a residual sum is the branch, which the skip, and which blocks can be left out.

The skip of a sum is the operand that is an earlier value of the stream, unchanged or changed by weight-free functions
of the same size only (an activation, a normalization, a scale), while the other operand, the *branch*, is computed from
that same value. With the branch at zero the network goes on with the skip alone (Nguyen, Raghu and Kornblith 2021,
section on the collapse of blocks). Where the shortcut has weights or another shape, nothing sensible would go on: such
a block is listed with the reason, and stays.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.fx import Node

from netcaliper.trace.elementwise import find_regions
from netcaliper.trace.graph import Graph
from netcaliper.trace.names import module_path, operation, short
from netcaliper.trace.rules import POINTWISE
from netcaliper.trace.site import Site
from netcaliper.trace.weighted import match

_NORMS = frozenset(
    f"aten.{name}"
    for name in (
        "batch_norm", "_native_batch_norm_legit_no_training", "native_batch_norm", "_native_batch_norm_legit",
        "instance_norm", "layer_norm", "native_layer_norm", "group_norm", "native_group_norm", "rms_norm",
        "_fused_rms_norm",
    )
)  # fmt: skip
_VIEWS = frozenset(
    f"aten.{name}"
    for name in (
        "view", "reshape", "_unsafe_view", "permute", "transpose", "t", "mT", "flatten", "unflatten", "squeeze",
        "unsqueeze", "movedim", "swapaxes",
    )
)  # fmt: skip


_SPLITS = frozenset(f"aten.{name}" for name in ("split", "split_with_sizes", "chunk", "tensor_split", "unbind"))


@dataclass(frozen=True)
class ResidualBlock:
    """One residual block.

    Attributes:
        name: of its residual sum, a site of kind ``stream``.
        node: the node of the sum.
        branch: the node whose value is added to the skip, the last value before the sum (the pre-residual point).
        skip: the node of the other operand.
        stage: number of its stage, from 0: consecutive sums of one shape, each built on the one before.
        shape: positions and units of an example's value.
        reason: why the block cannot be left out, in words; ``None`` if it can.
    """

    name: str
    node: str
    branch: str
    skip: str
    stage: int
    shape: tuple[int, int]
    reason: str | None = None


@dataclass(frozen=True)
class Residuals:
    """What was found.

    Attributes:
        blocks: in the order of the graph.
        skipped: sums, products and concatenations that are no residual blocks: name and reason.
    """

    blocks: tuple[ResidualBlock, ...]
    skipped: tuple[tuple[str, str], ...]

    @property
    def droppable(self) -> tuple[int, ...]:
        """Indices of the blocks that can be left out."""
        return tuple(index for index, block in enumerate(self.blocks) if block.reason is None)


def residual_blocks(graph: Graph) -> Residuals:
    """Find the residual blocks of a traced network."""
    return _Search(graph).result()


class _Search:
    """What depends on what, and the blocks that were found so far."""

    def __init__(self, graph: Graph) -> None:
        self.graph, program = graph, graph.program
        nodes = list(program.steps[0].node.graph.nodes) if program.steps else []
        self.depends = find_regions(nodes, frozenset(program.user_inputs)).depends
        live = {step.node for step in program.steps}
        self.nodes = [n for n in nodes if n in self.depends and (n in live or n.op == "placeholder")]
        self.place = {node: place for place, node in enumerate(self.nodes)}
        self.by_name = {node.name: node for node in self.nodes}
        self.within: dict[Node, int] = {}
        """By node the set of itself and all that it is computed from, as bits."""
        for node in self.nodes:
            self.within[node] = 1 << self.place[node]
            for read in self._reads(node):
                self.within[node] |= self.within[read]
        self.stream = {site.node: site for site in graph.sites if site.kind == "stream"}
        self.skip_of: dict[Node, Node] = {}
        """By residual sum its skip, where that is a proper one."""
        self.blocks: list[ResidualBlock] = []
        self.skipped: list[tuple[str, str]] = []

    def result(self) -> Residuals:
        for node in self.nodes:
            if node.name in self.stream:
                self._sum(node, self.stream[node.name])
            elif operation(node) in ("aten.mul", "aten.cat"):
                self._no_sum(node)
        return Residuals(tuple(self.blocks), tuple(self.skipped))

    # ---- sums

    def _sum(self, node: Node, site: Site) -> None:
        operands = self._reads(node)
        found = sorted(
            (steps, position) for position in (0, 1) if (steps := self._steps_back(operands, position)) is not None
        )
        if found:
            steps, position = found[0]
            skip, branch = operands[position], operands[1 - position]
            source = list(self._chain(skip))[steps]
            reason = self._undroppable(node, branch, source)
        else:
            source, position = self._shortcut(operands)
            if position is None:
                self.skipped.append(
                    (site.name, "no residual sum: neither operand is an earlier value of the other (parallel branches)")
                )
                return
            skip, branch = operands[position], operands[1 - position]
            reason = self._changed(skip, source, node)
        if found:
            self.skip_of[node] = skip
        shape = self._shape(node, site)
        previous = self.blocks[-1] if self.blocks else None
        stage = 0
        if previous is not None:
            goes_on = previous.shape == shape and self._is_within(self.by_name[previous.node], skip)
            stage = previous.stage + (not goes_on)
        self.blocks.append(ResidualBlock(site.name, node.name, branch.name, skip.name, stage, shape, reason))

    def _steps_back(self, operands: list[Node], position: int) -> int | None:
        """Return after how many steps the chain of an operand meets a value that the other one is computed from."""
        other = self.within[operands[1 - position]]
        meets = (steps for steps, value in enumerate(self._chain(operands[position])) if other >> self.place[value] & 1)
        return next(meets, None)

    def _chain(self, node: Node) -> Iterator[Node]:
        """Give a value, then what it is a weight-free function of the same size of, back to where that ends.

        A residual sum goes back along its skip: in ``(x + a(x)) + b(x)`` the value x is still on the stream.
        """
        while True:
            yield node
            if node in self.skip_of:
                node = self.skip_of[node]
                continue
            reads = self._reads(node)
            if operation(node) == "getitem" and node.args[1] == 0 and operation(reads[0]) in _NORMS:
                reads = self._reads(reads[0])
            elif operation(node) not in POINTWISE | _NORMS | _VIEWS:
                return
            if len(reads) != 1 or _size(reads[0]) != _size(node):
                return
            node = reads[0]

    def _undroppable(self, node: Node, branch: Node, source: Node) -> str | None:
        """Say why a block with a proper skip cannot be left out."""
        first, second = node.args[:2]
        op = operation(node)
        if (op == "aten.sub" and first is branch) or (op == "aten.rsub" and second is branch):
            return "its shortcut is subtracted"
        if not self.graph.program.makes(branch.name):
            return "its branch is an input of the network"
        inner = [
            block.name
            for block in self.blocks
            if (made := self.by_name[block.node]) is not source
            and self._is_within(source, made)
            and self._is_within(made, branch)
        ]
        if inner:
            return f"its branch holds other residual blocks ({inner[0]}{', ...' if len(inner) > 1 else ''})"
        others = [user for user in branch.users if user is not node and user in self.place]
        if others or branch.name in self.graph.program.output_names:
            return "its branch is read elsewhere too"
        return None

    def _shortcut(self, operands: list[Node]) -> tuple[Node, int | None]:
        """Return where two operands part, and which of them is a shortcut: at most one weight deep, the other deeper.

        Two branches of one depth are parallel branches; then there is none. Nor is there where the operands are made of
        different parts of one value (the splits inside a block of Res2Net).
        """
        common = self.within[operands[0]] & self.within[operands[1]]
        if not common:
            return operands[0], None
        source = self.nodes[common.bit_length() - 1]
        depths = [self._depth(operand, source) for operand in operands]
        position = min((0, 1), key=lambda i: depths[i])
        split = any(operation(each) in _SPLITS for each in self._way(source, operands[position]))
        told = depths[position] <= 1 and depths[position] < depths[1 - position] and not split
        return source, position if told else None

    def _depth(self, node: Node, source: Node) -> int:
        """Return the largest number of weighted operations on a path from ``source`` to ``node``."""
        depth = {source: 0}
        for each in self._way(source, node):
            reached = [depth[read] for read in self._reads(each) if read in depth]
            depth[each] = max(reached) + (match(each, self.depends) is not None)
        return depth.get(node, 0)

    def _changed(self, skip: Node, source: Node, node: Node) -> str:
        """Say what a shortcut does to the value."""
        way = self._way(source, skip)
        weighted = [each for each in way if match(each, self.depends) is not None]
        what = module_path(weighted[0]) or weighted[0].name if weighted else ", ".join(short(each) for each in way)
        if _size(source) != _size(node):
            return f"its shortcut changes the shape ({what})"
        return f"its shortcut has weights ({what})" if weighted else f"its shortcut changes the value ({what})"

    def _way(self, source: Node, node: Node) -> list[Node]:
        """Return what lies on the paths from ``source`` to ``node``, itself included."""
        between = self.nodes[self.place[source] + 1 : self.place[node] + 1]
        return [each for each in between if self._is_within(each, node) and self._is_within(source, each)]

    # ---- what looks like a residual block and is none

    def _no_sum(self, node: Node) -> None:
        """Note a product or concatenation of a value with something that weights make of it."""
        operands = self._reads(node)
        joins = any(
            self._is_within(value, other) and self._depth(other, value) > 0
            for value in operands
            for other in operands
            if other is not value
        )
        if joins:
            product = operation(node) == "aten.mul"
            reason = (
                "no residual sum: a product of a value with a gate made of it"
                if product
                else "no residual sum: a concatenation of a value with what is made of it (dense)"
            )
            self.skipped.append((f"{module_path(node)}.{short(node)}".lstrip("."), reason))

    # ---- the graph

    def _reads(self, node: Node) -> list[Node]:
        return [read for read in node.all_input_nodes if read in self.place]

    def _is_within(self, node: Node, of: Node) -> bool:
        """Tell whether ``of`` is ``node`` or is computed from it."""
        return bool(self.within[of] >> self.place[node] & 1)

    def _shape(self, node: Node, site: Site) -> tuple[int, int]:
        return _size(node) // (site.units * self.graph.traced_batch), site.units


def _size(node: Node) -> int:
    """Return the number of values of a node in the traced example, of the first of several."""
    value = node.meta.get("val")
    value = value[0] if isinstance(value, (tuple, list)) and value else value
    if not isinstance(value, Tensor):
        return 0
    return prod(size.node.hint if isinstance(size, torch.SymInt) else size for size in value.shape)
