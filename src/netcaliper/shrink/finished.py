"""From a chosen candidate to the small module: cut, BatchNorm statistics if they help, compared and timed."""

from copy import deepcopy
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from jaxtyping import Bool
from torch import nn

from netcaliper.errors import NetcaliperError
from netcaliper.feed.norm_statistics import batch_norms, estimate_norms
from netcaliper.feed.origin import versions
from netcaliper.reading.shrinking import Baseline, PlanStep, ShrinkProof
from netcaliper.shrink.baselines import random_units, smallest_units
from netcaliper.shrink.candidate import Candidate, Candidates
from netcaliper.shrink.judge import without
from netcaliper.shrink.norms import over_kept
from netcaliper.shrink.prepared import Prepared
from netcaliper.shrink.proof import (
    Run,
    Verified,
    disagreements,
    gate,
    measured_latency,
    memory,
    multiply_adds,
    parameters,
    runner,
)
from netcaliper.surgery.answers import difference, in_float64
from netcaliper.surgery.cut import CutNetwork, cut_checked
from netcaliper.surgery.masking import masked
from netcaliper.trace.graph import Graph
from netcaliper.trace.program import tensors_of
from netcaliper.trace.replay import TOLERANCE
from netcaliper.trace.trace import trace

RANDOM, REFITTED, MAGNITUDE = "random", "random, refitted", "magnitude"


@dataclass(frozen=True, eq=False)
class Finished:
    """A small network.

    Attributes:
        network: the module and its cuts.
        plain: the module without new BatchNorm statistics, if it has them.
        norms: the step of the BatchNorm statistics, ``None`` if there is no BatchNorm or nothing was fitted.
        graph: of the small module, ``None`` if it cannot be traced.
        exported: the small module as a ``.pt2`` file that was loaded again and compared, ``None`` if that failed.
        warnings: in words.
    """

    network: CutNetwork
    plain: nn.Module | None
    norms: PlanStep | None
    graph: Graph | None
    exported: bytes | None
    warnings: tuple[str, ...]


def finish(prepared: Prepared, candidate: Candidate, *, norms: bool | None) -> Finished:
    """Cut the candidate out of the module, and try new BatchNorm statistics on select examples.

    Args:
        prepared: the original network.
        candidate: the chosen network.
        norms: whether BatchNorm statistics are estimated again; ``None`` to let select examples decide.

    Raises:
        CutRefused: the module cannot be cut like that.
    """
    graph = prepared.graph
    network = cut_checked(graph, candidate.removed, candidate.state, [path.name for path in candidate.dropped])
    plain, step, warnings = None, None, list[str]()
    if norms is not False and candidate.fitted and batch_norms(network.module):
        changed = deepcopy(network.module)
        estimate_norms(changed, prepared.parts.calibrate.batches)
        judged = prepared.judge.judge(runner(changed, graph))
        better = judged.divergence < candidate.judgment.divergence
        keep = better if norms is None else norms
        step = PlanStep(
            number=1,
            kind="norm statistics",
            tier="approximate",
            dimension="BatchNorm",
            units_before=0,
            why="what the layers before them give has changed",
            gate=gate(judged.agreement),
            status="kept" if keep else "rolled back",
            reason=None
            if keep
            else f"the answers move away from the original ones (divergence {judged.divergence:.2g}, without "
            f"{candidate.judgment.divergence:.2g}): the fits aim at the original statistics",
        )
        if keep:
            plain, network = network.module, CutNetwork(changed, network.cuts, network.differences)
    try:
        small = trace(network.module, graph.example.named if graph.example.kwargs else graph.example.args)
    except NetcaliperError as problem:
        small = None
        warnings.append(f"the small network cannot be traced again ({problem})")
    exported = None if small is None else _exported(small, network.module, graph)
    if isinstance(exported, str):
        warnings.append(f"the small network is not kept as a .pt2 file: {exported}")
        exported = None
    return Finished(network, plain, step, small, exported, tuple(warnings))


def _exported(small: Graph, module: nn.Module, graph: Graph) -> bytes | str:
    """Return a module as the content of a .pt2 file, read again and compared; or why that cannot be, in words."""
    buffer = BytesIO()
    batch = graph.example
    try:
        torch.export.save(small.exported.program, buffer)
        loaded = torch.export.load(BytesIO(buffer.getvalue())).module()
        found = difference(runner(module, graph)(batch), runner(loaded, graph)(batch))
    except Exception as problem:  # whatever serializing some operation or output class may raise
        return (str(problem).splitlines() or [type(problem).__name__])[0]
    allowed = TOLERANCE.get(graph.dtype, 0.0)
    return buffer.getvalue() if found <= allowed else f"read again, its answer differs by {found:.3g}"


def prove(
    prepared: Prepared,
    candidates: Candidates,
    candidate: Candidate,
    finished: Finished,
    *,
    target: tuple[bool, str],
    seed: int,
) -> ShrinkProof:
    """Read the verify examples once and compare everything on them.

    Args:
        prepared: the original network.
        candidates: fits baselines as ours are.
        candidate: the chosen network.
        finished: its module.
        target: whether what was asked for is met as far as select examples and sizes say, and in words.
        seed: of the random baseline.
    """
    graph, module = prepared.graph, finished.network.module
    others: dict[str, Run] = {"small": runner(module, graph)}
    if finished.plain is not None:
        others["plain"] = runner(finished.plain, graph)
    others |= _baselines(prepared, candidates, candidate, seed)
    found = Verified(runner(graph.model, graph), others, prepared.parts.verify())
    agreement, own = found.agreement("small"), found.found["small"]
    metric = found.metric("small")
    exact = not candidate.fitted and not candidate.dropped and finished.plain is None
    assert found.first is not None
    return ShrinkProof(
        tier="proved" if exact else "verified",
        task=found.task,
        examples=agreement.examples,
        agreement=agreement.value,
        agreement_low=agreement.low,
        disagreements=disagreements(agreement),
        per_class=found.per_class("small"),
        max_abs_difference=own.largest,
        mean_abs_difference=own.total / max(own.count, 1),
        float64_difference=_wide(graph, module, prepared) if exact else None,
        metric=metric,
        parameters_before=parameters(graph.model),
        parameters_after=parameters(module),
        macs_before=multiply_adds(graph.model, graph),
        macs_after=multiply_adds(module, graph),
        latency=measured_latency(graph.model, module, graph, found.first),
        memory_before=memory(graph),
        memory_after=None if finished.graph is None else memory(finished.graph),
        target_met=target[0],
        target_words=target[1],
        without_norm_statistics=found.gate("plain") if finished.plain is not None else None,
        baselines=tuple(
            Baseline(
                name="magnitude" if name == MAGNITUDE else "random",
                refitted=name == REFITTED,
                agreement=found.agreement(name).value,
                agreement_low=found.agreement(name).low,
                metric=None if (theirs := found.metric(name)) is None else theirs.after,
            )
            for name in (RANDOM, REFITTED, MAGNITUDE)
            if name in others
        ),
        forced=prepared.parts.forced,
        device=str(graph.device),
        threads=torch.get_num_threads(),
        versions=versions(),
        warnings=(*prepared.warnings, *finished.warnings),
    )


def _baselines(prepared: Prepared, candidates: Candidates, candidate: Candidate, seed: int) -> dict[str, Run]:
    """Return networks of the same size out of which other units were taken, of the original weights."""
    graph = prepared.graph
    if not candidate.fitted:
        return {}
    drawn = random_units(graph.structure, candidate.removed, seed)
    small = smallest_units(graph, candidate.removed)

    def run(removed: dict[str, Bool[np.ndarray, " units"]]) -> Run:
        state = masked(graph.program.tensors, graph.structure, removed)
        return without(over_kept(graph.with_state(state), removed), candidate.branches)

    again = candidates.fit(graph.program.tensors, drawn, candidate.branches)
    return {
        RANDOM: run(drawn),
        REFITTED: without(over_kept(graph.with_state(again.state), drawn), candidate.branches),
        MAGNITUDE: run(small),
    }


def _wide(graph: Graph, module: nn.Module, prepared: Prepared) -> float:
    """Return the largest difference of both networks in float64, on a select batch."""
    batch = in_float64(prepared.parts.select.batches[0])
    original, small = (runner(deepcopy(each).double(), graph)(batch) for each in (graph.model, module))
    pairs = zip(tensors_of(original), tensors_of(small), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)
