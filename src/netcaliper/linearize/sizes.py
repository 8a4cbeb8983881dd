"""How large the bending part of a network is: units, calls, effective width and layers, path lengths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from netcaliper.errors import InputError
from netcaliper.measure.path_length import path_length
from netcaliper.reading.linearization import BentSite, Lengths
from netcaliper.trace.graph import Graph


@dataclass(frozen=True)
class Sizes:
    """See ``netcaliper.reading.linearization.Point`` for each of them; ``histogram`` is empty without path lengths."""

    units: int
    active: int
    calls: int | None
    calls_before: int | None
    effective_width: float | None
    effective_layers: float | None
    lengths: Lengths
    histogram: tuple[float, ...]


def sites_of(graph: Graph, names: Sequence[str]) -> tuple[BentSite, ...]:
    """Return the sites as a record holds them; one run of the traced example tells how many values a unit has."""
    positions: dict[str, int] = {}

    def tap(name: str) -> Any:
        def note(value: Tensor, *_: Tensor) -> None:
            site = graph.site(name)
            positions[name] = value.numel() // (graph.traced_batch * site.units)

        return note

    with torch.no_grad():
        graph.run(graph.example, taps={name: tap(name) for name in names})
    sites = [graph.site(name) for name in names]
    return tuple(
        BentSite(
            name=site.name,
            op=site.op,
            kind="gate" if site.kind == "gate" else "activation",
            units=site.units,
            positions=positions.get(site.name),
        )
        for site in sites
    )


def sizes(graph: Graph, sites: Sequence[BentSite], active: Mapping[str, Bool[Tensor, "_"]]) -> Sizes:
    """Return the sizes of the part that bends.

    Args:
        graph: the network.
        sites: that can bend.
        active: by site, which units do.
    """
    counts = [int(active[site.name].sum()) for site in sites]
    bending = [count for count in counts if count]
    squares = sum(count**2 for count in bending)
    positions = [site.positions for site in sites]
    known = [place for place in positions if place is not None]
    whole = len(known) == len(positions)
    walked, histogram = lengths(graph, active)
    return Sizes(
        units=sum(site.units for site in sites),
        active=sum(counts),
        calls=sum(n * at for n, at in zip(counts, known, strict=True)) if whole else None,
        calls_before=sum(site.units * at for site, at in zip(sites, known, strict=True)) if whole else None,
        effective_width=sum(bending) / len(bending) if bending else None,
        effective_layers=sum(bending) ** 2 / squares if bending else None,
        lengths=walked,
        histogram=histogram,
    )


def lengths(graph: Graph, active: Mapping[str, Bool[Tensor, "_"]] | None) -> tuple[Lengths, tuple[float, ...]]:
    """Return path lengths with these units bending (``None``: all), and the chance of each length on a random walk."""
    try:
        found = path_length(graph, None if active is None else {k: v.cpu().numpy() for k, v in active.items()})
    except InputError as refused:  # an operation on the way that the walk does not follow: named, and a gap
        return Lengths(reason=str(refused)), ()
    known = Lengths(mean=found.mean, normalized=found.normalized, reason="; ".join(found.gaps) or None)
    return known, found.histogram
