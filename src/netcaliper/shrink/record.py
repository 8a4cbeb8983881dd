"""The plan as a record: what was done in which order, what was refused, and the trade-off that it was chosen from."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from netcaliper.reading.shrinking import Gate, PlanStep, Refusal, SiteSize, TradeOffPoint
from netcaliper.shrink.candidate import Candidate, Candidates
from netcaliper.shrink.exact import Exact
from netcaliper.shrink.prepared import KINDS
from netcaliper.shrink.proof import gate
from netcaliper.trace.graph import Graph

Removed = Mapping[str, Bool[np.ndarray, " units"]]

_WHY = {
    "dead": "the weights say that the units are 0 for every input, or that nothing reads them",
    "constant": "the weights say that the units have one value for every input; it goes into the biases of the readers",
    "duplicate": "the weights that make the units are those of others, whose columns take over",
}


def steps_of(
    graph: Graph, exact: Exact, candidate: Candidate, gates: Mapping[str, Gate], norms: PlanStep | None
) -> tuple[PlanStep, ...]:
    """Return the steps in order: exact ones, then what readers make up for, then blocks, then BatchNorm statistics.

    Args:
        graph: the original network.
        exact: what the weights prove.
        candidate: the network that was chosen.
        gates: on select examples, by kind of step (``gates_of``).
        norms: the step of the BatchNorm statistics, if there was one.
    """
    structure, found = graph.structure, []
    for step in exact.steps:
        found.append(
            PlanStep(
                number=len(found) + 1, kind=step.kind, tier="exact", dimension=step.dimension,
                units_before=structure.dimension(step.dimension).units, removed=step.units, why=_WHY[step.kind],
                gate=gates.get("exact"), status="kept",
            )
        )  # fmt: skip
    for dimension in structure.dimensions:
        gone = candidate.removed.get(dimension.name)
        before = exact.removed.get(dimension.name, np.zeros(dimension.units, dtype=bool))
        if gone is None or not (gone & ~before).any():
            continue
        found.append(
            PlanStep(
                number=len(found) + 1, kind=KINDS[dimension.kind], tier="approximate", dimension=dimension.name,
                units_before=dimension.units, removed=tuple(np.flatnonzero(gone & ~before).tolist()),
                why="least is lost for what is saved there, with the readers fitted again to the units that stay",
                gate=gates.get(KINDS[dimension.kind]), status="kept",
            )
        )  # fmt: skip
    for path in candidate.dropped:
        found.append(
            PlanStep(
                number=len(found) + 1, kind="drop block", tier="approximate", dimension=path.name, units_before=0,
                blocks=(path.name,), why="least is lost for what is saved by leaving the block out",
                gate=gates.get("drop block"), status="kept",
            )
        )  # fmt: skip
    if norms is not None:
        found.append(norms.model_copy(update={"number": len(found) + 1}))
    return tuple(found)


def sites_of(graph: Graph, removed: Removed, gone: Collection[str]) -> tuple[SiteSize, ...]:
    """Return the units of every site before and after.

    Args:
        graph: the original network.
        removed: units by dimension.
        gone: names of the nodes that went with residual blocks. (Names of sites would not do: the second ``add`` of a
            module becomes its first where a block is left out.)
    """
    after = {site.name: site.units for site in graph.sites}
    for dimension in graph.structure.dimensions:
        away = removed.get(dimension.name)
        if away is not None:
            for site, units in dimension.sites.items():
                after[site] -= int(away[units[units >= 0]].sum())
    return tuple(
        SiteSize(name=site.name, before=site.units, after=0 if site.node in gone else after[site.name])
        for site in graph.sites
    )


def curve_of(candidates: Candidates, chosen: Candidate) -> tuple[TradeOffPoint, ...]:
    """Return all networks that were made on the way, on select examples."""
    return tuple(
        TradeOffPoint(
            parameters=made.place.parameters,
            macs=made.place.macs,
            agreement=made.judgment.agreement.value,
            agreement_low=made.judgment.agreement.low,
            chosen=made is chosen,
        )
        for made in candidates.made
    )


def refusals(*parts: Sequence[tuple[str, str]]) -> tuple[Refusal, ...]:
    """Return what stays as it is, each once."""
    return tuple(Refusal(what=what, why=why) for what, why in dict(pair for part in parts for pair in part).items())


def gates_of(candidates: Candidates, chosen: Candidate) -> dict[str, Gate]:
    """Return what select examples say after every kind of step, one kind after the other.

    The order is that of the steps: exact ones, units of layers, heads, streams, blocks. The last kind ends at the
    chosen network itself.

    Returns:
        By kind of step; ``exact`` for the exact ones.
    """
    structure, proved = candidates.graph.structure, candidates.exact.removed
    found: dict[str, Gate] = {}
    removed = dict(proved)
    stages: list[tuple[str, dict[str, np.ndarray]]] = [("exact", dict(removed))] if proved else []
    for kind in KINDS:
        mine = {
            name: gone
            for name, gone in chosen.removed.items()
            if structure.dimension(name).kind == kind and (gone & ~proved.get(name, np.zeros_like(gone))).any()
        }
        if mine:
            removed |= mine
            stages.append((KINDS[kind], dict(removed)))
    if chosen.dropped:
        stages.append(("drop block", dict(chosen.removed)))
    for kind, gone in stages[:-1]:
        found[kind] = gate(candidates.with_units(chosen.place, gone, ()).judgment.agreement)
    if stages:
        found[stages[-1][0]] = gate(chosen.judgment.agreement)
    return found
