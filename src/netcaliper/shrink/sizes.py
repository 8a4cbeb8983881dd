"""Parameters and multiply-adds of a network out of which units were cut, without making it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from jaxtyping import Float64, Int
from torch import Tensor, nn

from netcaliper.shrink.paths import Path
from netcaliper.trace.elementwise import find_regions
from netcaliper.trace.graph import Graph
from netcaliper.trace.weighted import match


@dataclass(frozen=True, eq=False)
class _Stored:
    """A tensor: what is left of each axis depends on how far the paths have gone.

    Attributes:
        shape: at full size.
        cuts: by number of a path and axis, how many indices have gone after 0, 1, 2, ... steps.
        parameter: whether it counts as parameters.
        uses: multiply-adds of an example for each of its entries.
    """

    shape: tuple[int, ...]
    cuts: Mapping[tuple[int, int], Int[np.ndarray, " places"]]
    parameter: bool
    uses: float


class Sizes:
    """Sizes of the network for every place on the paths.

    Multiply-adds are those of weighted calls; products of activations (attention scores) are left out here and counted
    in the network that is made.

    Args:
        graph: the network.
        paths: of its dimensions.
    """

    def __init__(self, graph: Graph, paths: Sequence[Path]) -> None:
        uses = _uses(graph)
        first: dict[int, str] = {}
        names: dict[str, str] = {}
        for name, tensor in graph.program.tensors.items():
            names[name] = first.setdefault(id(tensor), name)
        cuts: dict[str, dict[tuple[int, int], np.ndarray]] = {}
        for number, path in enumerate(paths):
            for tensor, axis, gone in path.cuts():
                own = cuts.setdefault(names[tensor], {})
                own[number, axis] = own.get((number, axis), 0) + gone
        tensors = graph.program.tensors
        self._stored: list[_Stored] = []
        self._touched: list[list[int]] = [[] for _ in paths]
        for name in dict.fromkeys(names.values()):
            tensor = tensors[name]
            own = cuts.get(name, {})
            for number in {number for number, _ in own}:
                self._touched[number].append(len(self._stored))
            self._stored.append(
                _Stored(tuple(tensor.shape), own, isinstance(tensor, nn.Parameter), uses.get(id(tensor), 0.0))
            )

    def of(self, places: Sequence[int]) -> tuple[int, int]:
        """Return parameters and multiply-adds with every path at a place."""
        found = [self._entries(stored, places) for stored in self._stored]
        parameters = sum(n for n, stored in zip(found, self._stored, strict=True) if stored.parameter)
        macs = sum(n * stored.uses for n, stored in zip(found, self._stored, strict=True))
        return round(float(parameters)), round(float(macs))

    def saved(
        self, number: int, places: Sequence[int], to: Int[np.ndarray, " choices"]
    ) -> tuple[Float64[np.ndarray, " choices"], Float64[np.ndarray, " choices"]]:
        """Return the parameters and multiply-adds saved by taking one path further, to each of several places."""
        parameters, macs = np.zeros(len(to)), np.zeros(len(to))
        for index in self._touched[number]:
            stored = self._stored[index]
            now = self._entries(stored, places)
            then = np.full(len(to), 1.0)
            for axis, size in enumerate(stored.shape):
                left = np.full(len(to), float(size))
                for (path, where), gone in stored.cuts.items():
                    if where == axis:
                        left -= gone[to] if path == number else gone[places[path]]
                left = np.maximum(left, 0)  # of a block that goes whole units may have gone before
                then *= left
            parameters += (now - then) * stored.parameter
            macs += (now - then) * stored.uses
        return parameters, macs

    @staticmethod
    def _entries(stored: _Stored, places: Sequence[int]) -> float:
        left = list(stored.shape)
        for (path, axis), gone in stored.cuts.items():
            left[axis] -= int(gone[places[path]])
        return float(prod(max(size, 0) for size in left))


def _uses(graph: Graph) -> dict[int, float]:
    """Return by weight how many multiply-adds an example makes with each of its entries."""
    nodes = list(graph.program.steps[0].node.graph.nodes) if graph.program.steps else []
    depends = find_regions(nodes, frozenset(graph.program.user_inputs)).depends
    found: dict[int, float] = {}
    for step in graph.program.steps:
        weighted = match(step.node, depends)
        weight = None if weighted is None else graph.program.fixed(weighted.weight.name)
        if weighted is None or weighted.operand is None or not isinstance(weight, Tensor):
            continue
        value = step.node.meta["val"]
        value = value[0] if isinstance(value, (tuple, list)) else value
        shape = [size.node.hint if isinstance(size, torch.SymInt) else size for size in value.shape]
        positions = prod(shape) / max(shape[weighted.makes], 1) / graph.traced_batch
        found[id(weight)] = found.get(id(weight), 0.0) + positions
    return found
