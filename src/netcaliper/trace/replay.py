"""The replay check: the graph must compute what the model computes, at other batch sizes and lengths too."""

import torch
from torch import Tensor, nn

from netcaliper.errors import InputError, ReplayMismatch
from netcaliper.trace.batches import Batch
from netcaliper.trace.export import source_line
from netcaliper.trace.graph import Graph
from netcaliper.trace.program import tensors_of

BATCH_SIZES = (1, 2, 5)

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Largest difference relative to the largest output, where eager execution takes a fused path; mostly it is 0."""


def check_deterministic(model: nn.Module, graph: Graph) -> None:
    """Refuse a model that is random in eval mode.

    Raises:
        InputError: two runs on one example differ, or the graph holds a random operation.
    """
    for step in graph.program.steps:
        target = step.target
        if (
            isinstance(target, torch._ops.OpOverload)
            and torch.Tag.nondeterministic_seeded in target.tags
            and _is_random(step.node)
        ):
            raise InputError(
                f"`model` is random in eval mode: {target} ({source_line(step.node) or step.name}); make it depend on "
                "`self.training`"
                " (e.g. F.dropout(x, p, self.training))"
            )
    first, second = (tensors_of(_eager(model, graph.example)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        difference = _difference(a, b)
        if difference > TOLERANCE.get(a.dtype, 0.0) * _scale(a):
            raise InputError(
                f"`model` is random in eval mode: two runs on one example differ by {difference:.3g}; seed or remove "
                "the random part"
            )


def check_replay(model: nn.Module, graph: Graph, batch: Batch) -> dict[str, float]:
    """Compare the graph with the model's own outputs.

    Args:
        model: the traced model.
        graph: its graph.
        batch: the example as the user gave it.

    Returns:
        The largest absolute difference for the example, for batches of 1, 2 and 5, and for a shorter sequence.

    Raises:
        ReplayMismatch: an output differs by more than float tolerance.
    """
    cases = {"example": graph.example}
    cases |= {f"batch {size}": batch.repeated(size) for size in BATCH_SIZES}
    length = batch.token_length()
    if length is not None and length > 2 and graph.dynamic_batch:
        cases[f"length {length // 2}"] = batch.shortened(length // 2)
    differences = {}
    for case, inputs in cases.items():
        try:
            expected = tensors_of(_eager(model, inputs))
        except Exception:  # the model itself does not take this batch size, so there is nothing to reproduce
            continue
        try:
            found = tensors_of(graph.run(inputs).output)
        except Exception as failure:
            if case == "example":
                raise ReplayMismatch(f"the graph of `{graph.name}` fails on the example itself: {failure}") from failure
            if case.startswith("length"):
                continue  # another length is a property of the data; `run` checks the shapes it is given
            raise ReplayMismatch(
                f"the graph of `{graph.name}` fails at {case}, where the model runs: {str(failure).splitlines()[0]}; "
                "pass batches of"
                f" {graph.traced_batch} or a model whose code does not fix the batch size"
            ) from failure
        worst = 0.0
        for a, b in zip(expected, found, strict=True):
            difference = _difference(a, b)
            worst = max(worst, difference)
            if a.shape != b.shape or difference > TOLERANCE.get(a.dtype, 0.0) * _scale(a):
                raise ReplayMismatch(
                    f"the graph of `{graph.name}` does not reproduce the model at {case}: outputs differ by "
                    f"{difference:.3g} (largest"
                    f" output {_scale(a):.3g}, shapes {tuple(a.shape)} and {tuple(b.shape)}); nothing that is read "
                    "from it could be"
                    " trusted. Does the model depend on something besides its inputs and weights?"
                )
        differences[case] = worst
    return differences


def _eager(model: nn.Module, batch: Batch) -> object:
    with torch.no_grad():
        return model(*batch.args, **batch.kwargs)


def _is_random(node: torch.fx.Node) -> bool:
    """Tell whether a seeded operation draws anything: dropout that is off and attention without it do not."""
    name = str(node.target)
    if "dropout" in name and "attention" not in name:
        return bool(node.args[2]) if len(node.args) > 2 else True
    if "scaled_dot_product" in name:
        probability = node.args[4] if len(node.args) > 4 else node.kwargs.get("dropout_p", 0.0)
        return bool(probability)
    # rrelu draws in train mode only; recurrent cells are tagged for the dropout between their layers, off in eval mode
    return not ("rrelu" in name or name.startswith(("aten.lstm", "aten.gru", "aten.rnn")))


def _difference(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape or a.numel() == 0:
        return 0.0 if a.shape == b.shape else float("inf")
    gap = (a.double() - b.double()).abs()
    return float(torch.where(a == b, 0.0, gap).max())  # equal infinities (masked scores) do not differ


def _scale(a: Tensor) -> float:
    finite = a.double()[torch.isfinite(a)]
    return max(float(finite.abs().max()), 1e-30) if finite.numel() else 1.0
