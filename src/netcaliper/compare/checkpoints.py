"""The checkpoints of a training: one is traced, the others are its graph over their own weights."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from torch import Tensor, nn

from netcaliper.errors import InputError, NetcaliperError, ReplayMismatch
from netcaliper.feed.traced import traced
from netcaliper.trace.export import check_model, device_of
from netcaliper.trace.graph import Graph
from netcaliper.trace.replay import check_replay
from netcaliper.trace.wrappers import unwrapped

Checkpoint = nn.Module | Mapping[str, Tensor]


def checkpoint_names(checkpoints: Any) -> tuple[str, ...]:
    """Return the names, in the order of training.

    Raises:
        InputError: they are no mapping from names, or fewer than two.
    """
    if not isinstance(checkpoints, Mapping) or not all(isinstance(name, str) for name in checkpoints):
        raise InputError(
            f"`checkpoints` must be a mapping from names to modules or state dicts, got {type(checkpoints).__name__}"
            f"{' with other keys' if isinstance(checkpoints, Mapping) else ''}; for a folder that `netcaliper train "
            "--keep-every` wrote use netcaliper.zoo.series.epochs."
        )
    if len(checkpoints) < 2:
        raise InputError(
            f"`checkpoints` must be at least 2, the final one and an earlier one, got {len(checkpoints)}; keep more of "
            "them (`netcaliper train --keep-every`), or read one network with nc.layers."
        )
    return tuple(checkpoints)


def final_graph(
    checkpoints: Mapping[str, Checkpoint], names: Sequence[str], final: str, data: Any, example: Any, device: Any,
    name: str | None,
) -> Graph:  # fmt: skip
    """Trace the final network, or a module among the others and put the final weights in it.

    Args:
        checkpoints: by name.
        names: of all of them.
        final: name of the final one.
        data: whose first batch is the example, unless one is given.
        example: a batch.
        device: where to run.
        name: of the network.

    Raises:
        InputError: there is no module, or the final weights do not fit.
        TraceError: the network cannot be read.
    """
    last = checkpoints[final]
    if isinstance(last, nn.Module):
        return named(final, traced, last, data, example, device, name)
    for other in names:
        model = checkpoints[other]
        if isinstance(model, nn.Module):
            return over_weights(named(other, traced, model, data, example, device, name), last, final, other)
    raise InputError(
        f"`checkpoints` must hold at least one module, for its architecture, got state dicts only ({len(names)}); give "
        "the final checkpoint as the module itself."
    )


def over_weights(graph: Graph, checkpoint: Any, name: str, like: str) -> Graph:
    """Return a graph over the weights of a checkpoint.

    A module is run against the graph on the traced example: equal names and shapes do not make it the same function.

    Args:
        graph: of a network of the same architecture.
        checkpoint: a module or a state dict.
        name: of the checkpoint.
        like: name of the one that was traced.

    Raises:
        InputError: it is neither, it does not fit, or the module computes something else.
    """
    if isinstance(checkpoint, nn.Module):
        model = unwrapped(checkpoint)
        named(name, check_model, model)
        if device_of(model) != graph.device:
            model = deepcopy(model).to(graph.device)
        own = _fitting(graph, model.state_dict(), name, like)
        try:
            check_replay(model, own, graph.example)
        except ReplayMismatch as problem:
            raise InputError(
                f"`checkpoints` must all be of one architecture: {name!r} has weights of the names and shapes of "
                f"{like!r}, but computes something else with them ({problem}); give checkpoints of one training."
            ) from None
        return own
    if not isinstance(checkpoint, Mapping):
        raise InputError(
            f"`checkpoints` must hold modules or state dicts, got {type(checkpoint).__name__} in {name!r}; load it "
            "first."
        )
    return _fitting(graph, checkpoint, name, like)


def _fitting(graph: Graph, state: Mapping[str, Tensor], name: str, like: str) -> Graph:
    try:
        return graph.with_state(state)
    except InputError as problem:
        raise InputError(
            f"`checkpoints` must hold finite weights of one architecture: {name!r} does not fit that of {like!r}: "
            f"{problem}."
        ) from None


def named(name: str, do: Any, *arguments: Any) -> Any:
    """Call a function; whatever is wrong, say with which checkpoint."""
    try:
        return do(*arguments)
    except NetcaliperError as problem:
        raise type(problem)(f"checkpoint {name!r}: {problem}") from problem
