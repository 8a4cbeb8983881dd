"""Who reads unit j, by trying it: perturb one unit by its own scale and see which consumer columns move.

An independent little interpreter over the graph: outputs of weights and of other nonlinearities are held at their base
values, normalization statistics are frozen, and so is what mixes for good (softmax).
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from netcaliper.trace.graph import Graph
from netcaliper.trace.program import Step, bound
from netcaliper.trace.site import Site

WEIGHTED = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose2d", "addmm", "mm", "matmul", "bmm", "lstm", "gru")
MIXES = ("softmax", "_softmax", "log_softmax")
REDUCTIONS = ("mean", "var", "linalg_vector_norm", "sum")


def _op(step: Step) -> str:
    return str(step.target).split(".")[1] if str(step.target).startswith("aten.") else str(step.target)


class BruteForce:
    """Base values of every step, and the perturbed columns of every weight."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        args = pytree.tree_leaves((*graph.example.args, *graph.example.kwargs.values()))
        fixed = {name: graph.program.fixed(name) for name in graph.program.parameters}
        self.base: dict[str, Any] = fixed | dict(zip(graph.program.user_inputs, args, strict=True))
        self.inputs = set(graph.program.user_inputs)
        self.stops = {site.node for site in graph.sites if site.kind != "stream"}
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for step in graph.program.steps:
                positional, named = bound(step.node, self.base)
                value = step.target(*positional, **named)
                if step.name in self.stops:  # a generic point: a gate on a channel that happens to be 0 moves nothing
                    value = value + 0.1 + torch.rand(value.shape, generator=generator).to(value)
                self.base[step.name] = value

    def moved(self, site: Site, unit: int) -> dict[tuple[str, int], set[int]]:
        """Return for every weight that is touched (node, operand) the columns that move."""
        old = self.base[site.node]
        values = old.movedim(site.axis, -1)
        scale = float(values[..., unit].abs().max()) or 1.0
        new = values.clone()
        new[..., unit] += scale
        changed: dict[str, Any] = {site.node: new.movedim(-1, site.axis)}
        columns: dict[tuple[str, int], set[int]] = {}
        with torch.no_grad():
            for step in self.graph.program.steps:
                if step.name == site.node or not step.reads & changed.keys():
                    continue
                if _op(step) in WEIGHTED and self._has_weight(step):
                    for operand, axis, x in self._contracted(step):
                        if x in changed:
                            gap = (changed[x] - self.base[x]).abs().movedim(axis, -1).flatten(0, -2).amax(0)
                            hit = set(torch.nonzero(gap > 1e-9 * scale).flatten().tolist())
                            if hit:
                                columns[(step.name, operand)] = hit
                    continue
                if step.name in self.stops or _op(step) in MIXES:
                    continue
                value = self._step(step, changed, site)
                if value is not None:
                    changed[step.name] = value
        return columns

    def _has_weight(self, step: Step) -> bool:
        """Tell whether an operand is computed from weights alone."""

        def free(node: torch.fx.Node) -> bool:
            return node.name not in self.inputs and all(free(n) for n in node.all_input_nodes)

        operands = [
            *step.node.args[:2],
            *pytree.tree_leaves(step.node.args[2:3]),
        ]  # a recurrent cell has a list of weights
        return any(isinstance(a, torch.fx.Node) and free(a) for a in operands)

    def _contracted(self, step: Step) -> Iterator[tuple[int, int, str]]:
        op, args = _op(step), step.node.args
        if op == "addmm":
            yield 1, -1, args[1].name  # type: ignore[union-attr]
        elif op in ("mm", "matmul", "bmm"):
            yield 0, -1, args[0].name  # type: ignore[union-attr]
            yield 1, -2, args[1].name  # type: ignore[union-attr]
        elif op.startswith("conv"):
            yield 0, 1, args[0].name  # type: ignore[union-attr]
        else:
            yield 0, -1, args[0].name  # type: ignore[union-attr]

    def _step(self, step: Step, changed: dict[str, Any], site: Site) -> Any:
        op = _op(step)
        if op in ("layer_norm", "group_norm"):
            return self._frozen_norm(step, changed)
        positional, named = bound(step.node, self.base | changed)
        value = step.target(*positional, **named)
        if op in REDUCTIONS and isinstance(value, Tensor) and self._over_units(step, site):
            return None  # a statistic over units: frozen
        return value

    def _over_units(self, step: Step, site: Site) -> bool:
        dims = step.node.args[1] if len(step.node.args) > 1 else None
        source = self.base[step.node.args[0].name]  # type: ignore[union-attr]
        if dims is None:
            return True
        positive = {d % source.dim() for d in dims}  # type: ignore[union-attr]
        return site.axis % source.dim() in positive and source.shape == self.base[site.node].shape

    def _frozen_norm(self, step: Step, changed: dict[str, Any]) -> Tensor:
        args = step.node.args
        name = str(args[0].name)  # type: ignore[union-attr]
        x, old = changed[name], self.base[name]
        weight = self.base[args[2].name] if len(args) > 2 and args[2] is not None else None  # type: ignore[union-attr]
        if _op(step) == "layer_norm":
            dims = tuple(range(-len(args[1]), 0))  # type: ignore[arg-type]
            spread = (old.var(dims, unbiased=False, keepdim=True) + 1e-5).sqrt()
            gain = weight if weight is not None else 1.0
        else:
            grouped = old.reshape(old.shape[0], args[1], -1)  # type: ignore[arg-type]
            spread = (grouped.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt().expand_as(grouped).reshape(old.shape)
            gain = weight.reshape(1, -1, *[1] * (old.dim() - 2)) if weight is not None else 1.0
        return self.base[step.name] + (x - old) / spread * gain


def mismatches(graph: Graph, site: Site, brute: BruteForce, units: list[int]) -> list[str]:
    """Return what the graph says wrongly about the readers of these units, in words."""
    wrong = []
    by_node = {(c.node, c.operand): c for c in site.consumers}
    for unit in units:
        moved = brute.moved(site, unit)
        for key in moved.keys() | by_node.keys():
            told = set(by_node[key].columns(unit).tolist()) if key in by_node else set()
            seen = moved.get(key, set())
            if told != seen:
                excused = key not in by_node and (site.barriers or site.refused)
                if not excused:
                    wrong.append(
                        f"{graph.name} {site.name} unit {unit} at {key}: graph {sorted(told)}, trying {sorted(seen)}"
                    )
    return wrong
