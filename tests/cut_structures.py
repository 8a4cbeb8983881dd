"""Structures written down by hand: small networks whose every holder is known without a trace."""

from typing import Any

import numpy as np
import torch

import netcaliper as nc
from netcaliper.surgery.cut import cut_checked
from netcaliper.trace.structure import Dimension, Holder, Norm, Structure


def holder(name, axis, role: Any = "row", unit=None, units=0):
    """Return a holder; several names with commas; without ``unit`` the units lie in order, one an index."""
    return Holder(tuple(name.split(",")), axis, role, np.arange(units) if unit is None else np.asarray(unit))


def dimension(name, units, *places, kind: Any = "inner", norms=()):
    """Return a dimension; a place is (tensor, axis, role) or (tensor, axis, role, unit of every index)."""
    holders = tuple(holder(*place, units=units) for place in places)
    return Dimension(
        name, kind, units, holders, (), {}, tuple(Norm(path, path, what, "", np.arange(units)) for path, what in norms),
        np.zeros(units, dtype=bool), "",
    )  # fmt: skip


def structure(*dimensions):
    return Structure(dimensions, ())


def gone(units, *which):
    """Return a boolean array that is true for some units."""
    found = np.zeros(units, dtype=bool)
    found[list(which)] = True
    return found


def traced(model, example, *dimensions) -> Any:
    graph = nc.trace(model.eval(), example)
    graph.structure = structure(*dimensions)
    return graph


def check(graph, removed, **given) -> Any:
    """Cut, compare with the masked network and check that the small module can be traced again."""
    before = {name: value.clone() for name, value in graph.model.state_dict().items()}
    found: Any = cut_checked(graph, removed, **given)
    assert all(torch.equal(before[name], value) for name, value in graph.model.state_dict().items())
    assert type(found.module) is type(graph.model)
    assert found.differences["float64"] <= 1e-9
    return found


def traceable(found, example):
    """The small module can be read again."""
    return bool(nc.trace(found.module, example).replay)
