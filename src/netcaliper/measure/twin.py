"""The untrained twin: the same architecture with weights that have learned nothing.

What a reading of the twin also shows, training did not do. Its weights come from a factory, or are the trained ones
with the entries of each parameter permuted; its BatchNorm statistics are estimated anew, for those of the trained
network describe other activations.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.fx import Node

from netcaliper.errors import InputError
from netcaliper.feed.examples import chosen_examples
from netcaliper.feed.norm_statistics import batch_norms, estimate_norms
from netcaliper.feed.protocol import Plan
from netcaliper.fit.seeds import seeded
from netcaliper.stats.sampling import CALIBRATE
from netcaliper.trace.batches import Batch, regrouped
from netcaliper.trace.graph import Graph
from netcaliper.trace.wrappers import unwrapped

BATCH = 64
"""Examples a batch that BatchNorm statistics are estimated on, whatever the batches of the data."""


@dataclass(frozen=True)
class TwinGraph:
    """The twin of a graph.

    Attributes:
        graph: the same structure over the twin's weights.
        kind: ``factory``, or ``shuffled`` (the entries of each floating-point parameter permuted within it).
        seed: of the initial weights, or of the permutations.
        warnings: in words.
    """

    graph: Graph
    kind: Literal["factory", "shuffled"]
    seed: int
    warnings: tuple[str, ...] = ()


def twin_passes(graph: Graph, plan: Plan) -> float:
    """Return what estimating the BatchNorm statistics of a twin will cost, in forward passes of all the data."""
    return plan.sizes["calibrate"] / plan.examples if batch_norms(graph.model) else 0.0


def make_twin(
    graph: Graph,
    data: Iterable[Any],
    plan: Plan,
    twin: Callable[[], nn.Module] | Literal["shuffled"] | None = None,
    *,
    seed: int = 0,
) -> TwinGraph:
    """Return the untrained twin of a graph, on its device and in its precision.

    The statistics of every BatchNorm module are estimated on the calibrate examples, in order and ``BATCH`` at a time:
    the mean over batches of each batch's mean and unbiased variance, while these modules alone are in train mode.
    Neither the traced module nor what ``twin`` returns is changed, nor any random state of torch.

    Args:
        graph: of the trained network.
        data: any re-iterable of batches, read if there is a BatchNorm.
        plan: which examples are calibrate examples.
        twin: makes the network anew, called with torch seeded; only the tensors of what it returns are used.
            ``"shuffled"`` or ``None``: the trained weights, the entries of each floating-point parameter (vectors
            included) permuted within it. Buffers stay, tied parameters stay tied.
        seed: of the initial weights, or of the permutations.

    Raises:
        InputError: ``twin`` returns no module, one whose weights do not fit the graph, or the trained weights.
    """
    kind: Literal["factory", "shuffled"]
    warnings = []
    if twin is None or twin == "shuffled":
        kind, untrained = "shuffled", _shuffled(graph, seed)
        if _same_parameters(graph, untrained):
            warnings.append("no parameter has two different entries to permute: the twin is the network itself.")
    elif not callable(twin) or isinstance(twin, nn.Module):
        got = repr(twin) if isinstance(twin, str) else type(twin).__name__
        raise InputError(
            f"`twin` must be a function that builds the network anew, or 'shuffled', got {got}; pass for instance "
            "`lambda: Net()`"
        )
    else:
        kind, untrained = "factory", _built(graph, twin, seed)
    others = _other_statistics(untrained)
    if others:
        shown = ", ".join(f"`{name}`" for name in others[:4]) + (", ..." if len(others) > 4 else "")
        warnings.append(f"{len(others)} running statistics outside BatchNorm modules were not estimated anew: {shown}.")
    if not batch_norms(graph.model):
        return TwinGraph(untrained, kind, seed, tuple(warnings))
    module = _copy(untrained)
    if isinstance(module, str):
        warnings.append(f"BatchNorm statistics were not estimated anew: {module}.")
        return TwinGraph(untrained, kind, seed, tuple(warnings))
    if not graph.dynamic_batch:
        warnings.append(
            f"BatchNorm statistics come from batches of {graph.traced_batch} examples, the only size that the graph "
            "takes."
        )
    statistics = estimate_norms(module, _batches(untrained, data, plan))
    if not statistics:
        warnings.append("BatchNorm statistics were not estimated anew: too few calibrate examples for one batch.")
    settled = untrained.with_state(untrained.program.tensors | statistics)
    return TwinGraph(settled, kind, seed, tuple(warnings))


def _same_parameters(one: Graph, other: Graph) -> bool:
    others = other.program.tensors
    return all(torch.equal(t, others[name]) for name, t in one.program.tensors.items() if isinstance(t, nn.Parameter))


# ---- weights


def _shuffled(graph: Graph, seed: int) -> Graph:
    """Permute the entries of each floating-point parameter; a tied one is permuted once, by the first of its names."""
    state = graph.program.tensors
    names: dict[int, list[str]] = {}
    for name in sorted(state):
        names.setdefault(id(state[name]), []).append(name)
    for tied in names.values():
        tensor = state[tied[0]]
        if isinstance(tensor, nn.Parameter) and tensor.is_floating_point():
            state |= dict.fromkeys(tied, _permuted(tensor.detach(), tied[0], seed))
    return graph.with_state(state)


def _permuted(tensor: Tensor, name: str, seed: int) -> Tensor:
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
    order = torch.randperm(tensor.numel(), generator=generator)  # drawn on the host: the same twin on every device
    permuted = torch.empty_like(tensor)  # in the same memory format, which decides how a convolution rounds
    return permuted.copy_(tensor.reshape(-1)[order.to(tensor.device)].reshape(tensor.shape))


def _built(graph: Graph, build: Callable[[], nn.Module], seed: int) -> Graph:
    """Take the tensors of what ``build`` makes, on the device and in the precision of the graph's.

    Raises:
        InputError: no module, no numbers in it, another architecture, or the trained weights.
    """
    with seeded(seed):
        module = build()
    if not isinstance(module, nn.Module):
        raise InputError(
            f"`twin` must return a torch.nn.Module, got {type(module).__name__}; pass a function that builds the "
            "network anew"
        )
    own, state = graph.program.tensors, {}
    module = unwrapped(module)
    stored = module.state_dict()
    for name, tensor in _named(module, own).items():
        if tensor.is_meta:
            raise InputError(
                f"`twin` must return a network with numbers, got `{name}` on the meta device; initialize it"
            )
        old = own.get(name)
        if name not in stored and old is not None and (tensor.shape != old.shape or tensor.dtype != old.dtype):
            continue  # a buffer outside the state dict that is filled in at the first call: the graph's own stays
        dtype = tensor.dtype
        if old is not None and old.is_floating_point() and tensor.is_floating_point():
            dtype = old.dtype
        state[name] = tensor.detach().to(graph.device, dtype, copy=True)
    try:
        untrained = graph.with_state(state)
    except InputError as problem:
        raise InputError(f"`twin` must return the architecture of `model`: {problem}") from None
    if _same_parameters(graph, untrained):
        raise InputError(
            "`twin` must return an untrained network, got one with the very weights of `model`; build it without "
            f"loading them (of a `model` that is not trained itself, under another seed than {seed})"
        )
    return untrained


def _named(module: nn.Module, names: Iterable[str]) -> dict[str, Tensor]:
    """Return the state dict of a module, and of these names those of non-persistent buffers and constants."""
    state = {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    return state | {
        name: value for name in names if name not in state and (value := _attribute(module, name)) is not None
    }


def _attribute(module: nn.Module, name: str) -> Tensor | None:
    try:
        value = attrgetter(name)(module)
    except AttributeError:  # a constant of the code, which the export has named
        return None
    return value if isinstance(value, Tensor) else None


# ---- BatchNorm


def _batches(graph: Graph, data: Iterable[Any], plan: Plan) -> Iterator[Batch]:
    """Give the calibrate examples as the module takes them, leaving out what is too few for a variance."""
    settings = {key: value for key, value in graph.example.kwargs.items() if not isinstance(value, Tensor)}
    size = BATCH if graph.dynamic_batch else graph.traced_batch
    for batch in regrouped(chosen_examples(graph, data, plan.split == CALIBRATE), size):
        if batch.size > 1 and (graph.dynamic_batch or batch.size == size):
            moved = batch.to(graph.device)
            yield replace(moved, kwargs={**settings, **moved.kwargs})


def _copy(graph: Graph) -> nn.Module | str:
    """Return a copy of the traced module with the weights of the graph, or why there is none, in words."""
    try:
        module = deepcopy(graph.model)
    except Exception as problem:  # whatever a module's own way of being copied may raise
        words = (str(problem).splitlines() or [""])[0]
        return f"the model cannot be copied ({type(problem).__name__}: {words})"
    with torch.no_grad():
        for name, tensor in graph.program.tensors.items():
            mine = _attribute(module, name)
            if mine is not None and not torch.equal(mine, tensor):
                mine.copy_(tensor)
    return module


def _other_statistics(graph: Graph) -> list[str]:
    """Name running statistics that are in no BatchNorm module: by what they are called, or by what reads them."""
    known = {f"{name}.{buffer}".removeprefix(".") for name in batch_norms(graph.model) for buffer in _BUFFERS}
    called = [name for name in graph.program.tensors if name.rpartition(".")[2] in _BUFFERS]
    names = graph.program.parameters
    for step in graph.program.steps:
        if "batch_norm" in str(step.target) or "instance_norm" in str(step.target):
            called += [names.get(a.name, a.name) for a in step.node.args[3:5] if isinstance(a, Node)]
    return sorted(set(called) - known)


_BUFFERS = ("running_mean", "running_var")
