"""Coupled groups: the units that must change together, because sites and weights share producer rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Rows = Int[np.ndarray, "_"]
Side = Literal["rows", "columns"]


@dataclass(frozen=True)
class WeightAxis:
    """The rows that a weighted call makes, or the columns that it reads, as classes of producer rows."""

    call: str
    side: Side
    rows: Rows


@dataclass(frozen=True)
class Group:
    """Units that must change together: sites and weights that share producer rows.

    Attributes:
        name: ``g1``, ``g2``, ... in graph order.
        sites: names of the sites.
        producers: names of the weighted calls whose output rows belong to it.
        consumers: names of the weighted calls whose input columns belong to it.
        units: number of classes of rows.
        frozen: number of classes that nothing can remove (bound to an input, a reshape or a mixing operation).
    """

    name: str
    sites: tuple[str, ...]
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    units: int
    frozen: int


def couple(sites: Mapping[str, Rows], axes: Sequence[WeightAxis], frozen: Rows) -> list[Group]:
    """Collect what shares rows; a site with one producer and no partner is an inner site and in no group.

    Args:
        sites: classes of the producer rows of every site's units, in graph order.
        axes: classes of the rows that every weighted call makes, and of the columns that it reads.
        frozen: classes that nothing can remove.
    """
    members = [np.unique(rows[rows >= 0]) for rows in [*sites.values(), *(axis.rows for axis in axes)]]
    home, classes = components(members)
    of_site = dict(zip(sites, home, strict=False))
    groups: list[Group] = []
    for component in dict.fromkeys(of_site.values()):
        named = tuple(name for name, where in of_site.items() if where == component)
        sides: dict[str, list[str]] = {"rows": [], "columns": []}
        for axis, where in zip(axes, home[len(sites) :], strict=True):
            if where == component and axis.call not in sides[axis.side]:
                sides[axis.side].append(axis.call)
        if len(named) < 2 and len(sides["rows"]) < 2:
            continue
        units = {row for row, where in classes.items() if where == component}
        groups.append(
            Group(
                name=f"g{len(groups) + 1}",
                sites=named,
                producers=tuple(sides["rows"]),
                consumers=tuple(sides["columns"]),
                units=len(units),
                frozen=len(units.intersection(frozen.tolist())),
            )
        )
    return groups


def components(members: Sequence[Rows]) -> tuple[list[int], dict[int, int]]:
    """Return the component of every holder of rows, and of every row."""
    rows, position = np.unique(np.concatenate([*members, np.empty(0, dtype=np.int64)]), return_inverse=True)
    holder = np.repeat(np.arange(len(members)), [len(m) for m in members])
    size = len(members) + len(rows)
    edges = coo_array((np.ones(len(holder)), (holder, len(members) + position)), shape=(size, size))
    _, component = connected_components(edges, directed=False)
    return component[: len(members)].tolist(), dict(zip(rows.tolist(), component[len(members) :].tolist(), strict=True))
