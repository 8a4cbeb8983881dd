"""What a structure claims, checked by running: units without their columns, without anything, and cut out."""

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from netcaliper.trace.graph import Graph
from netcaliper.trace.structure import Dimension

Taken = np.ndarray


def random_units(dimension: Dimension, rng: np.random.Generator) -> Taken:
    """Return a random set of units that may go: at least one, never all."""
    free = ~dimension.frozen
    taken = free & (rng.random(dimension.units) < 0.5)
    taken[rng.choice(np.flatnonzero(free))] = True
    for holder in dimension.holders:  # one concatenated part may not go as a whole
        if ((holder.unit >= 0) & taken[holder.unit]).all():
            taken[holder.unit[rng.integers(len(holder.unit))]] = False
    return taken


def state_without(graph: Graph, dimension: Dimension, taken: Taken, roles: tuple[str, ...]) -> dict[str, Tensor]:
    """Return the graph's weights with zeros where the units are, in holders of these roles."""
    state = {name: tensor.detach().clone() for name, tensor in graph.program.tensors.items()}
    for holder in dimension.holders:
        if holder.role in roles:
            for name in holder.names:
                if name in state and not name.endswith("running_var"):
                    gone = np.flatnonzero((holder.unit >= 0) & taken[holder.unit])
                    state[name].index_fill_(holder.axis, torch.as_tensor(gone), 0)
    return state


def outputs(graph: Graph, state: dict[str, Tensor]) -> list[Tensor]:
    """Return what the graph returns with these weights."""
    output = graph.with_state(state).run(graph.example).output
    return [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]


def cut_outputs(graph: Graph, dimension: Dimension, taken: Taken) -> list[Tensor]:
    """Return what the model returns with the units cut out of its weights; for models with no size in their code."""
    model = copy.deepcopy(graph.model)
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for holder in dimension.holders:
        stays = torch.as_tensor(np.flatnonzero((holder.unit < 0) | ~taken[np.maximum(holder.unit, 0)]))
        tensor = next(tensors[name] for name in holder.names if name in tensors)
        tensor.data = tensor.data.index_select(holder.axis, stays)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1 and module.weight.shape[1] == 1:
            module.groups = module.weight.shape[0]
    with torch.no_grad():
        output = model(*graph.example.args, **graph.example.kwargs)
    return [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]


def difference(a: list[Tensor], b: list[Tensor]) -> float:
    """Return the largest difference of two outputs."""
    return max(float((one - other).abs().max()) for one, other in zip(a, b, strict=True))


def check_holders(graph: Graph) -> None:
    """Check that every index of a parameter's axis is in one dimension at most, and that the sizes fit."""
    seen: dict[tuple[str, int], np.ndarray] = {}
    tensors = {**graph.model.state_dict(keep_vars=True), **dict(graph.model.named_buffers())}
    for dimension in graph.structure.dimensions:
        assert dimension.frozen.shape == (dimension.units,)
        assert bool(dimension.why_frozen) == bool(dimension.frozen.any())
        assert {"row", "column"} & {holder.role for holder in dimension.holders}
        for holder in dimension.holders:
            size = tensors[holder.names[0]].shape[holder.axis]
            assert len(holder.unit) == size
            assert holder.unit.max() < dimension.units
            for name in holder.names:
                assert tensors[name].data_ptr() == tensors[holder.names[0]].data_ptr()
                own = seen.setdefault((name, holder.axis), np.zeros(len(holder.unit), dtype=bool))
                assert not (own & (holder.unit >= 0)).any(), (name, holder.axis)
                own |= holder.unit >= 0


def check_by_running(graph: Graph, seed: int = 0) -> int:
    """Check that units without columns are as good as gone, and return for how many dimensions."""
    rng, checked = np.random.default_rng(seed), 0
    for dimension in graph.structure.dimensions:
        if dimension.norms:
            continue
        taken = random_units(dimension, rng)
        nothing_left = outputs(graph, state_without(graph, dimension, taken, ("row", "ride", "column")))
        no_columns = outputs(graph, state_without(graph, dimension, taken, ("column",)))
        assert difference(nothing_left, no_columns) <= 1e-9, dimension.name
        checked += 1
    return checked
