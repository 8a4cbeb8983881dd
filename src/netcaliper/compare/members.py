"""The networks that are compared: by group, named, traced; seeds of one architecture share a trace."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from netcaliper.errors import InputError, NetcaliperError, ReplayMismatch
from netcaliper.feed.traced import traced
from netcaliper.trace.export import device_of
from netcaliper.trace.graph import Graph
from netcaliper.trace.replay import check_replay
from netcaliper.trace.wrappers import unwrapped

Model = nn.Module | Graph
Networks = Mapping[str, Model | Sequence[Model]] | Sequence[Model]


@dataclass(frozen=True)
class Member:
    """One network.

    Attributes:
        name: of the network.
        group: of its group.
        graph: traced.
    """

    name: str
    group: str
    graph: Graph


def named_networks(networks: Networks) -> dict[str, list[Model]]:
    """Return the networks by group.

    Raises:
        InputError: they are no networks, or fewer than two.
    """
    if not isinstance(networks, Mapping):
        if isinstance(networks, (nn.Module, Graph)) or not isinstance(networks, Sequence):
            raise InputError(
                f"`networks` must be a list of networks, or a mapping from names to networks, got "
                f"{type(networks).__name__}; for the layers of one network use nc.layers."
            )
        networks = {f"network {number}": model for number, model in enumerate(networks, 1)}
    found: dict[str, list[Model]] = {}
    for name, given in networks.items():
        if str(name) in found:
            raise InputError(f"`networks` must have different names, got {str(name)!r} twice; rename one.")
        found[str(name)] = _models(str(name), given)
    names: set[str] = set()
    for name, models in found.items():
        for model in models:
            if not isinstance(model, (nn.Module, Graph)):
                raise InputError(
                    f"`networks` must hold torch modules or graphs, got {type(model).__name__} in {name!r}; pass the "
                    "modules."
                )
        if not models:
            raise InputError(f"`networks` must have at least one network a name, got none in {name!r}; leave it out.")
        for own in _member_names(name, len(models)):
            if own in names:
                raise InputError(f"`networks` must have different names, got {own!r} twice; rename {name!r}.")
            names.add(own)
    if sum(map(len, found.values())) < 2:
        raise InputError("`networks` must be at least 2, got 1; for the layers of one network use nc.layers.")
    return found


def _models(name: str, given: Any) -> list[Model]:
    if isinstance(given, (nn.Module, Graph)):
        return [given]
    if not isinstance(given, Iterable):
        raise InputError(
            f"`networks` must hold torch modules or graphs, got {type(given).__name__} in {name!r}; pass the modules."
        )
    return list(given)


def _member_names(group: str, count: int) -> list[str]:
    return [group] if count == 1 else [f"{group}.{number}" for number in range(1, count + 1)]


def traced_members(named: Mapping[str, Sequence[Model]], data: Any, device: Any) -> list[Member]:
    """Trace all networks; of seeds of one architecture only the first."""
    found = []
    for group, models in named.items():
        before: tuple[nn.Module, Graph] | None = None
        for name, model in zip(_member_names(group, len(models)), models, strict=True):
            try:
                graph = _like(model, before, device, name) or traced(model, data, None, device, name)
            except NetcaliperError as error:
                raise type(error)(f"network {name!r}: {error}") from error
            if before is None and isinstance(model, nn.Module):
                before = unwrapped(model), graph
            found.append(Member(name, group, graph))
    return found


def _like(model: Model, before: tuple[nn.Module, Graph] | None, device: Any, name: str) -> Graph | None:
    """Return the graph of a network as another one of its group over its own weights, if that reproduces it.

    The printed modules must be equal, too: where a weight is 0 (a residual branch before training), two activations
    give the same output.
    """
    if before is None or isinstance(model, Graph) or device is not None:
        return None
    first, graph = before
    model = unwrapped(model)
    if type(model) is not type(first) or repr(model) != repr(first) or device_of(model) != graph.device:
        return None
    if any(module.training for module in model.modules()):  # a run would change its batch statistics
        return None
    try:
        own = graph.with_state(model.state_dict())
        check_replay(model, own, graph.example)
    except (InputError, ReplayMismatch):
        return None
    own.model, own.name = model, name
    return own
