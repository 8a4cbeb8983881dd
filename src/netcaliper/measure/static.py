"""``nc.measure``: everything static about a network, in one pass over the data."""

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import netcaliper
from netcaliper.errors import DataError, InputError
from netcaliper.measure.estimate import estimate
from netcaliper.measure.fingerprint import DataFingerprint, model_fingerprint
from netcaliper.measure.labels import check_labels
from netcaliper.measure.network import network_reading
from netcaliper.measure.partition import counts, partition
from netcaliper.measure.protocol import Measure, Mode, Plan, Sight
from netcaliper.measure.redundant import RedundantMeasure
from netcaliper.measure.unit_states import UnitStatesMeasure
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import ConsumerRecord, Cost, Provenance, SiteReading, Skipped
from netcaliper.stats.sampling import VERIFY
from netcaliper.trace.batches import (
    Batch,
    as_batch,
    batches,
    check_values,
    count_examples,
    first_batch,
    raw_batches,
    regrouped,
)
from netcaliper.trace.export import device_of
from netcaliper.trace.graph import Graph
from netcaliper.trace.site import Site
from netcaliper.trace.trace import trace

MEASURES: tuple[Measure, ...] = (UnitStatesMeasure(), RedundantMeasure())
"""The static measures, in the order in which their findings are entered."""

Progress = Callable[[str, int, int], None]
"""Called with a phase in words, the examples done and the examples in all."""


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
    progress: Progress | None = None,
) -> Reading:
    """Read what the units of a trained network do.

    Examples are split by index into calibrate (1/2), select (1/4) and verify (1/4). Calibrate and select examples are
    run once; verify examples are not run at all. What is fitted uses calibrate rows, what is confirmed uses select
    rows. The split and the rows read depend on ``seed`` and the example index alone, not on the batches.

    Args:
        model: a module (left exactly as it is), or its graph from ``nc.trace``.
        data: any re-iterable of batches: tensors, ``(inputs, labels)``, tuples or dicts of tensors; labels stay unread.
        example: a batch to trace the model with; the first batch of ``data`` by default.
        seed: of the split, the folds and the rows read.
        mode: ``"default"``, or ``"paper"`` for the published redundant share (at up to 50,000 rows).
        sites: names or shell patterns of the sites to read; network numbers then speak of these only.
        only: names of the measures to take, ``"unit_states"`` and ``"redundant"``.
        skip: names of the measures to leave out.
        device: where to run, the model's own device by default; on another one a copy is run.
        name: of the model in the reading.
        data_name: of the data in the reading.
        progress: called with ``(phase, done, total)`` as the run goes on.

    Returns:
        The reading.

    Raises:
        InputError: an argument cannot be used.
        DataError: the data are empty, too few, not finite, not re-iterable or end early; or a site's values are not
            finite.
        TraceError: the model cannot be read.
    """
    chosen = _measures(only, skip)
    if mode not in get_args(Mode):
        raise InputError(f"`mode` must be one of {', '.join(get_args(Mode))}, got {mode!r}; choose one of these.")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise InputError(f"`seed` must be an integer, got {seed!r}; pass for instance seed=0.")
    clock = _Clock()
    with clock("trace"):
        graph = _graph(model, data, example, device, name)
    places = _sites(graph, sites)
    with clock("count"):
        plan = Plan(count_examples(data, inputs_required=graph.inputs_required), seed, mode)
        plan.check()
        first = first_batch(data, inputs_required=graph.inputs_required)
        macs = _macs(graph, first)
    if progress is not None:
        progress(f"reading {estimate(places, plan, macs)}", 0, plan.examples)
    with clock("run"):
        sweep = _Pass(graph, places, chosen, plan)
        sweep.run(data, first.size, progress)
    with clock("finish"):
        answers = [_answer(place, sweep, chosen, plan, progress) for place in places]
    records = tuple(answer.record for answer in answers)
    arrays = {f"{i}/{key}": array for i, answer in enumerate(answers) for key, array in answer.arrays.items()}
    network = network_reading(
        places,
        records,
        verdicts=[answer.arrays.get("verdict") for answer in answers],
        left_out=[answer.left_out.get("redundant") for answer in answers],
        parameters=_parameters(graph),
        macs=macs,
    )
    provenance = Provenance(
        model=name or graph.name,
        model_fingerprint=model_fingerprint(_weights(graph)),
        data=data_name or _describe(data),
        data_fingerprint=sweep.fingerprint.finish(),
        seed=seed,
        mode=mode,
        device=str(graph.device),
        dtype=str(graph.dtype).removeprefix("torch."),
        batch=f"{first.size:,} examples",
        examples=plan.sizes,
        verification_reads=0,
        replay=dict(graph.replay),
        versions={
            "netcaliper": netcaliper.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    )
    passes = (plan.sizes["calibrate"] + plan.sizes["select"]) / plan.examples
    return Reading(
        provenance=provenance,
        network=network,
        sites=records,
        skipped=tuple(Skipped(name=skipped, reason=reason) for skipped, reason in graph.skipped),
        warnings=_warnings(data),
        cost=Cost(seconds=clock.seconds, passes=passes),
        arrays=arrays,
    )


class _Pass:
    """One pass over the data with a tap on every chosen site."""

    def __init__(self, graph: Graph, sites: Sequence[Site], measures: Sequence[Measure], plan: Plan) -> None:
        self.graph, self.plan = graph, plan
        self.fingerprint = DataFingerprint()
        self.positions = {site.name: 0 for site in sites}
        self.states = {site.name: {m.name: m.state(site, plan, graph.device) for m in measures} for site in sites}
        self._sites = sites
        self._fold = torch.from_numpy(plan.fold).to(graph.device)

    def run(self, data: Iterable[Any], size: int, progress: Progress | None) -> None:
        """Run all calibrate and select examples, ``size`` at a time if the graph takes any number.

        Raises:
            DataError: the data hold another number of examples than were counted.
        """
        size = size if self.graph.dynamic_batch else self.graph.traced_batch
        for batch in regrouped(self._wanted(data, progress), size):
            index = batch.indices.numpy()
            taps = {site.name: self._tap(site, index) for site in self._sites}
            check_labels(batch, self.graph.run(batch, taps=taps).output)

    def _wanted(self, data: Iterable[Any], progress: Progress | None) -> Iterator[Batch]:
        """Give the calibrate and select examples of every batch."""
        seen = 0
        for batch in batches(data, inputs_required=self.graph.inputs_required):
            self.fingerprint.update(batch)
            seen += batch.size
            if seen > self.plan.examples:
                break
            wanted = np.flatnonzero(self.plan.split[batch.indices.numpy()] != VERIFY)
            yield batch.take(torch.from_numpy(wanted))
            if progress is not None:
                progress("reading", seen, self.plan.examples)
        if seen != self.plan.examples:
            raise DataError(
                f"`data` must give the same {self.plan.examples:,} examples on every pass, got "
                f"{'more' if seen > self.plan.examples else f'only {seen:,}'} on the second; make it a list of batches "
                "or a DataLoader over a fixed data set."
            )

    def _tap(self, site: Site, index: np.ndarray) -> Callable[..., None]:
        """Return the function that feeds the states of a site."""
        fold = self._fold[torch.from_numpy(index).to(self._fold.device)]

        def tap(value: Tensor, *inputs: Tensor) -> None:
            read = inputs if site.activation is not None else ()
            rows, *before = (site.rows(tensor.detach(), len(index)) for tensor in (value, *read))
            self.positions[site.name] = max(self.positions[site.name], rows.shape[1])
            sight = Sight(rows, tuple(before), index, fold)
            for state in self.states[site.name].values():
                state.update(sight)

        return tap


@dataclass(frozen=True)
class _Answer:
    """Everything about one site."""

    record: SiteReading
    arrays: Mapping[str, np.ndarray]
    left_out: Mapping[str, np.ndarray]


def _answer(site: Site, sweep: _Pass, measures: Sequence[Measure], plan: Plan, progress: Progress | None) -> _Answer:
    """Finish the states of one site and enter the findings."""
    if progress is not None:
        progress(f"judging {site.name}", plan.examples, plan.examples)
    states = sweep.states[site.name]
    findings = {m.name: m.finish(site, states.pop(m.name), plan) for m in measures}
    fields: dict[str, Any] = {"rows": 0, "select_rows": 0}
    arrays: dict[str, np.ndarray] = {}
    marks: dict[str, np.ndarray] = {}
    left_out: dict[str, np.ndarray] = {}
    reasons, warnings = [], []
    for found in findings.values():
        fields |= found.fields
        arrays |= found.arrays
        marks |= found.marks
        left_out |= found.left_out
        reasons += [found.reason] if found.reason else []
        warnings += found.warnings
    if "dead" in marks:
        verdict = partition(marks["dead"], marks["constant"], marks.get("removed"), marks.get("duplicate"))
        arrays["verdict"] = verdict
        fields |= counts(verdict)
        warnings += _rare(marks, arrays)
    missing = [m.name for m in MEASURES if m.name not in findings]
    if missing:
        reasons.append(f"not measured: {', '.join(missing)}")
    record = SiteReading(
        name=site.name,
        kind=site.kind,
        op=site.op,
        units=site.units,
        positions=sweep.positions[site.name],
        examples=plan.sizes["calibrate"] + plan.sizes["select"],
        group=site.group,
        consumers=tuple(
            ConsumerRecord(
                name=c.name,
                op=c.op,
                columns=int(np.count_nonzero(c.unit_of_column >= 0)),
                units=len(np.unique(c.unit_of_column[c.unit_of_column >= 0])),
                through=c.through,
            )
            for c in site.consumers
        ),
        readers=site.readers,
        barriers=site.barriers,
        refused=site.refused,
        reason="; ".join(reasons) or None,
        warnings=tuple(warnings),
        **fields,
    )
    return _Answer(record, arrays, left_out)


def _rare(marks: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Warn about units that vary on some row but on none of the rows that the covariance read."""
    if "r2" not in arrays:
        return []
    rare = int(np.count_nonzero(np.isnan(arrays["r2"]) & ~marks["dead"] & ~marks["constant"]))
    if not rare:
        return []
    return [f"{rare:,} units vary too rarely to be judged on the sampled rows and count as needed; give more examples."]


def _measures(only: str | Sequence[str] | None, skip: str | Sequence[str] | None) -> tuple[Measure, ...]:
    """Choose measures by name."""
    known = [m.name for m in MEASURES]
    lists = {}
    for argument, names in (("only", only), ("skip", skip)):
        lists[argument] = [names] if isinstance(names, str) else list(names or ())
        for unknown in set(lists[argument]) - set(known):
            raise InputError(
                f"`{argument}` must name measures among {', '.join(known)}, got {unknown!r}; choose from these."
            )
    chosen = tuple(m for m in MEASURES if m.name in (lists["only"] or known) and m.name not in lists["skip"])
    if not chosen:
        raise InputError(
            f"`only` and `skip` must leave a measure of {', '.join(known)}, got none; drop one of the two."
        )
    return chosen


def _graph(model: Any, data: Any, example: Any, device: str | torch.device | None, name: str | None) -> Graph:
    """Trace the model, or take the graph as it is."""
    if isinstance(model, Graph):
        if device is not None and torch.device(device) != model.device:
            raise InputError(
                f"`device` must be the graph's own {model.device}, got {device}; move the model there and trace it "
                "again."
            )
        return model
    if not isinstance(model, nn.Module):
        raise InputError(
            f"`model` must be a torch module or a graph from nc.trace, got {type(model).__name__}; pass the module."
        )
    if device is not None:
        try:
            model = deepcopy(model).to(device)
        except (RuntimeError, AssertionError) as problem:  # torch without CUDA asserts
            raise InputError(
                f'`device` must be one that torch can use here, got {device!r} ({problem}); try "cpu".'
            ) from None
    if example is None:
        example = next(raw_batches(data))
        check_values(as_batch(example), "batch 0 of `data`")
    return trace(model, _moved(example, device_of(model)), name=name)


def _moved(raw: Any, device: torch.device) -> Any:
    """Bring the tensors of a raw batch to a device; what is on it already stays as it is."""
    if hasattr(raw, "to"):
        return raw.to(device)
    if isinstance(raw, np.ndarray):
        return torch.from_numpy(raw).to(device)
    if isinstance(raw, Mapping):
        return {key: _moved(value, device) for key, value in raw.items()}
    if isinstance(raw, (list, tuple)):
        return tuple(_moved(value, device) for value in raw)
    return raw


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


def _macs(graph: Graph, batch: Batch) -> int:
    """Count the multiply-accumulates of one forward pass of one example."""
    size = 1 if graph.dynamic_batch else graph.traced_batch
    with FlopCounterMode(display=False) as counter:
        graph.run(batch.repeated(size))
    return counter.get_total_flops() // 2 // size


def _weights(graph: Graph) -> dict[str, Tensor]:
    """Return parameters, buffers and constants by name."""
    fixed = {target: graph.program.fixed(node) for node, target in graph.program.parameters.items()}
    return {target: fixed[target] for target in sorted(fixed) if isinstance(fixed[target], Tensor)}


def _parameters(graph: Graph) -> int:
    """Count the parameters, tied ones once."""
    tensors = {id(tensor): tensor for tensor in _weights(graph).values() if isinstance(tensor, nn.Parameter)}
    return sum(tensor.numel() for tensor in tensors.values())


def _describe(data: Any) -> str:
    """Name the data by type."""
    dataset = getattr(data, "dataset", None)
    return type(data).__name__ + (f" of {type(dataset).__name__}" if dataset is not None else "")


def _warnings(data: Any) -> tuple[str, ...]:
    """Say in words what makes the whole reading less sure."""
    if isinstance(getattr(data, "sampler", None), torch.utils.data.RandomSampler):
        return (
            "`data` is shuffled anew on every pass, so a second run reads other examples; use a loader that does not "
            "shuffle.",
        )
    return ()


@dataclass
class _Clock:
    """Wall seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, phase: str):
        start = time.perf_counter()
        yield
        self.seconds[phase] = round(time.perf_counter() - start, 4)
