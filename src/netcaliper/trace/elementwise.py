"""Elementwise regions: which nodes are scalar functions of one earlier value.

``x * sigmoid(x)`` and the GELU of GPT-2 (``pow``, ``tanh``, ``mul``, ...) are scalar functions written out. All nodes
that depend on one value z through elementwise operations only form the *region* of z. Where a region joins itself again
(a binary operation both of whose operands belong to it) the nodes on the way are *absorbed*, and the site is the exit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.fx import Node

from netcaliper.trace.activations import ACTIVATIONS, NONLINEAR
from netcaliper.trace.names import operation
from netcaliper.trace.rules import SHAPES

_LINEAR_UNARY = frozenset(
    f"aten.{name}"
    for name in (
        "neg",
        "clone",
        "alias",
        "detach",
        "lift_fresh_copy",
        "contiguous",
        "dropout",
        "to",
        "_to_copy",
        "positive",
    )
)
_BINARY = frozenset(f"aten.{name}" for name in ("add", "sub", "rsub", "mul", "div", "maximum", "minimum", "pow"))


@dataclass(frozen=True)
class Regions:
    """What is known about elementwise regions.

    Attributes:
        root: for every node the node z whose scalar function it is (itself, if it is none).
        nonlinear: nodes that are a nonlinear scalar function of their root.
        absorbed: nodes that only serve a later exit of their region.
        joins: nodes at which a region joins itself, nonlinearly.
        squares: products of a node with itself.
        depends: nodes that depend on the model's inputs.
    """

    root: dict[Node, Node]
    nonlinear: frozenset[Node]
    absorbed: frozenset[Node]
    joins: frozenset[Node]
    squares: frozenset[Node]
    depends: frozenset[Node]

    def exits(self, node: Node) -> bool:
        """Tell whether the node is where a scalar nonlinearity leaves its region."""
        if node in self.absorbed:
            return False
        return (
            node in self.joins or node in self.squares or operation(node) in ACTIVATIONS or operation(node) in NONLINEAR
        )

    def parts(self, exit_: Node) -> tuple[str, ...]:
        """Return the nonlinear operations that make up the scalar function of an exit, in order."""
        names: list[str] = []
        stack, seen = [exit_], set()
        while stack:
            node = stack.pop()
            if node in seen or node is self.root.get(exit_):
                continue
            seen.add(node)
            if operation(node) in ACTIVATIONS or operation(node) in NONLINEAR:
                names.append(operation(node).split(".")[-1])
            stack.extend(n for n in node.all_input_nodes if self.root.get(n) is self.root.get(exit_))
        return tuple(sorted(set(names)))


def find_regions(nodes: Sequence[Node], inputs: frozenset[str]) -> Regions:
    """Find the elementwise regions of a graph.

    Args:
        nodes: all nodes in order.
        inputs: names of the placeholders that hold the model's inputs.
    """
    depends: set[Node] = set()
    root: dict[Node, Node] = {}
    nonlinear: set[Node] = set()
    joins: set[Node] = set()
    squares: set[Node] = set()
    for node in nodes:
        if node.name in inputs or (any(n in depends for n in node.all_input_nodes) and _holds_data(node)):
            depends.add(node)
        operands = [n for n in node.all_input_nodes if n in depends]
        op = operation(node)
        roots = {root[n] for n in operands}
        unary = op in _LINEAR_UNARY or op in ACTIVATIONS or op in NONLINEAR or op in _BINARY
        if not operands or len(roots) != 1 or not unary or (len(operands) > 1 and op not in _BINARY):
            root[node] = node
            continue
        root[node] = roots.pop()
        if op == "aten.mul" and node.args[0] is node.args[1]:
            squares.add(node)
        alone = op in ACTIVATIONS or op in NONLINEAR or node in squares
        product = len(operands) > 1 and op in ("aten.mul", "aten.div")
        if alone or product or any(n in nonlinear for n in operands):
            nonlinear.add(node)
            if len(operands) > 1:
                joins.add(node)
    absorbed: set[Node] = set()
    for node in reversed(nodes):
        users = [u for u in node.users if u.op == "call_function"]
        if node in root and root[node] is not node and users and len(users) == len(node.users):
            same = [root.get(u) is root[node] and (u in joins or u in absorbed) for u in users]
            if all(same):
                absorbed.add(node)
    return Regions(
        root, frozenset(nonlinear), frozenset(absorbed), frozenset(joins), frozenset(squares), frozenset(depends)
    )


def _holds_data(node: Node) -> bool:
    """Tell whether a node's value depends on more than the shape of what it reads."""
    return operation(node) not in SHAPES and not isinstance(
        node.meta.get("val"), (torch.SymInt, torch.SymBool, torch.SymFloat)
    )
