"""Planting units whose fate is known into the random networks of ``networks.py``: dead, constant, duplicate, dependent.

Planting edits producer rows only. Producers are found by walking back from a site over what the random networks use:
BatchNorm, chunk and split, the activation of a gate; a site whose rows are mixed on the way (LayerNorm, residual sums)
is left as it is.
"""

import random
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from netcaliper.trace.graph import Graph
from netcaliper.trace.site import Site
from netcaliper.trace.trace import trace
from networks import build

HOMOGENEOUS = ("relu", "clamp", "leaky_relu", "prelu")
"""``f(a z) = a f(z)`` for a > 0 and ``f(z) - f(-z)`` is linear in z."""

SPLITTING = ("gelu", "silu", "softplus", "hardswish")
"""``f(z) - f(-z) = z``: linear in z, though f bends everywhere."""

ODD = ("tanh", "sigmoid")
"""``f(-z) = c - f(z)``."""

EXAMPLES = {"mlp": 400, "attention_ffn": 200}
IMAGES = 90


@dataclass(frozen=True)
class Rows:
    """Producer rows of the units of a site, written as ``z = w x + b`` whether or not a BatchNorm follows."""

    weight: Tensor
    bias: Tensor | None
    norm: nn.Module | None

    @property
    def free(self) -> bool:
        """Whether a row is a function of all inputs that the other rows read, too (not so in a depthwise
        convolution)."""
        return self.weight.shape[1] > 1

    def get(self, unit: int) -> tuple[Tensor, Tensor]:
        w, b = self.weight[unit].clone(), torch.zeros((), dtype=self.weight.dtype)
        if self.bias is not None:
            b = self.bias[unit].clone()
        if self.norm is not None:
            gain = self._gain(unit)
            w, b = w * gain, (b - self.norm.running_mean[unit]) * gain + self.norm.bias[unit]  # type: ignore[index,operator]
        return w, b

    def set(self, unit: int, w: Tensor, b: Tensor) -> None:
        if self.norm is None:
            assert self.bias is not None
            self.weight[unit], self.bias[unit] = w, b
            return
        if not w.any():  # as a dead BatchNorm channel looks: its scale is zero, the weights behind it are not
            self.norm.weight[unit], self.norm.bias[unit] = 0.0, b  # type: ignore[index,operator]
            return
        gain = self._gain(unit)
        self.weight[unit] = w / gain
        start = self.bias[unit] if self.bias is not None else 0.0
        self.norm.bias[unit] = b - (start - self.norm.running_mean[unit]) * gain  # type: ignore[index,operator]

    def _gain(self, unit: int) -> Tensor:
        assert self.norm is not None
        return self.norm.weight[unit] / (self.norm.running_var[unit] + self.norm.eps).sqrt()  # type: ignore[index,operator,return-value]


@dataclass(frozen=True)
class Planted:
    """A network with planted units.

    Attributes: model, graph, data: the network, its graph (over the same parameters), all examples in one batch.
        planted: for every planted site what was planted in which unit: ``dead``, ``constant``, or the names
        ``duplicate`` and ``dependent`` for the unit that is written in terms of others.
    """

    model: nn.Module
    graph: Graph
    data: Tensor
    planted: dict[str, dict[int, str]]

    def counts(self) -> Counter[str]:
        return Counter(kind for units in self.planted.values() for kind in units.values())


def plant(family: str, seed: int) -> Planted:
    """Return a random network with units planted at random sites, in graph order."""
    model, example = build(family, seed)
    rng = random.Random(f"plant {family} {seed}")
    torch.manual_seed(rng.randrange(2**31))
    examples = EXAMPLES.get(family, IMAGES)
    shape = (examples, *example.shape[1:])
    data = _images_or_features(shape) if example.is_floating_point() else torch.randint(0, 11, shape)
    graph = trace(model, example, name=f"{family} {seed}")
    planted = {}
    for site in graph.sites:
        branches = producers(model, graph, site)
        if branches and rng.random() < 0.8:
            with torch.no_grad():
                planted[site.name] = _Planter(graph, site, branches, data, rng).run()
    return Planted(model, graph, data, planted)


def _images_or_features(shape: tuple[int, ...]) -> Tensor:
    """Return noise whose level and contrast differ between examples, so that what is pooled over positions bends,
    too."""
    each = (shape[0], *(size if axis == 0 else 1 for axis, size in enumerate(shape[1:])))
    return torch.randn(shape).double() * (0.3 + 2 * torch.rand(each)) + 1.5 * torch.randn(each)


def producers(model: nn.Module, graph: Graph, site: Site) -> list[Rows]:
    """Return the producer rows of a site, one entry for each branch of a gate (the multiplied value last); empty if
    mixed."""
    nodes = {step.name: step.node for step in graph.program.steps}
    if site.kind == "stream" or not all(name in nodes for name in site.inputs):
        return []
    found = [_rows(model, graph, nodes[name], site.units) for name in site.inputs]
    if site.op == "glu":  # one input, both halves
        found = [_rows(model, graph, nodes[site.inputs[0]], site.units, start) for start in (site.units, 0)]
    return [rows for rows in found if rows is not None] if all(found) else []


def _rows(model: nn.Module, graph: Graph, node: Node, units: int, start: int = 0) -> Rows | None:
    norm: nn.Module | None = None
    while True:
        op, source = str(node.target), node.args[0]
        if op.startswith(("aten.linear", "aten.conv2d")):
            break
        if not isinstance(source, Node):
            return None
        if "getitem" in op:
            start += int(node.args[1]) * units if "split" in str(source.target) else 0  # type: ignore[arg-type]
        elif "batch_norm" in op:
            norm = _owner(model, graph, node.args[1])
        elif not op.startswith(("aten.split", "aten.silu", "aten.sigmoid", "aten.clone")):
            return None
        node = source
    module = _owner(model, graph, node.args[1])
    if module is None or (module.bias is None and norm is None):
        return None
    bias = None if module.bias is None else module.bias[start : start + units]  # type: ignore[index]
    return Rows(module.weight[start : start + units], bias, norm)  # type: ignore[index]


def _owner(model: nn.Module, graph: Graph, node: object) -> nn.Module | None:
    name = graph.program.parameters.get(getattr(node, "name", ""))
    return None if name is None else model.get_submodule(name.rpartition(".")[0])


class _Planter:
    """Plants into one site, every unit used once."""

    def __init__(self, graph: Graph, site: Site, branches: list[Rows], data: Tensor, rng: random.Random) -> None:
        self.graph, self.site, self.data, self.rng = graph, site, data, rng
        *self.gates, self.rows = branches
        self.unused = rng.sample(range(site.units), site.units)
        self.planted: dict[int, str] = {}
        self.function = site.activation.name if site.activation else ""

    def run(self) -> dict[int, str]:
        if self.rng.random() < 0.7:  # first, while there are units enough
            self.dependent()
        for kind in self.rng.sample([self.dead, self.constant, self.duplicate, self.duplicate], 4):
            if self.rng.random() < 0.7:
                kind()
        return self.planted

    def dead(self) -> None:
        if self.function in ("sigmoid", "softplus") or len(self.unused) < 2:
            return
        unit = self.unused.pop()
        self.rows.set(unit, self._nothing(), torch.tensor(0.0))
        self.planted[unit] = "dead"

    def constant(self) -> None:
        if len(self.unused) < 2:
            return
        unit = self.unused.pop()
        for rows in (*self.gates, self.rows):
            rows.set(unit, self._nothing(), torch.tensor(self.rng.uniform(0.5, 2.0)))
        self.planted[unit] = "constant"

    def duplicate(self) -> None:
        if len(self.unused) < 3 or not self.rows.free:
            return
        original, copy = self.unused.pop(), self.unused.pop()
        scale = 1.0
        if self.function in HOMOGENEOUS:
            scale = self.rng.uniform(0.3, 3.0)
        elif self.function in ODD or self.gates:
            scale = -1.0
        w, b = self.rows.get(original)
        self.rows.set(copy, scale * w, scale * b)
        self._share_gates(original, copy)
        self.planted[copy] = "duplicate"

    def dependent(self) -> None:
        if not self.rows.free:
            return
        ways = [way for way, wants in self._ways().items() if len(self.unused) > wants]
        if ways:
            self.rng.choice(ways)()

    def _ways(self) -> dict:
        """Return the ways of planting a dependent unit, with how many units each takes."""
        ways = {}
        if self.gates:
            ways[self._combination_behind_one_gate] = 3
        if self.function in HOMOGENEOUS:
            ways[self._both_sides_and_always_on] = 3
        if self.function in (*HOMOGENEOUS, "elu", "hardswish"):
            ways[self._always_on_combination] = 3
        if self.function in SPLITTING:
            ways[self._three_split_functions] = 6
        return ways

    def _combination_behind_one_gate(self) -> None:
        a, b, c = (self.unused.pop() for _ in range(3))
        (wa, ba), (wb, bb) = self.rows.get(a), self.rows.get(b)
        self.rows.set(c, wa + 2 * wb, ba + 2 * bb)
        self._share_gates(a, b, c)
        self.planted[c] = "dependent"

    def _both_sides_and_always_on(self) -> None:
        plus, minus, on = (self.unused.pop() for _ in range(3))
        w, b = self.rows.get(plus)
        self.rows.set(minus, -w, -b)
        self.rows.set(on, w, b)
        self._lift(on)
        self.planted[on] = "dependent"

    def _always_on_combination(self) -> None:
        a, b, c = (self.unused.pop() for _ in range(3))
        (wa, ba), (wb, bb) = self.rows.get(a), self.rows.get(b)
        self.rows.set(c, wa - 1.5 * wb, ba - 1.5 * bb)
        for unit in (a, b, c):
            self._lift(unit)
        self.planted[c] = "dependent"

    def _three_split_functions(self) -> None:
        units = [self.unused.pop() for _ in range(6)]
        (wa, ba), (wb, bb) = self.rows.get(units[0]), self.rows.get(units[1])
        for unit, (w, b) in zip(units, [(wa, ba), (wb, bb), (wa + wb, ba + bb)] * 2, strict=True):
            sign = 1.0 if unit in units[:3] else -1.0
            self.rows.set(unit, sign * w, sign * b)
        self.planted[units[5]] = "dependent"

    def _lift(self, unit: int) -> None:
        """Raise the bias until the pre-activation is above 4 on all the data (above 3, hardswish is the identity)."""
        seen: list[Tensor] = []
        self.graph.run(
            self.data, taps={self.site.name: lambda _v, z: seen.append(z.movedim(self.site.axis, -1)[..., unit].min())}
        )
        w, b = self.rows.get(unit)
        self.rows.set(unit, w, b + 4.0 - seen[0])

    def _share_gates(self, first: int, *others: int) -> None:
        for rows in self.gates:
            for unit in others:
                rows.set(unit, *rows.get(first))

    def _nothing(self) -> Tensor:
        return torch.zeros_like(self.rows.weight[0])
