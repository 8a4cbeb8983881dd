"""``nc.trace``: a model and an example, and the graph with its sites."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from netcaliper.errors import DataError, InputError, TraceError
from netcaliper.trace.axes import batch_axis, batch_sizes, by_example, input_shapes
from netcaliper.trace.batches import Batch, as_batch, check_values
from netcaliper.trace.export import Exported, check_model, device_of, export
from netcaliper.trace.flow import Found, Sweep
from netcaliper.trace.form import Form, form_of
from netcaliper.trace.graph import Graph
from netcaliper.trace.groups import WeightAxis, couple
from netcaliper.trace.ids import MIXED, line
from netcaliper.trace.program import Program
from netcaliper.trace.replay import BATCH_SIZES, check_deterministic, check_replay
from netcaliper.trace.site import Site
from netcaliper.trace.wrappers import unwrapped

_UNORDERED = "its rows are not in the order of the examples (tokens before examples, or sorted by expert)"


def trace(model: nn.Module, example: Any, *, name: str | None = None) -> Graph:
    """Read a network: where its units live, which weights read each of them, what must change together.

    The model is exported to a functional graph, and the graph is checked against the model's own outputs, on the
    example and at batches of 1, 2 and 5. The model is left exactly as it was: mode, device, dtype, hooks, parameters,
    RNG state.

    Args:
        model: a module in eval mode; what wraps it for several devices or as compiled code is taken off.
        example: a batch as a loader yields it: a tensor, ``(inputs, labels)``, a tuple of positional tensors, or a
            dict.
        name: what to call the network in messages and reports (default: its class).

    Raises:
        InputError: the model is in train mode, is random, has non-finite weights, or is on another device than the
            example.
        DataError: the example is not a batch the model takes.
        ExportRefused: the model cannot be exported; the message names the line of its code.
        ReplayMismatch: the graph does not reproduce the model.
    """
    model = unwrapped(model)
    check_model(model)
    name = name or type(model).__name__
    form = form_of(model)
    batch = _without_cache(form, as_batch(example, form=form))
    device = device_of(model)
    for tensor in batch.tensors():
        if tensor.device != device:
            raise InputError(
                f"`example` is on {tensor.device}, `model` is on {device}; move one of them: "
                f"`model.to({str(tensor.device)!r})` or"
                f" `example.to({str(device)!r})`"
            )
    check_values(batch, "`example`")
    batch = batch.first(max(BATCH_SIZES))  # a loader's batch of hundreds would show nothing more
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        _check_forward(model, batch)
        exported = export(model, batch)
        graph = _graph(model, exported, name, device, form)
        check_deterministic(model, graph)
        graph.replay = check_replay(model, graph, batch)
    return graph


def _without_cache(form: Form, batch: Batch) -> Batch:
    """Ask a Hugging Face decoder not to return its key-value cache: it is no tensor, and one pass needs none."""
    if "use_cache" not in form.names or "use_cache" in batch.kwargs:
        return batch
    return replace(batch, kwargs={**batch.kwargs, "use_cache": False})


def _check_forward(model: nn.Module, batch: Any) -> None:
    """Run the model once: a batch that it does not take must fail with the model's own words, not inside the export."""
    try:
        with torch.no_grad():
            output = model(*batch.args, **batch.kwargs)
    except Exception as failure:
        shapes = [f"{tuple(t.shape)} {t.dtype}" for t in batch.tensors()]
        words = (str(failure).splitlines() or [type(failure).__name__])[0]
        raise DataError(
            f"`model` does not take `example` (inputs {', '.join(shapes)}): {type(failure).__name__}: {words}; "
            f"{_remedy(model, batch)}"
        ) from failure
    leaves = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
    if not leaves:
        raise TraceError(f"`model` returns no tensor ({type(output).__name__}), so nothing could be compared with it")


def _remedy(model: nn.Module, batch: Batch) -> str:
    """Say what to pass instead: whether it works with one more axis tells that this is no batch but one example."""

    def one_more(value: Any) -> Any:
        return value[None] if isinstance(value, Tensor) else value

    try:
        with torch.no_grad():
            model(*map(one_more, batch.args), **{key: one_more(value) for key, value in batch.kwargs.items()})
    except Exception:
        return "pass a batch of the shape and dtype that the model was made for"
    axes = ", ".join(str(t.dim() + 1) for t in batch.tensors())
    return (
        f"this is one example, not a batch: the model takes inputs of {axes} axes, examples first; pass a DataLoader "
        "with a `batch_size`"
    )


def _graph(model: nn.Module, exported: Exported, name: str, device: torch.device, form: Form) -> Graph:
    nodes = [node for node in exported.program.graph.nodes if node.op != "output"]
    first = Program(exported.program, {})
    sweep = Sweep(model, first, nodes)
    args = pytree.tree_leaves((*exported.batch.args, *exported.batch.kwargs.values()))
    first.run(args, keep=sweep.visit)
    sizes = batch_sizes(input_shapes(exported.program))
    every = sweep.finish()
    ordered = [by_example(site.node, _batch_axis(site, exported), sizes) for site in every]
    found = [site for site, told in zip(every, ordered, strict=True) if told]
    skipped = [(s.name, _UNORDERED) for s, told in zip(every, ordered, strict=True) if not told]
    rows_of_units = {site.name: _rows_of_units(site, sweep) for site in found}
    axes = [WeightAxis(call, side, sweep.classes.find(ids).numpy()) for call, side, ids in sweep.axes]
    groups = couple(rows_of_units, axes, sweep.classes.frozen().numpy())
    group_of = {name: group.name for group in groups for name in group.sites}
    sites = [_site(site, rows_of_units[site.name], exported, group_of.get(site.name)) for site in found]
    program = Program(exported.program, {site.node: site.inputs for site in sites})
    return Graph(
        name=name, model=model, exported=exported, program=program, sites=sites,
        skipped=[*sweep.skipped, *skipped], groups=groups, device=device, form=form,
    )  # fmt: skip


def _site(found: Found, rows_of_units: np.ndarray, exported: Exported, group: str | None) -> Site:
    return Site(
        name=found.name,
        kind=found.kind,
        op=found.op,
        units=found.units,
        axis=found.axis,
        batch_axis=_batch_axis(found, exported),
        node=found.node.name,
        inputs=tuple(node.name for node in found.inputs),
        activation=found.activation,
        consumers=tuple(found.consumers.values()),
        readers=tuple(dict.fromkeys(found.readers)),
        barriers=tuple(dict.fromkeys(found.barriers)),
        refused=found.refused,
        rows_of_units=rows_of_units,
        group=group,
    )


def _rows_of_units(found: Found, sweep: Sweep) -> np.ndarray:
    rows = line(sweep.classes.find(found.rows), found.axis, found.units)
    if bool((rows == MIXED).any()):
        rows = sweep.classes.fresh(found.units)
    return rows.clone().numpy()


def _batch_axis(found: Found, exported: Exported) -> int:
    """Return the axis whose size goes with the batch."""
    sizes = batch_sizes(input_shapes(exported.program))
    return batch_axis(found.node, found.axis, sizes, exported.batch.size)
