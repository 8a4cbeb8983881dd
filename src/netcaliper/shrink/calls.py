"""Weighted calls that can be fitted again: what they read, where a constant can go, and what they can make up for.

The last weighted call before a residual sum sees what the other operand of the sum has lost: its target is then the sum
of the original network, not its own output alone. Between it and the sum may lie a BatchNorm or a scale, one factor a
channel.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int, Shaped
from torch import Tensor
from torch.fx import Node

from netcaliper.measure.consumer_input import ConsumerInput, consumer_input
from netcaliper.trace.elementwise import find_regions
from netcaliper.trace.graph import Graph
from netcaliper.trace.names import module_path, operation
from netcaliper.trace.site import Consumer
from netcaliper.trace.weighted import Weighted, match

NORMS = ("aten.batch_norm", "aten._native_batch_norm_legit_no_training")
_COPIES = ("aten.clone", "aten.dropout", "aten.alias", "aten.contiguous")


@dataclass(frozen=True)
class Constant:
    """Where a constant that is added to a call's output can go.

    Attributes:
        node: of the parameter or buffer.
        name: in the state dict.
        sign: of the constant there: a running mean is taken off.
    """

    node: str
    name: str
    sign: int


@dataclass(frozen=True)
class Beside:
    """The other operand of the residual sum that a call goes into.

    Attributes:
        node: of the operand.
        scale: factor of every channel between the call and the sum; ``None`` for 1.
    """

    node: str
    scale: Float64[np.ndarray, " outputs"] | None


@dataclass(frozen=True, eq=False)
class Call:
    """A weighted call ``y = W x + b`` whose W (and b) can be fitted again.

    Attributes:
        name: module path or node.
        node: of the call.
        step: its index in the order of execution.
        source: what it reads.
        weight: name of W in the state dict.
        weight_node: node of W.
        makes: axis of its value along which the outputs lie.
        constant: where a constant can go, ``None`` for nowhere.
        beside: the other operand of its residual sum, if it is the last one to be computed.
    """

    name: str
    node: str
    step: int
    source: ConsumerInput
    weight: str
    weight_node: str
    makes: int
    constant: Constant | None
    beside: Beside | None

    def matrix(self, stored: Shaped[Tensor, "..."]) -> Float64[np.ndarray, "outputs columns"]:
        """Return a weight of this call, as the operation stores it, in the form of W."""
        matrix = stored.detach().to("cpu", torch.float64).numpy()
        return np.ascontiguousarray(matrix.T if self.source.flipped else matrix.reshape(len(matrix), -1))

    def outputs(
        self, value: Tensor, examples: int, example: Int[np.ndarray, " rows"], position: Int[np.ndarray, " rows"]
    ) -> Float64[Tensor, "rows outputs"]:
        """Gather rows of a value of the shape of the call's own, at the places of the rows that it reads."""
        rows = value.movedim((self.source.batch_axis, self.makes), (0, -1)).reshape(
            examples, -1, value.shape[self.makes]
        )
        return rows[torch.from_numpy(example).to(value.device), torch.from_numpy(position).to(value.device)].double()


def find_calls(graph: Graph) -> tuple[tuple[Call, ...], Mapping[str, str]]:
    """Find all weighted calls in the order of execution.

    Returns:
        Those that can be fitted again; and of the others, by node, why not, in words.
    """
    return _Search(graph).result()


class _Search:
    """The weighted calls of a graph, and what lies between them and the residual sums."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.steps = {step.name: step for step in graph.program.steps}
        nodes = list(graph.program.steps[0].node.graph.nodes) if graph.program.steps else []
        self.depends = find_regions(nodes, frozenset(graph.program.user_inputs)).depends
        found = {step.name: match(step.node, self.depends) for step in graph.program.steps}
        self.weighted = {name: weighted for name, weighted in found.items() if weighted is not None}
        self.used = Counter(
            id(graph.program.fixed(node.name))
            for step in graph.program.steps
            for node in step.node.all_input_nodes
            if node.op == "placeholder" and graph.program.fixed(node.name) is not None
        )

    def result(self) -> tuple[tuple[Call, ...], Mapping[str, str]]:
        calls: list[Call] = []
        refused: dict[str, str] = {}
        beside = self._beside()
        for name, weighted in self.weighted.items():
            call = self._call(name, weighted, beside.get(name))
            if isinstance(call, str):
                refused[name] = call
            else:
                calls.append(call)
        return tuple(calls), refused

    def _call(self, name: str, weighted: Weighted, beside: Beside | None) -> Call | str:
        if weighted.operand is None:
            return "is an embedding, whose input is no value"
        if weighted.groups > 1:
            return f"is a convolution in {weighted.groups} groups, which is not unfolded"
        weight = self.graph.program.parameters.get(weighted.weight.name)
        if weight is None:
            return "has a weight that the graph computes"
        count = self.used[id(self.graph.program.fixed(weighted.weight.name))]
        if count > 1:
            return f"has a weight that is read {count} times, so that it cannot be fitted to one input"
        step = self.steps[name]
        consumer = Consumer(name, weighted.op, weight, np.empty(0, dtype=np.int64), (), name, weighted.operand_index)
        source = consumer_input(self.graph, consumer)
        if isinstance(source, str):
            return source
        return Call(
            name=module_path(step.node) or name,
            node=name,
            step=step.index,
            source=source,
            weight=weight,
            weight_node=weighted.weight.name,
            makes=weighted.makes,
            constant=self._constant(step.node, weighted.makes),
            beside=beside,
        )

    def _constant(self, node: Node, makes: int) -> Constant | None:
        """Return the bias of a call, or else the running mean of the BatchNorm that alone reads its value."""
        place = {"aten.addmm": 0, "aten.linear": 2, "aten.mm": None, "aten.matmul": None}.get(operation(node), 2)
        bias = node.args[place] if place is not None and len(node.args) > place else None
        if isinstance(bias, Node):
            return self._stored(bias, 1)
        users = [user for user in node.users if user in self.depends]
        alone = len(users) == 1 and operation(users[0]) in NORMS and len(node.users) == 1
        if alone and makes_channels(node, makes):
            return self._stored(users[0].args[3], -1)
        return None

    def _stored(self, node: object, sign: int) -> Constant | None:
        if not isinstance(node, Node) or self.used[id(self.graph.program.fixed(node.name))] != 1:
            return None
        name = self.graph.program.parameters.get(node.name)
        return None if name is None else Constant(node.name, name, sign)

    # ---- residual sums

    def _beside(self) -> dict[str, Beside]:
        """Return for every call that goes into a residual sum last what the other operand of the sum is."""
        found: dict[str, Beside] = {}
        for site in self.graph.sites:
            if site.kind != "stream" or operation(self.steps[site.node].node) != "aten.add":
                continue
            operands = self.steps[site.node].node.args[:2]
            if any(not isinstance(operand, Node) for operand in operands) or self.steps[site.node].node.kwargs:
                continue
            origins = [self._origin(operand) for operand in operands]  # type: ignore[arg-type]
            places = [self.steps[origin[0]].index if origin is not None else -1 for origin in origins]
            last = int(np.argmax(places))
            origin, other = origins[last], operands[1 - last]
            if origin is None or not isinstance(other, Node) or other.name not in self.steps:
                continue
            if self.steps[other.name].index < self.steps[origin[0]].index and self._same_shape(origin[0], other):
                found[origin[0]] = Beside(other.name, origin[1])
        return found

    def _origin(self, node: Node) -> tuple[str, Float64[np.ndarray, " outputs"] | None] | None:
        """Follow a value back through copies and factors by channel to the weighted call that makes it."""
        scale: Float64[np.ndarray, " outputs"] | None = None
        along: set[bool] = set()  # whether factors lie along axis 1 (of a BatchNorm), or along the last one
        while node.name not in self.weighted:
            op = operation(node)
            if len([user for user in node.users if user in self.depends]) != 1:
                return None
            if op in _COPIES or (op == "getitem" and node.args[1] == 0):
                factor = None
            elif op in NORMS or op == "aten.mul":
                factor = self._norm(node) if op in NORMS else self._factor(node)
                if factor is None:
                    return None
            else:
                return None
            if factor is not None:
                along.add(op in NORMS)
                scale = factor if scale is None else scale * factor
            reads = [read for read in node.all_input_nodes if read in self.depends]
            if len(reads) != 1:
                return None
            node = reads[0]
        makes = self.weighted[node.name].makes
        if (True in along and not makes_channels(node, makes)) or (False in along and not _makes_last(node, makes)):
            return None
        return (node.name, scale) if len([u for u in node.users if u in self.depends]) == 1 else None

    def _norm(self, node: Node) -> Float64[np.ndarray, " outputs"] | None:
        weight, variance = (self._fixed(node.args[place]) for place in (1, 4))
        eps = node.args[7 if operation(node) == "aten.batch_norm" else 6]
        if variance is None or not isinstance(eps, float):
            return None
        found = 1 / np.sqrt(variance + eps)
        return found if weight is None else weight * found

    def _factor(self, node: Node) -> Float64[np.ndarray, " outputs"] | None:
        """Return the factors of a product with a parameter that has one number a channel, along the last axis."""
        fixed = [self._fixed(argument) for argument in node.args[:2]]
        found = next((value for value in fixed if value is not None), None)
        return found if found is not None and found.ndim == 1 else None

    def _fixed(self, node: object) -> np.ndarray | None:
        value = self.graph.program.fixed(node.name) if isinstance(node, Node) else None
        return value.detach().to("cpu", torch.float64).numpy() if isinstance(value, Tensor) else None

    def _same_shape(self, name: str, other: Node) -> bool:
        return str(tuple(self.steps[name].node.meta["val"].shape)) == str(tuple(other.meta["val"].shape))


def makes_channels(node: Node, makes: int) -> bool:
    """Tell whether the outputs of a call lie along axis 1, the one that a BatchNorm looks at."""
    return makes % node.meta["val"].dim() == 1


def _makes_last(node: Node, makes: int) -> bool:
    return makes % node.meta["val"].dim() == node.meta["val"].dim() - 1
