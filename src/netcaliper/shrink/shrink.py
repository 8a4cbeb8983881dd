"""``nc.shrink``: a trained network made smaller without training it, with the plan that does it and the proof."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from netcaliper.errors import CutRefused, InputError
from netcaliper.feed.fingerprint import model_fingerprint
from netcaliper.feed.one_pass import Tell
from netcaliper.feed.origin import described
from netcaliper.feed.traced import traced
from netcaliper.reading.shrinking import ShrinkPlan, ShrinkProof, Target, TargetKind
from netcaliper.reading.shrinking_folder import PROOF, plan_bytes, proof_bytes
from netcaliper.shrink.blocks import BlockPath, blocks_named, find_blocks
from netcaliper.shrink.candidate import Candidate, Candidates
from netcaliper.shrink.descent import Place, descend
from netcaliper.shrink.finished import Finished, finish, prove
from netcaliper.shrink.held import Held
from netcaliper.shrink.judge import Judge
from netcaliper.shrink.paths import Path as OnePath
from netcaliper.shrink.paths import UnitPath, find_paths, unfit
from netcaliper.shrink.prepared import Prepared, prepare
from netcaliper.shrink.proof import measured_latency
from netcaliper.shrink.record import curve_of, gates_of, refusals, sites_of, steps_of
from netcaliper.shrink.search import Choice, search
from netcaliper.shrink.sizes import Sizes
from netcaliper.surgery.cut import cut_checked
from netcaliper.surgery.dropped_blocks import gone_with, replacements
from netcaliper.surgery.shrunk_folder import save_shrunk
from netcaliper.trace.graph import Graph

EXPORTED = "small.pt2"

PROBES = 256
"""Calibrate examples on which the effect of every dimension on the answers is measured, at most."""


@dataclass(frozen=True, eq=False)
class Shrunk:
    """A smaller network.

    Attributes:
        model: the small module, of the class of the given one.
        plan: what was done; ``apply_plan`` does it again.
        proof: what the small network answers on verify examples.
        exported: the small network as the content of a ``.pt2`` file, which was loaded again and compared; ``None`` if
            it cannot be exported (the proof says so).
    """

    model: nn.Module
    plan: ShrinkPlan
    proof: ShrinkProof
    exported: bytes | None = None

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write weights, plan, proof and ``small.pt2`` to a new folder, all or nothing; ``nc.load_shrunk`` opens it.

        Raises:
            OutputExists: the folder is there already.
            ReadingError: the disk refused.
        """
        beside = {PROOF: proof_bytes(self.proof)} | ({} if self.exported is None else {EXPORTED: self.exported})
        return save_shrunk(folder, self.model, plan_bytes(self.plan).decode(), beside)


def shrink(
    model: nn.Module | Graph,
    data: Iterable[Any],
    *,
    agreement: float | None = None,
    parameters: float | None = None,
    macs: float | None = None,
    latency: float | None = None,
    round_to: int = 1,
    verification: Iterable[Any] | None = None,
    force: bool = False,
    skip: Sequence[str] = (),
    sites: str = "*",
    seed: int = 0,
    device: str | torch.device | None = None,
    example: Any = None,
    name: str | None = None,
    data_name: str | None = None,
    keep: Callable[[ShrinkPlan], None] | None = None,
    progress: Tell | None = None,
) -> Shrunk:
    """Make a trained network smaller without training it, and prove what that costs.

    Units that the weights prove to be of no use go first, exactly. Then units of layers, of residual streams and heads
    go, and whole residual blocks: in the order in which the readers, fitted again to the units that stay, lose least
    (``shrink/paths.py``), and as many of each as the trade-off of the whole network says (``shrink/descent.py``).
    Every weighted call after a change is fitted again to what the original network computes there
    (``shrink/refit.py``). No label is needed, and no gradient.

    The data are split by example index: half calibrates (at most 1,024 of these are held), a quarter decides on how far
    to go, and a quarter is read once at the end, for the proof.

    Args:
        model: a module in eval mode, which is only read, or its graph from ``nc.trace``.
        data: any re-iterable of batches.
        agreement: as small as it gets while the 95 % lower bound of the share of equal answers is at least this.
        parameters: at most this share of the parameters.
        macs: at most this share of the multiply-adds.
        latency: at most this share of the time of a call, as measured here on a batch. Without any of the four: the
            knee of the trade-off.
        round_to: keep units in multiples of this (heads are not rounded).
        verification: other data for the proof; half of ``data`` then decides.
        force: go on although examples of ``verification`` are in ``data``; the proof says so.
        skip: steps to leave out, of ``netcaliper.shrink.prepared.STEPS``.
        sites: name or shell pattern of what may be touched.
        seed: of the split and of the rows read.
        device: where to run, the model's own by default.
        example: a batch to trace the model with; the first batch of ``data`` by default.
        name: of the model in the plan.
        data_name: of the data in the plan.
        keep: called with the plan of every network that was verified on select examples and is better than those
            before, so that an interruption loses nothing.
        progress: called with ``(phase, done, total)``.

    Raises:
        InputError: an argument cannot be used.
        DataError: too few examples, or examples of the proof among the others.
        TraceError: the network cannot be read.
    """
    target = _target(agreement=agreement, parameters=parameters, macs=macs, latency=latency)
    if isinstance(round_to, bool) or not isinstance(round_to, int) or round_to < 1:
        raise InputError(f"`round_to` must be a whole number of at least 1, got {round_to!r}; 8 suits most hardware.")
    tell = progress or (lambda phase, done, total: None)
    graph = traced(model, data, example, device, name)
    asked = target.value if target.kind == "agreement" else None
    tell("read", 0, 1)
    prepared = prepare(graph, data, verification, force=force, skip=skip, sites=sites, seed=seed, agreement=asked)
    tell("read", 1, 1)
    own = model_fingerprint(graph.program.tensors)
    about = _About(name or graph.name, own, data_name or described(data), seed, target, round_to)
    paths, not_taken = _paths(prepared, skip, tell)
    while True:
        candidates = _Kept(prepared, paths, about, keep, tell, not_taken)
        sizes = Sizes(graph, paths)
        weights = {"parameters": (1.0, 0.0), "macs": (0.0, 1.0), "latency": (0.0, 1.0)}.get(target.kind, (1.0, 1.0))
        way = descend(paths, sizes, parameters=weights[0], macs=weights[1], multiple=round_to)
        try:
            choice = search(
                candidates,
                way,
                sizes.of([0] * len(paths)),
                target,
                lambda c: _time(prepared, c),
                prepared.parts.sizes.verify,
            )
            finished = finish(prepared, choice.candidate, norms=False if "norm statistics" in skip else None)
        except CutRefused as problem:
            stuck = [path for path in paths if path.name in problem.dimensions]
            stuck = stuck or [path for path in paths if isinstance(path, BlockPath)]  # it names no units then
            if not stuck:
                raise
            not_taken += [(path.name, str(problem)) for path in stuck]
            paths = [path for path in paths if path not in stuck]
            continue
        break
    tell("verify", 0, 1)
    shrunk = _shrunk(prepared, candidates, choice, finished, about, not_taken)
    tell("verify", 1, 1)
    return shrunk


def apply_plan(
    model: nn.Module | Graph,
    data: Iterable[Any],
    plan: ShrinkPlan,
    *,
    verification: Iterable[Any] | None = None,
    force: bool = False,
    device: str | torch.device | None = None,
    example: Any = None,
    name: str | None = None,
    data_name: str | None = None,
    progress: Tell | None = None,
) -> Shrunk:
    """Run a plan again: take the same units and blocks out of the same network, fit its calls again, prove it anew.

    Args:
        model: the network that the plan was made for.
        data: to fit and to verify on; the same or other ones.
        plan: from ``nc.shrink`` or a ``plan.json``.
        verification: as in ``shrink``.
        force: as in ``shrink``.
        device: as in ``shrink``.
        example: as in ``shrink``.
        name: as in ``shrink``.
        data_name: as in ``shrink``.
        progress: as in ``shrink``.

    Raises:
        InputError: the plan is of other weights; both fingerprints are named.
        CutRefused: the module cannot be cut as the plan says.
    """
    graph = traced(model, data, example, device, name)
    own = model_fingerprint(graph.program.tensors)
    if own != plan.model_fingerprint:
        raise InputError(
            f"`plan` must be of this very network, but it was made for {plan.model} with the weights "
            f"{plan.model_fingerprint[:16]}..., and {name or graph.name} has {own[:16]}...; load those weights, or "
            "make a plan for these with shrink."
        )
    tell = progress or (lambda phase, done, total: None)
    skip = _skipped(plan)
    prepared = prepare(
        graph,
        data,
        verification,
        force=force,
        skip=skip,
        sites="*",
        seed=plan.seed,
        agreement=None,
        exact_in={step.dimension for step in plan.steps if step.tier == "exact"},
    )
    about = _About(name or graph.name, own, data_name or described(data), plan.seed, plan.target, plan.round_to)
    units = {d.name: d.units for d in graph.structure.dimensions}
    for dimension, gone in plan.removed.items():
        if dimension not in units or gone[-1] >= units[dimension]:
            raise InputError(
                f"`plan` must remove units that are there, got {dimension!r}, unit {gone[-1]}, of a network with "
                f"{units.get(dimension, 'no such')} units; it was edited, make a new one with shrink."
            )
    removed = {name: np.isin(np.arange(units[name]), gone) for name, gone in plan.removed.items()}
    dropped = blocks_named(graph, plan.dropped)
    if len(dropped) != len(plan.dropped):
        raise InputError(f"`plan` must drop residual blocks that can be left out, got {', '.join(plan.dropped)}.")
    candidates = Candidates(graph, prepared.exact, prepared.calls, [], prepared.parts.calibrate, prepared.judge)
    place = Place((), 0.0, *Sizes(graph, []).of([]))
    tell("fit", 0, 1)
    candidate = candidates.with_units(place, removed, dropped)
    norms = any(step.kind == "norm statistics" and step.status == "kept" for step in plan.steps)
    finished = finish(prepared, candidate, norms=norms)
    tell("fit", 1, 1)
    choice = Choice(candidate, True, f"as in the plan: {plan.why}")
    made = _shrunk(prepared, candidates, choice, finished, about, [])
    return replace(made, plan=made.plan.model_copy(update={"curve": plan.curve, "refused": plan.refused}))


@dataclass(frozen=True)
class _About:
    """What the plan says of itself."""

    model: str
    fingerprint: str
    data: str
    seed: int
    target: Target
    round_to: int


class _Kept(Candidates):
    """Candidates whose plan is handed on as soon as they are judged."""

    def __init__(
        self,
        prepared: Prepared,
        paths: Sequence[OnePath],
        about: _About,
        keep: Callable[[ShrinkPlan], None] | None,
        tell: Tell,
        not_taken: Sequence[tuple[str, str]],
    ) -> None:
        super().__init__(
            prepared.graph, prepared.exact, prepared.calls, paths, prepared.parts.calibrate, prepared.judge
        )
        self._prepared, self._about, self._keep, self._tell = prepared, about, keep, tell
        self._not_taken = not_taken

    def at(self, place: Place) -> Candidate:
        """Return the network at a place; its plan is kept if it is what was asked for, as far as is known."""
        known = len(self.made)
        candidate = super().at(place)
        if len(self.made) > known:
            self._tell("fit", len(self.made), len(self.made) + 1)
            target = self._about.target
            meets = target.kind != "agreement" or candidate.judgment.agreement.meets(target.value or 0)
            if self._keep is not None and meets:
                choice = Choice(candidate, True, "the last network that was verified before an interruption")
                self._keep(_plan(self._prepared, self, choice, None, self._about, self._not_taken))
        return candidate


def _target(**given: float | None) -> Target:
    """Check what is asked for: one share at most."""
    asked = {kind: value for kind, value in given.items() if value is not None}
    if len(asked) > 1:
        words = " and ".join(f"`{kind}` {value:g}" for kind, value in asked.items())
        raise InputError(f"At most one target can be met for sure, got {words}; give one of them.")
    for kind, value in asked.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
            raise InputError(f"`{kind}` must be a share between 0 and 1, got {value!r}; e.g. {kind}=0.5.")
        return Target(kind=cast(TargetKind, kind), value=float(value))
    return Target(kind="knee")


def _skipped(plan: ShrinkPlan) -> tuple[str, ...]:
    """Return the exact steps that the plan did without, so that the same ones are taken."""
    done = {step.kind for step in plan.steps}
    return tuple(kind for kind in ("dead", "constant", "duplicate") if kind not in done)


def _paths(prepared: Prepared, skip: Sequence[str], tell: Tell) -> tuple[list[OnePath], list[tuple[str, str]]]:
    """Return what can be taken away step by step, and what cannot, with the reason."""
    graph = prepared.graph.with_state(prepared.exact.state)
    probes = Held(_first(prepared.parts.calibrate, PROBES), prepared.parts.calibrate.seed)
    judge = Judge(prepared.graph, probes)
    refused: list[tuple[str, str]] = []
    fit = []
    for dimension in prepared.dimensions:
        why = "`skip` leaves out absorb" if "absorb" in skip and dimension.kind == "inner" else None
        why = why or unfit(dimension, prepared.by_node, prepared.uncalled)
        if why is None:
            fit.append(dimension)
        else:
            refused.append((dimension.name, why))
    tell("paths", 0, 1)
    units, without_path = find_paths(
        graph, fit, prepared.by_node, prepared.parts.calibrate, judge, prepared.exact.removed
    )
    tell("paths", 1, 1)
    refused += without_path.items()
    known = {path.name for path in units}
    proved = [  # nothing more can go there, but what has gone counts in every size
        UnitPath(
            prepared.graph.structure.dimension(name), np.flatnonzero(gone), np.zeros(gone.sum() + 1), int(gone.sum())
        )
        for name, gone in prepared.exact.removed.items()
        if name not in known
    ]
    blocks: tuple[BlockPath, ...] = ()
    if "drop block" not in skip:
        found, stay = find_blocks(graph, judge)
        blocks, not_cut = _droppable(prepared.graph, found)
        refused += [*stay, *not_cut]
    return [*units, *proved, *blocks], refused


def _droppable(graph: Graph, blocks: Sequence[BlockPath]) -> tuple[tuple[BlockPath, ...], list[tuple[str, str]]]:
    """Find which blocks the module can do without; the cut of all that go is compared as a whole in the end."""
    left, refused = [], []
    for block in blocks:
        try:
            replacements(graph, [block.name])
        except CutRefused as problem:
            refused.append((block.name, str(problem)))
        else:
            left.append(block)
    return tuple(left), refused


def _first(held: Held, examples: int) -> tuple[Any, ...]:
    """Return the first batches with at least so many examples together."""
    found, count = [], 0
    for batch in held.batches:
        if count >= examples:
            break
        found.append(batch)
        count += batch.size
    return tuple(found)


def _time(prepared: Prepared, candidate: Candidate) -> float:
    """Measure the time of a candidate's module over that of the original one, on a select batch."""
    graph = prepared.graph
    network = cut_checked(graph, candidate.removed, candidate.state, [path.name for path in candidate.dropped])
    return measured_latency(graph.model, network.module, graph, prepared.parts.select.batches[0]).ratio


def _plan(
    prepared: Prepared,
    candidates: Candidates,
    choice: Choice,
    finished: Finished | None,
    about: _About,
    not_taken: Sequence[tuple[str, str]],
) -> ShrinkPlan:
    graph, candidate = prepared.graph, choice.candidate
    gates = {} if finished is None else gates_of(candidates, candidate)
    dropped = tuple(path.name for path in candidate.dropped)
    replaced = {} if finished is None else finished.network.cuts.replaced
    unread = [(name, f"is not fitted again: {why}") for name, why in candidate.kept.items()]
    return ShrinkPlan(
        model=about.model,
        model_fingerprint=about.fingerprint,
        data=about.data,
        data_fingerprint=prepared.parts.fingerprint,
        seed=about.seed,
        splits=prepared.parts.sizes,
        target=about.target,
        round_to=about.round_to,
        tolerance=about.target.value if about.target.kind == "agreement" and about.target.value else 0.0,
        steps=steps_of(graph, prepared.exact, candidate, gates, finished and finished.norms),
        removed={name: tuple(np.flatnonzero(gone).tolist()) for name, gone in candidate.removed.items() if gone.any()},
        dropped=dropped,
        sites=sites_of(graph, candidate.removed, gone_with(graph, dropped, replaced)),
        curve=curve_of(candidates, candidate),
        refused=refusals(prepared.refused, not_taken, unread, graph.skipped),
        surgery={} if finished is None else finished.network.cuts.to_json(),
        why=choice.why,
    )


def _shrunk(
    prepared: Prepared,
    candidates: Candidates,
    choice: Choice,
    finished: Finished,
    about: _About,
    not_taken: Sequence[tuple[str, str]],
) -> Shrunk:
    """Write the plan, read the verify examples, and say whether what was asked for is met."""
    plan = _plan(prepared, candidates, choice, finished, about, not_taken)
    proof = prove(prepared, candidates, choice.candidate, finished, target=(choice.met, choice.why), seed=about.seed)
    met, words = _met(about.target, choice, proof)
    proof = proof.model_copy(update={"target_met": met, "target_words": words})
    return Shrunk(finished.network.module, plan, proof, finished.exported)


def _met(target: Target, choice: Choice, proof: ShrinkProof) -> tuple[bool, str]:
    """Say whether the target is met: of an agreement on verify examples, of a size by the module itself."""
    value = target.value or 0.0
    if target.kind == "agreement":
        reached = proof.agreement if proof.agreement_low is None else proof.agreement_low
        return reached >= value, f"{reached:.4f} is shown on verify examples, {value:g} was asked for"
    if target.kind in ("parameters", "macs"):
        before, after = (
            (proof.parameters_before, proof.parameters_after)
            if target.kind == "parameters"
            else (proof.macs_before, proof.macs_after)
        )
        share = after / max(before, 1)
        # an expected share may be a little off: attention scores are counted in the module only
        return share <= value or choice.met, f"{share:.3f} is left, {value:g} was asked for"
    if target.kind == "latency" and proof.latency is not None:
        return proof.latency.ratio <= value, f"it takes {proof.latency.ratio:.2f} of the time, {value:g} was asked for"
    return True, choice.why
