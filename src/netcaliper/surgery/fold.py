"""``nc.fold``: a network some of whose units became linear, rewritten exactly into a smaller one."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.utils.flop_counter import FlopCounterMode

from netcaliper.errors import InputError, ReplayMismatch
from netcaliper.surgery.bends import Bend, bend_all, find_bends
from netcaliper.surgery.latency import latency_ratio
from netcaliper.surgery.plain_graph import PlainGraph, plain_graph
from netcaliper.surgery.recognize import Constants
from netcaliper.surgery.rewrite import Rewriting
from netcaliper.surgery.write_out import write_out
from netcaliper.trace.batches import Batch, as_batch
from netcaliper.trace.graph import Graph
from netcaliper.trace.program import tensors_of

TOLERANCE = {"float64": 1e-9, "float32": 1e-5}
"""Largest difference of an exact fold to the network that it came from, relative to the largest output."""


@runtime_checkable
class Bent(Protocol):
    """What a :class:`netcaliper.Bending` gives: the network with its alphas."""

    @property
    def graph(self) -> Graph:
        """The trace of the original network."""
        ...

    @property
    def model(self) -> nn.Module:
        """The bent network, whose own weights have the names of the original."""
        ...

    def alphas(self) -> Mapping[str, Tensor]:
        """Return the alphas by site."""
        ...

    def targets(self) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Return the affine targets by site."""
        ...


@dataclass(frozen=True)
class Folded:
    """A folded network.

    Attributes:
        model: a plain module with the inputs and outputs of the traced model; it needs no netcaliper to run, and
            ``torch.export.export`` takes it.
        record: plain data on what was done: ``mode``; ``units`` and ``linear`` (over all sites with an alpha);
            ``steps``, each with its ``kind``, ``what`` (the operation or site), ``absorbed``, ``exact``, ``macs`` an
            example and ``parameters`` before and after, ``units`` (linear, all); ``refused``, what was not done (a
            pair of operations, or a site with its number of linear ``units``), with the reason; ``macs`` an example
            and ``parameters`` of the whole network before and after; ``difference`` to the unfolded network on the
            probe batch (largest absolute, and relative to the largest output) in ``float64`` and ``float32``;
            ``latency``, that of the folded over the original model, where it was measured.
    """

    model: GraphModule
    record: dict[str, Any]


def fold(
    network: Graph | Bent,
    alphas: Mapping[str, Tensor] | None = None,
    *,
    state: Mapping[str, Tensor] | None = None,
    targets: Mapping[str, tuple[Tensor, Tensor]] | None = None,
    mode: str = "exact",
    probe: Any = None,
    measure_latency: bool = False,
) -> Folded:
    """Rewrite a network whose units ``alpha (a x + c) + (1 - alpha) phi(x)`` are linear where alpha is exactly 1.

    BatchNorms go into the weights before them, linear operations that follow each other become one, residual
    connections go into the kernels that they pass by, and a layer that is linear in part becomes a narrow nonlinear
    layer beside a linear bypass: each only where it takes no more multiply-adds, and where it is exact. Weights are
    computed in float64 and cast back.

    Args:
        network: a traced network, or a Bending, which brings ``alphas``, ``state`` and ``targets``.
        alphas: by site, a number for each unit. Only exactly 1 is linear; other values stay as they are.
        state: weights by the names of the traced model's state dict; its own if not given.
        targets: slope a and constant c of the affine target by site, each ``[units]``; 1 and 0 where not given. A
            gated product whose gate has slope 0 becomes its value times c.
        mode: ``"exact"``; ``"interior"`` also merges convolutions where zero padding in between makes one kernel
            wrong at the border; the record says by how much on the probe batch.
        probe: a batch to compare on; the traced example if not given.
        measure_latency: time the folded network beside the original one on the probe batch. Bypasses are left out if
            the network is faster without.

    Raises:
        InputError: an unknown site, alphas that do not fit it, a site that has alphas but no activation, weights that
            do not fit.
        ReplayMismatch: the folded network does not compute what the unfolded one does (a fault of netcaliper).
    """
    if isinstance(network, Graph):
        graph = network
        if alphas is None:
            raise InputError("`alphas` must be given with a traced network, got None; or give a Bending of it")
    else:
        graph = network.graph
        if alphas is not None or targets is not None or state is not None:
            raise InputError(
                "`alphas`, `state` and `targets` come with the Bending that was given; leave them out, or give its "
                "`graph` instead"
            )
        alphas, targets = network.alphas(), network.targets()
        own = graph.program
        known = {*own.stored, *own.tensors}
        state = {name: value for name, value in network.model.state_dict().items() if name in known}
    if mode not in ("exact", "interior"):
        raise InputError(f"`mode` must be 'exact' or 'interior', got {mode!r}")
    if state is not None:
        graph = graph.with_state(state)
    batch = graph.example if probe is None else as_batch(probe, form=graph.form)
    reference, bends = _reference(graph, alphas, targets or {})
    linear = {bend.site.name: int(bend.linear.sum()) for bend in bends}
    record: dict[str, Any] = {
        "mode": mode,
        "units": sum(graph.site(name).units for name in alphas),
        "linear": sum(linear.values()),
    }
    plain, rewriting = _rewritten(graph, alphas, targets or {}, mode == "interior", split=True)
    model = plain.module()
    if measure_latency:
        inputs = _inputs(batch, graph)
        record["latency"] = latency_ratio(graph.model, model, *inputs)
        if any(step.kind == "partly linear" for step in rewriting.steps):
            others = _rewritten(graph, alphas, targets or {}, mode == "interior", split=False)
            without = others[0].module()
            if latency_ratio(without, model, *inputs)["ratio"] > 1:
                plain, rewriting, model = *others, without
                record["latency"] = latency_ratio(graph.model, model, *inputs)
                rewriting.refused |= {
                    bend.site.name: "measured to be slower with a bypass" for bend in bends if bool(bend.linear.any())
                }
    record |= {
        "steps": [asdict(step) for step in rewriting.steps],
        "refused": [{"what": what, "why": why, "units": linear.get(what)} for what, why in rewriting.refused.items()],
        "macs": [_macs(reference.module(), batch, graph), _macs(model, batch, graph)],
        "parameters": [sum(p.numel() for p in _parameters(m)) for m in (reference.module(), model)],
        "difference": _differences(reference, plain, batch, graph),
    }
    _check(record, graph.name)
    return Folded(model, record)


def _reference(
    graph: Graph, alphas: Mapping[str, Tensor], targets: Mapping[str, tuple[Tensor, Tensor]]
) -> tuple[PlainGraph, list[Bend]]:
    """Return the unfolded network: every site is bent, nothing else is changed."""
    plain = plain_graph(graph)
    bends = find_bends(graph, plain.graph, alphas, targets)
    bend_all(plain.graph, bends, lambda name, value: plain.constant(name, value, graph.dtype))
    plain.tidy()
    return plain, bends


def _rewritten(
    graph: Graph,
    alphas: Mapping[str, Tensor],
    targets: Mapping[str, tuple[Tensor, Tensor]],
    interior: bool,
    *,
    split: bool,
) -> tuple[PlainGraph, Rewriting]:
    plain = plain_graph(graph)
    bends = find_bends(graph, plain.graph, alphas, targets)
    constants = Constants(plain.module())
    rewriting = Rewriting(plain.graph, constants, graph.traced_batch, interior)
    ends = {node for bend in bends for node in (bend.carrier, bend.root, bend.phi, *bend.region)}
    rewriting.recognize(frozenset(ends))
    whole = [bend for bend in bends if bool(bend.linear.all())]
    for bend in whole:
        rewriting.straighten(bend)
    rewriting.absorb()
    bending = []
    for bend in bends:
        if bend in whole:
            continue
        why = rewriting.split(bend) if split and bool(bend.linear.any()) else ""
        if why:
            rewriting.refused[bend.site.name] = why
        narrow = rewriting.narrowed.get(bend.site.name, bend)
        if bool(narrow.alpha.any()):
            bending.append(narrow)
    rewriting.absorb()
    moved = bend_all(plain.graph, bending, lambda name, value: plain.constant(name, value, graph.dtype))
    rewriting.refused = rewriting.not_done()  # while its nodes are still there
    write_out(plain, rewriting, moved)
    return plain, rewriting


def _inputs(batch: Batch, graph: Graph) -> tuple[tuple[Any, ...], dict[str, Any]]:
    batch = batch.to(graph.device)
    return batch.args, {key: value for key, value in batch.kwargs.items() if isinstance(value, Tensor)}


def _macs(model: nn.Module, batch: Batch, graph: Graph) -> int:
    """Return the multiply-adds an example of a whole network (matrix products and convolutions)."""
    args, kwargs = _inputs(batch, graph)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(*args, **kwargs)
    return counter.get_total_flops() // 2 // batch.size


def _parameters(model: nn.Module) -> list[Tensor]:
    return list(model.parameters())


def _differences(reference: PlainGraph, plain: PlainGraph, batch: Batch, graph: Graph) -> dict[str, Any]:
    args, kwargs = _inputs(batch, graph)
    found: dict[str, Any] = {}
    for name, dtype in (("float64", torch.float64), ("float32", torch.float32)):

        def cast(value: Any, dtype: torch.dtype = dtype) -> Any:
            return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

        with torch.no_grad():
            a, b = (
                tensors_of(one.module(dtype)(*map(cast, args), **{key: cast(value) for key, value in kwargs.items()}))
                for one in (reference, plain)
            )
        largest, scale = 0.0, 0.0
        for expected, got in zip(a, b, strict=True):
            gap = torch.where(expected == got, 0.0, (expected.double() - got.double()).abs())
            largest = max(largest, float(gap.max()) if gap.numel() else 0.0)
            finite = expected[torch.isfinite(expected)] if expected.is_floating_point() else expected
            scale = max(scale, float(finite.double().abs().max()) if finite.numel() else 0.0)
        found[name] = {"largest": largest, "relative": largest / scale if scale else largest}
    return found


def _check(record: Mapping[str, Any], name: str) -> None:
    """Refuse to return a fold that claims to be exact and is not."""
    if all(step["exact"] for step in record["steps"]):
        for precision, bound in TOLERANCE.items():
            relative = record["difference"][precision]["relative"]
            if not relative <= bound:
                raise ReplayMismatch(
                    f"the folded network of `{name}` differs from the unfolded one by {relative:.3g} of its largest "
                    f"output in {precision}, more than {bound:.0e}; nothing was changed. Do its outputs overflow?"
                )
