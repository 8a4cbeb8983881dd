"""Which units stay bending when no training chooses them: random ones, or those that a straight line fits worst."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from netcaliper.bending.bending import Bending
from netcaliper.trace.activations import ACTIVATIONS
from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import Graph
from netcaliper.trace.names import operation
from netcaliper.trace.site import Site

_SEED = 0xA11  # apart from other draws of the same seed


def random_active(active: Mapping[str, Bool[Tensor, "_"]], seed: int) -> dict[str, Bool[Tensor, "_"]]:
    """Return as many random units of every site as are active in it; they depend on the seed and these numbers only."""
    drawn = {}
    for place, (name, mine) in enumerate(active.items()):
        order = np.random.default_rng((seed, _SEED, place)).permutation(len(mine))
        chosen = torch.zeros(len(mine), dtype=torch.bool)
        chosen[torch.from_numpy(order[: int(mine.sum())])] = True
        drawn[name] = chosen
    return drawn


def least_straight(curvature: Mapping[str, Float64[np.ndarray, "_"]], count: int) -> dict[str, Bool[Tensor, "_"]]:
    """Return the ``count`` units of largest curvature over all sites; the first ones of equals."""
    values = np.concatenate(list(curvature.values()))
    chosen = torch.zeros(len(values), dtype=torch.bool)
    chosen[torch.from_numpy(np.argsort(-values, kind="stable")[:count].copy())] = True
    pieces = chosen.split([len(mine) for mine in curvature.values()])
    return dict(zip(curvature, pieces, strict=True))


@torch.no_grad()
def curvature(
    bending: Bending, state: Mapping[str, Tensor], data: Iterable[Batch]
) -> dict[str, Float64[np.ndarray, "_"]]:
    """Return for every unit the share of its variance that a straight line through its input leaves: ``1 - r^2``.

    r is the correlation of the unit's value with its input (of a gated product: with the operand that is not the gate),
    over all positions of the examples. It is 0 for a unit that is exactly linear on them. A unit that never changes
    counts as 1: a ReLU that is always off is not replaced by its input without harm.

    Args:
        bending: the network.
        state: state dict of the network before any unit moved.
        data: the examples.
    """
    sums: dict[str, np.ndarray] = {}
    graph = bending.graph.with_state(state)

    def tap(name: str, examples: int):
        site = graph.site(name)

        def add(value: Tensor, *inputs: Tensor) -> None:
            before = _straight(graph, site, inputs)
            y, x = (site.rows(t, examples).flatten(0, 1).double() for t in (value, before))  # [rows, units]
            moments = torch.stack([torch.ones_like(x), x, y, x * x, y * y, x * y]).sum(1).cpu().numpy()
            sums[name] = sums.get(name, 0.0) + moments

        return add

    for batch in data:
        graph.run(batch, taps={name: tap(name, batch.size) for name in bending.sites})
    return {name: _left(sums[name]) for name in bending.sites}


def _straight(graph: Graph, site: Site, inputs: Sequence[Tensor]) -> Tensor:
    """Return the value that a unit of the site would become, up to a factor, if it were linear."""
    if site.kind != "gate":
        return inputs[0]
    if len(inputs) == 1:  # a GLU: value and gate are the halves of one tensor
        return inputs[0].chunk(2, site.axis)[0]
    operations = {step.name: operation(step.node) for step in graph.program.steps if step.name in site.inputs}
    values = [t for name, t in zip(site.inputs, inputs, strict=True) if operations.get(name) not in ACTIVATIONS]
    return values[0] if values else inputs[0]


def _left(moments: Float64[np.ndarray, "6 units"]) -> Float64[np.ndarray, " units"]:
    n, x, y, xx, yy, xy = moments
    var_x, var_y, cov = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2, xy / n - x * y / n**2
    varies = (var_x > 0) & (var_y > 0)
    r2 = np.divide(cov**2, var_x * var_y, out=np.zeros_like(cov), where=varies)
    return np.where(varies, 1 - np.minimum(r2, 1.0), 1.0)
