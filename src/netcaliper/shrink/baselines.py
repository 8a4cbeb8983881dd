"""What other rules would have taken away: as many units of each, at random or by the size of their weights."""

import numpy as np
from jaxtyping import Bool, Float64, Int

from netcaliper.surgery.masking import Removed, leaving_some
from netcaliper.trace.graph import Graph
from netcaliper.trace.structure import Dimension, Structure


def random_units(structure: Structure, removed: Removed, seed: int) -> dict[str, Bool[np.ndarray, " units"]]:
    """Return as many units of every dimension, drawn at random among those that can go."""
    found = {}
    for number, (name, gone) in enumerate(removed.items()):
        dimension = structure.dimension(name)
        rng = np.random.default_rng([seed % 2**64, number])
        order = rng.permutation(np.flatnonzero(~dimension.frozen))
        found[name] = _as_many(dimension, order, int(gone.sum()))
    return found


def smallest_units(graph: Graph, removed: Removed) -> dict[str, Bool[np.ndarray, " units"]]:
    """Return as many units of every dimension, those with the smallest L1 norm of the weights that make them."""
    found = {}
    for name, gone in removed.items():
        dimension = graph.structure.dimension(name)
        free = np.flatnonzero(~dimension.frozen)
        order = free[np.argsort(_magnitude(graph, dimension)[free], kind="stable")]
        found[name] = _as_many(dimension, order, int(gone.sum()))
    return found


def _as_many(dimension: Dimension, order: Int[np.ndarray, " free"], count: int) -> Bool[np.ndarray, " units"]:
    """Return the first units of an order that can go together, so many of them."""
    may = leaving_some(dimension, order, np.empty(0, dtype=np.int64))
    return np.isin(np.arange(dimension.units), order[may][:count])


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
