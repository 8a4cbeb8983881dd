"""``nc.measure``: everything static about a network, with its untrained twin beside it."""

import os
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from os import PathLike
from typing import Any, Literal, get_args

import torch
from torch import nn

from netcaliper.errors import InputError
from netcaliper.feed.clock import Clock
from netcaliper.feed.dry_run import dry_run
from netcaliper.feed.fingerprint import model_fingerprint
from netcaliper.feed.one_pass import Tell
from netcaliper.feed.origin import described, versions
from netcaliper.feed.protocol import Measure, Mode, Plan
from netcaliper.feed.ranks import joined
from netcaliper.feed.traced import traced
from netcaliper.measure.estimate import available_memory, estimate
from netcaliper.measure.needed_at import REACH
from netcaliper.measure.needed_state import open_state
from netcaliper.measure.network_run import ABLATION_PASSES, NetworkRun
from netcaliper.measure.redundant import RedundantMeasure
from netcaliper.measure.selectivity import SelectivityMeasure
from netcaliper.measure.twin import make_twin, twin_passes
from netcaliper.measure.unit_states import UnitStatesMeasure
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import Cost, Provenance, Skipped, Twin
from netcaliper.stats.block_elimination import TAU
from netcaliper.trace.batches import count_examples, first_batch
from netcaliper.trace.graph import Graph
from netcaliper.trace.site import Site

ONE_PASS: tuple[Measure, ...] = (UnitStatesMeasure(), RedundantMeasure(), SelectivityMeasure())
"""The measures that one pass feeds, in the order in which their findings are entered."""

MEASURES = (*(m.name for m in ONE_PASS), "needed", "needed_at_97", "prunable")
"""The names of all static measures."""

Ablated = Literal["zero", "mean"]


def measure(
    model: nn.Module | Graph,
    data: Iterable[Any],
    *,
    example: Any = None,
    seed: int = 0,
    mode: Mode = "default",
    sites: str | Sequence[str] = "*",
    only: str | Sequence[str] | None = None,
    skip: str | Sequence[str] | None = None,
    device: str | torch.device | None = None,
    name: str | None = None,
    data_name: str | None = None,
    twin: Callable[[], nn.Module] | bool = True,
    ablation: Ablated = "zero",
    budget: float = ABLATION_PASSES,
    memory: int | None = None,
    state: str | PathLike[str] | None = None,
    progress: Tell | None = None,
) -> Reading:
    """Read what the units of a trained network do, how many of them it needs, and what an untrained twin shows.

    Examples are split by index into calibrate (1/2), select (1/4) and verify (1/4). What is fitted uses calibrate
    examples; what is confirmed or chosen uses select examples, and so do ablations; verify examples are run once, after
    everything is frozen. The split and the rows read depend on ``seed`` and the example index alone, not on the
    batches.

    In every process of a ``torch.distributed`` group with gloo (``torchrun``) this is one measurement: each process
    must call it with the same arguments, runs its share of the batches, and returns the same reading.

    Args:
        model: a module (left exactly as it is), or its graph from ``nc.trace``.
        data: any re-iterable of batches: tensors, ``(inputs, labels)``, tuples or dicts of tensors. Class selectivity
            reads the labels, nothing else does.
        example: a batch to trace the model with; the first batch of ``data`` by default.
        seed: of the split, the folds, the rows read, the permutations and the twin.
        mode: ``"default"``, or ``"paper"`` for the published redundant and prunable shares.
        sites: names or shell patterns of the sites to read; network numbers then speak of these only.
        only: names of the measures to take, of ``MEASURES``.
        skip: names of the measures to leave out.
        device: where to run, the model's own device by default; on another one a copy is run.
        name: of the model in the reading.
        data_name: of the data in the reading.
        twin: a function without arguments that builds the same network untrained; ``True`` for the trained weights with
            the entries of each tensor permuted; ``False`` for no twin.
        ablation: what stands in for units that are taken away, ``"zero"`` or their ``"mean"``.
        budget: forward passes of the data that the ablations of each network may cost; they use as many examples as
            that allows, and never fewer than an agreement needs.
        memory: bytes that the run may take beside the model, in each process; what is free by default. What it takes is
            estimated first.
        state: a folder for what block elimination needs and finds; an interrupted run that is given again with the same
            folder does not do again what is there. In one process only.
        progress: called with ``(phase, done, total)`` as the run goes on, first with the estimated cost.

    Returns:
        The reading.

    Raises:
        InputError: an argument cannot be used, the run would take more than ``memory``, or processes that measure
            together were given different weights, data or arguments.
        DataError: the data are empty, too few, not finite, not re-iterable or end early; or a site's values are not
            finite.
        TraceError: the model cannot be read.
        NetcaliperError: another process that measures with this one is gone.
    """
    names = _measures(only, skip)
    for argument, given, known in (("mode", mode, get_args(Mode)), ("ablation", ablation, get_args(Ablated))):
        if given not in known:
            raise InputError(f"`{argument}` must be one of {', '.join(known)}, got {given!r}; choose one of these.")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise InputError(f"`seed` must be an integer, got {seed!r}; pass for instance seed=0.")
    for argument, number in (("budget", budget), ("memory", memory)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, (int, float)) or number <= 0):
            raise InputError(f"`{argument}` must be a number above 0, got {number!r}; leave it out for the default.")
    if not (isinstance(twin, bool) or callable(twin)):
        raise InputError(
            f"`twin` must be True, False or a function without arguments that builds the network anew, got {twin!r}."
        )
    tell = progress or (lambda phase, done, total: None)
    clock = Clock()
    with clock("trace"):
        graph = traced(model, data, example, device, name)
    places = _sites(graph, sites)
    ranks = joined(graph.device)
    if state is not None and ranks.world > 1:
        raise InputError(
            f"`state` must be left out where {ranks.world} processes measure together, got {os.fspath(state)!r}; an "
            "interrupted measurement goes on in one process only."
        )
    with clock("count"):
        plan = Plan(count_examples(data, form=graph.form), seed, mode)
        plan.check()
        first = first_batch(data, form=graph.form)
        ranks.agree("arguments", (seed, mode, sorted(names), [s.name for s in places], ablation, budget, bool(twin)))
        ranks.agree("number of examples and size of the first batch", (plan.examples, first.size))
        ranks.agree("weights (by their fingerprint)", model_fingerprint(graph.program.tensors))
        folder = None
        if state is not None and "needed" in names:
            reach = REACH if "needed_at_97" in names else None
            folder = open_state(state, graph, data, plan, places, tau=TAU, reach=reach)

    def planned(graph: Graph, *, trained: bool) -> NetworkRun:
        return NetworkRun(
            graph,
            places,
            plan,
            tuple(m for m in ONE_PASS if m.name in names),
            names if trained else names - {"needed_at_97"},
            parameters=_parameters(graph),
            macs=dry.macs,
            sequences=dry.sequences,
            verify=trained,
            ablation=ablation,
            budget=budget,
            folder=folder if trained else None,
            ranks=ranks,
        )

    with clock("estimate"):
        dry = dry_run(graph, first)
        run = planned(graph, trained=True)
        untrained = [planned(graph, trained=False)] if twin else []
        cost = estimate(
            [run, *untrained], dry, first.size, twin_passes=twin_passes(graph, plan) if twin else 0.0, twin=bool(twin)
        )
    tell(str(cost), 0, plan.examples)
    limit = available_memory(graph.device, ranks.beside) if memory is None else memory
    if limit is not None:
        cost.check(limit)
    with clock("read"):
        read = run.run(data, first.size, tell)
    other, record, passes = None, None, read.passes
    if twin:
        with clock("twin"):
            made = make_twin(graph, data, plan, twin if callable(twin) else "shuffled", seed=seed)
            ranks.agree("twin (by the fingerprint of its weights)", model_fingerprint(made.graph.program.tensors))
            other = planned(made.graph, trained=False).run(
                data, first.size, lambda phase, done, total: tell(f"twin: {phase}", done, total)
            )
            record = Twin(
                kind=made.kind,
                seed=made.seed,
                network=other.network,
                sites=other.sites,
                warnings=(*made.warnings, *other.warnings),
            )
        passes += other.passes + twin_passes(graph, plan)
    provenance = Provenance(
        model=name or graph.name,
        model_fingerprint=model_fingerprint(graph.program.tensors),
        data=data_name or described(data),
        data_fingerprint=read.fingerprint,
        seed=seed,
        mode=mode,
        device=str(graph.device),
        dtype=str(graph.dtype).removeprefix("torch."),
        batch=f"{first.size:,} examples",
        examples=plan.sizes,
        verification_reads=read.verification_reads,
        replay=dict(graph.replay),
        versions=versions(),
    )
    reading = Reading(
        provenance=provenance,
        network=read.network,
        sites=read.sites,
        skipped=tuple(Skipped(name=skipped, reason=reason) for skipped, reason in graph.skipped),
        warnings=(*_warnings(data), *read.warnings),
        twin=record,
        cost=Cost(seconds=clock.seconds, passes=passes),
        arrays=read.arrays | ({f"twin/{key}": array for key, array in other.arrays.items()} if other else {}),
    )
    return ranks.given(reading)  # seconds and the name of the device are those of the first process


def _measures(only: str | Sequence[str] | None, skip: str | Sequence[str] | None) -> frozenset[str]:
    """Choose measures by name; what is needed at an agreement takes what is needed."""
    lists = {}
    for argument, names in (("only", only), ("skip", skip)):
        lists[argument] = [names] if isinstance(names, str) else list(names or ())
        for unknown in set(lists[argument]) - set(MEASURES):
            raise InputError(
                f"`{argument}` must name measures among {', '.join(MEASURES)}, got {unknown!r}; choose from these."
            )
    chosen = frozenset(lists["only"] or MEASURES) - frozenset(lists["skip"])
    if not chosen:
        raise InputError(
            f"`only` and `skip` must leave a measure of {', '.join(MEASURES)}, got none; drop one of the two."
        )
    if "needed_at_97" in chosen and "needed" not in chosen:
        return chosen - {"needed_at_97"} if "needed" in lists["skip"] else chosen | {"needed"}
    return chosen


def _sites(graph: Graph, patterns: str | Sequence[str]) -> tuple[Site, ...]:
    """Choose sites by name or shell pattern."""
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    known = [site.name for site in graph.sites]
    if not known:
        raise InputError(
            "`model` must have at least one site (nonlinearity, gate or residual sum), got none; see nc.trace."
        )
    for pattern in patterns:
        if not any(name == pattern or fnmatchcase(name, pattern) for name in known):
            shown = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
            raise InputError(
                f"`sites` must match sites of the model, got {pattern!r} with no match; the sites are {shown}."
            )
    return tuple(s for s in graph.sites if any(s.name == p or fnmatchcase(s.name, p) for p in patterns))


def _parameters(graph: Graph) -> int:
    """Count the parameters, tied ones once."""
    tensors = {id(tensor): tensor for tensor in graph.program.tensors.values() if isinstance(tensor, nn.Parameter)}
    return sum(tensor.numel() for tensor in tensors.values())


def _warnings(data: Any) -> tuple[str, ...]:
    """Say in words what makes the whole reading less sure."""
    if isinstance(getattr(data, "sampler", None), torch.utils.data.RandomSampler):
        return (
            "`data` is shuffled anew on every pass, so a second run reads other examples; use a loader that does not "
            "shuffle.",
        )
    return ()
