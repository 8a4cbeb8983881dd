"""Units taken away without making anything smaller: zeros wherever they are."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from netcaliper.errors import CutRefused, InputError
from netcaliper.trace.structure import Dimension, Structure

Removed = Mapping[str, Bool[np.ndarray, " units"]]
"""By name of a dimension, true for every unit that is taken away."""


def masked(state: Mapping[str, Tensor], structure: Structure, removed: Removed) -> dict[str, Tensor]:
    """Return a state with zeros at every entry of the removed units: rows, what rides along, columns.

    ``running_var`` stays as it is, so that a BatchNorm goes on dividing by a number; with mean, weight and bias 0 it
    gives 0. A network with this state computes what it computes without the units, except where a normalization takes
    statistics over them.

    Args:
        state: tensors by state-dict name; those that change are copied, the others are the same objects in what is
            returned.
        structure: what lies where.
        removed: units by dimension.

    Raises:
        InputError: an unknown dimension, or one with another number of units, a frozen unit.
        CutRefused: nothing would be left of a dimension.
    """
    result = dict(state)
    copies: dict[int, Tensor] = {}
    for dimension in checked(structure, removed):
        gone = removed[dimension.name]
        for holder in dimension.holders:
            zero = torch.as_tensor(np.flatnonzero(entries(holder.unit, gone)))
            for name in holder.names:
                if name not in result or name.endswith("running_var"):
                    continue
                old = result[name]
                if id(old) not in copies:
                    new = old.detach().clone()
                    copies[id(old)] = copies[id(new)] = new
                result[name] = copies[id(old)]
                result[name].index_fill_(holder.axis, zero.to(old.device), 0)
    return result


def checked(structure: Structure, removed: Removed) -> list[Dimension]:
    """Return the dimensions that lose units, in the order of the graph.

    Raises:
        InputError, CutRefused: as ``masked`` does.
    """
    known = {dimension.name: dimension for dimension in structure.dimensions}
    for name, gone in removed.items():
        if name not in known:
            why = dict(structure.refused).get(name, f"it is none of the {len(known)} of the network")
            raise InputError(f"`removed` must name dimensions, got {name!r}: {why}; leave it out")
        dimension = known[name]
        if len(gone) != dimension.units:
            raise InputError(
                f"`removed` must hold a boolean for each of the {dimension.units} units of `{name}`, got {len(gone)}; "
                "pass the structure of the same network"
            )
        frozen = np.flatnonzero(gone & dimension.frozen)
        if len(frozen):
            raise InputError(f"unit {frozen[0]} of `{name}` cannot be removed: {dimension.why_frozen}; leave it out")
        if gone.all():
            raise CutRefused(f"all {len(gone)} units of `{name}` would go; keep one, or drop what it is in", (name,))
        empty = next((h for h in dimension.holders if len(h.unit) and entries(h.unit, gone).all()), None)
        if empty is not None:
            raise CutRefused(
                f"axis {empty.axis} of `{empty.names[0]}` would lose all of its {len(empty.unit)} entries, which are "
                f"units of `{name}`; keep one of them",
                (name,),
            )
    return [dimension for name, dimension in known.items() if name in removed and removed[name].any()]


def entries(unit: np.ndarray, gone: Bool[np.ndarray, " units"]) -> Bool[np.ndarray, " size"]:
    """Return for every index of a holder's axis whether its unit is gone."""
    return np.where(unit >= 0, gone[np.maximum(unit, 0)], False)


def leaving_some(
    dimension: Dimension, order: Int[np.ndarray, " steps"], first: Int[np.ndarray, " gone"]
) -> Bool[np.ndarray, " steps"]:
    """Return which units of an order may go, one after the other, so that something is left of every holder.

    A holder of some of the units only is a part of a concatenation.

    Args:
        dimension: whose units they are.
        order: units that are to go.
        first: units that are gone already.
    """
    left = [np.bincount(h.unit[h.unit >= 0], minlength=dimension.units) for h in dimension.holders]
    rest = [
        np.count_nonzero(h.unit < 0) + int(c.sum() - c[first].sum())
        for h, c in zip(dimension.holders, left, strict=True)
    ]
    may = np.zeros(len(order), dtype=bool)
    for place, unit in enumerate(order):
        if all(have > counts[unit] for have, counts in zip(rest, left, strict=True)):
            may[place] = True
            rest = [have - int(counts[unit]) for have, counts in zip(rest, left, strict=True)]
    return may
