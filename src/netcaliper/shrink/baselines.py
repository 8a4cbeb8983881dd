"""What other rules would have taken away: as many units of each, at random or by the size of their weights."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float64

from netcaliper.trace.graph import Graph
from netcaliper.trace.structure import Dimension, Structure

Removed = Mapping[str, Bool[np.ndarray, " units"]]


def random_units(structure: Structure, removed: Removed, seed: int) -> dict[str, Bool[np.ndarray, " units"]]:
    """Return as many units of every dimension, drawn at random among those that can go."""
    found = {}
    for number, (name, gone) in enumerate(removed.items()):
        free = np.flatnonzero(~structure.dimension(name).frozen)
        rng = np.random.default_rng([seed % 2**64, number])
        found[name] = np.isin(np.arange(len(gone)), rng.permutation(free)[: gone.sum()])
    return found


def smallest_units(graph: Graph, removed: Removed) -> dict[str, Bool[np.ndarray, " units"]]:
    """Return as many units of every dimension, those with the smallest L1 norm of the weights that make them."""
    found = {}
    for name, gone in removed.items():
        dimension = graph.structure.dimension(name)
        size = np.where(dimension.frozen, np.inf, _magnitude(graph, dimension))
        found[name] = np.isin(np.arange(len(gone)), np.argsort(size, kind="stable")[: gone.sum()])
    return found


def _magnitude(graph: Graph, dimension: Dimension) -> Float64[np.ndarray, " units"]:
    """Return by unit the sum of ``|w|`` over the rows that make it."""
    total = np.zeros(dimension.units)
    tensors = graph.program.tensors
    for holder in dimension.holders:
        if holder.role != "row" or holder.names[0] not in tensors:
            continue
        rows = tensors[holder.names[0]].detach().movedim(holder.axis, 0).double().abs().flatten(1).sum(1).cpu().numpy()
        if len(rows) == len(holder.unit):
            np.add.at(total, holder.unit[holder.unit >= 0], rows[holder.unit >= 0])
    return total
