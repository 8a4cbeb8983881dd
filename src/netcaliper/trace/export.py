"""From a module and an example to a flat functional graph, by ``torch.export``.

``run_decompositions`` leaves no in-place operation, so that no captured tensor can be overwritten later; functional
calls and ``x + y`` are nodes like any other, and a reused module gives one node a call.
"""

import contextlib
import inspect
import io
import logging
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import Node
from torch.utils import _pytree as pytree

from netcaliper.errors import ExportRefused, InputError, TraceError
from netcaliper.trace.batches import Batch

_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent)

_DECOMPOSED = ("einsum", "tensordot")
"""Composite operations that hide which operand carries units; torch's own decomposition shows it."""


@dataclass(frozen=True)
class Exported:
    """A functional graph with what is needed to run it.

    Attributes:
        program: the exported program.
        batch: the batch it was traced on (two examples or more).
        batch_symbol: name of the symbolic batch size, ``None`` if the graph is bound to one batch size.
        static_reason: why the graph is bound to one batch size, ``None`` if it is not.
    """

    program: ExportedProgram
    batch: Batch
    batch_symbol: str | None
    static_reason: str | None


def check_model(model: Any) -> None:
    """Refuse what cannot be read, before anything runs.

    Raises:
        InputError: not a module, or a module that is in train mode, has non-finite or missing weights.
        TraceError: the module is scripted.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise TraceError(
            "`model` is a TorchScript module, whose Python code is gone; pass the eager nn.Module it was scripted from"
        )
    if not isinstance(model, nn.Module):
        raise InputError(
            f"`model` must be a torch.nn.Module, got {type(model).__name__}; call the factory first if it is one"
        )
    training = [name or type(model).__name__ for name, module in model.named_modules() if module.training]
    if training:
        raise InputError(
            f"`model` is in train mode ({len(training)} modules, first: {training[0]}), where dropout and batch "
            "statistics make its"
            " outputs random; call `model.eval()` first"
        )
    devices = {str(tensor.device) for tensor in [*model.parameters(), *model.buffers()]}
    if "meta" in devices:
        raise InputError(
            "`model` has weights on the meta device, which hold no numbers; load its weights first (`model.to_empty` "
            "is not enough)"
        )
    if len(devices) > 1:
        raise InputError(
            f"`model` is spread over several devices ({', '.join(sorted(devices))}); move it to one with "
            "`model.to(device)`"
        )
    bounds = {name for name, _ in model.named_buffers() if "running_" not in name.rpartition(".")[2]}
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        # infinity is at home in masks and bounds, but nowhere in what was trained or estimated
        wrong = torch.isnan(tensor) if name in bounds else ~torch.isfinite(tensor)
        if tensor.is_floating_point() and bool(wrong.any()):
            bad = int(wrong.sum())
            raise InputError(
                f"weight `{name}` of `model` has {bad} of {tensor.numel()} values that are NaN or infinite; load a "
                "checkpoint from before"
                " the training diverged"
            )


def device_of(model: nn.Module) -> torch.device:
    """Return the one device that the module lives on (CPU if it has no weights)."""
    return next((tensor.device for tensor in [*model.parameters(), *model.buffers()]), torch.device("cpu"))


def export(model: nn.Module, batch: Batch) -> Exported:
    """Export ``model`` on ``batch``, with a dynamic batch size if it allows one.

    Raises:
        ExportRefused: the model cannot be exported; the message names the reason and the line of its code.
    """
    batch = batch.repeated(2)  # a copy: the guards of torch look behind a view, and would bind its size
    static_reason = None
    try:
        program = _export(model, batch, _dynamic(model, batch))
    except Exception as dynamic_failure:
        try:
            program = _export(model, batch, None)
        except Exception as failure:
            raise ExportRefused(
                f"`model` cannot be exported to a graph: {_reason(failure)}{_line_of(failure)}; rewrite that line "
                "without Python control"
                " flow on tensor values (torch.where, torch.cond), or read the part of the network without it"
            ) from failure
        static_reason = _reason(dynamic_failure) + _line_of(dynamic_failure)
    symbol = _batch_symbol(program, batch)
    if symbol is None and static_reason is None:
        static_reason = "the model's code fixes the batch size"
    return Exported(program, batch, symbol, static_reason)


def _export(model: nn.Module, batch: Batch, dynamic: Any) -> ExportedProgram:
    with _quiet(), torch.no_grad():
        program = torch.export.export(model, batch.args, dict(batch.kwargs), dynamic_shapes=dynamic, strict=False)
        return program.run_decompositions(_decompositions(program))


def _decompositions(program: ExportedProgram) -> dict[Any, Any]:
    """Return torch's own decompositions of the operations of this graph that are listed in ``_DECOMPOSED``."""
    targets = {node.target for node in program.graph.nodes if isinstance(node.target, torch._ops.OpOverload)}
    hidden = [target for target in targets if str(target).split(".")[1] in _DECOMPOSED]
    table = torch.export.default_decompositions() if hidden else {}
    return {target: table[target] for target in hidden}


def _dynamic(model: nn.Module, batch: Batch) -> Any:
    """Return dynamic shapes: the batch axis of every tensor that has it, and the sequence axis of token inputs."""
    tensors = [*batch.args, *batch.kwargs.values()]
    lengths = {t.shape[1] for t in tensors if isinstance(t, Tensor) and t.dim() == 2 and not t.is_floating_point()}

    def axes(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return None
        dynamic = {0: Dim.AUTO} if value.dim() and value.shape[0] == batch.size else {}
        if value.dim() == 2 and value.shape[1] in lengths:
            dynamic[1] = Dim.AUTO
        return dynamic or None

    arguments = inspect.signature(model.forward).bind(*batch.args, **batch.kwargs).arguments
    return {name: pytree.tree_map(axes, value) for name, value in arguments.items()}


def _batch_symbol(program: ExportedProgram, batch: Batch) -> str | None:
    names = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in names:
            value = node.meta.get("val")
            if isinstance(value, Tensor) and value.dim():
                size = value.shape[0]
                if isinstance(size, torch.SymInt):
                    return str(size.node.expr) if size.node.expr.free_symbols else None
                if size == batch.size:
                    return None
    return None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch prints while it exports: warnings about its own internals, and graphs of failed guards."""
    logger = logging.getLogger("torch")
    level = logger.level
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(level)


def _reason(failure: BaseException) -> str:
    """Return the first sentence of a failure in one line."""
    text = next((line.strip() for line in str(failure).splitlines() if line.strip()), type(failure).__name__)
    return f"{type(failure).__name__}: {text[:300]}"


def _line_of(failure: BaseException) -> str:
    """Return the innermost line of the user's code on the way to a failure, in words."""
    found = ""
    seen: BaseException | None = failure
    while seen is not None:
        for frame in traceback.extract_tb(seen.__traceback__):
            inside = frame.filename.startswith((_TORCH, _HERE, "<"))
            if (
                not inside
                and frame.line
                and "site-packages" not in frame.filename.replace("/timm/", "").replace("/transformers/", "")
            ):
                found = f" (line {frame.lineno} of {Path(frame.filename).name}: `{frame.line.strip()}`)"
        seen = seen.__cause__ or seen.__context__
    return found


def source_line(node: Node) -> str:
    """Return the line of the model's code that made a node, in words; empty if torch did not keep it."""
    trace = node.meta.get("stack_trace") or ""
    lines = trace.splitlines()
    found = ""
    for place, code in pairwise(lines):
        head = place.strip()
        if head.startswith('File "') and "/torch/" not in head and "torch/fx" not in head:
            file, number = head.split('"')[1], head.split("line ")[-1].split(",")[0]
            found = f"line {number} of {Path(file).name}: `{code.strip()}`"
    return found
