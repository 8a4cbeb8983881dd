"""Fitting what bounded functions and gates become, on data: a line, or a mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from netcaliper.bending.slot import Slot
from netcaliper.errors import DataError
from netcaliper.trace.activations import ACTIVATIONS
from netcaliper.trace.batches import Batch, batches
from netcaliper.trace.graph import NODE, Graph
from netcaliper.trace.names import operation

_CONSTANT = 1e-12
"""Variance relative to the mean square below which a pre-activation is taken for constant."""


@dataclass
class Sums:
    """Streamed sums over positions, one entry a unit, in float64."""

    n: float
    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor

    @classmethod
    def empty(cls, units: int) -> "Sums":
        """Return sums over nothing."""
        return cls(0.0, *(torch.zeros(units, dtype=torch.float64) for _ in range(4)))

    def add(self, x: Float[Tensor, "positions units"], y: Float[Tensor, "positions units"]) -> None:
        """Add positions."""
        x, y = x.to("cpu", torch.float64), y.to("cpu", torch.float64)
        self.n += len(x)
        self.x += x.sum(0)
        self.y += y.sum(0)
        self.xx += (x * x).sum(0)
        self.xy += (x * y).sum(0)

    def line(self) -> tuple[Float[Tensor, " units"], Float[Tensor, " units"]]:
        """Return the slope a and offset c of least squares ``y = a x + c``; a unit with constant x has a = 0."""
        x, y = self.x / self.n, self.y / self.n
        square = self.xx / self.n
        variance = square - x * x
        moves = variance > _CONSTANT * square
        a = torch.where(moves, (self.xy / self.n - x * y) / torch.where(moves, variance, 1.0), 0.0)
        return a, y - a * x

    def mean(self) -> tuple[Float[Tensor, " units"], Float[Tensor, " units"]]:
        """Return a = 0 and the mean of y."""
        return torch.zeros_like(self.y), self.y / self.n


def fit_targets(graph: Graph, slots: Sequence[Slot], data: Any) -> None:
    """Set a and c of the targets of ``slots``, over all positions of ``data`` that are no padding.

    Raises:
        DataError: the data cannot be used, or makes values that are not finite.
    """
    sums = {slot.site: Sums.empty(slot.units) for slot in slots}
    for batch in batches(data, form=graph.form):
        graph.run(batch, taps=dict(_tap(graph, slot, batch, sums[slot.site]) for slot in slots))
    for slot in slots:
        a, c = sums[slot.site].line() if slot.target == "fit" else sums[slot.site].mean()
        if not bool((torch.isfinite(a) & torch.isfinite(c)).all()):
            raise DataError(
                f"`data` must give finite values at `{slot.site}`, got NaN or infinity; look at the weights"
            )
        for vector, fitted in zip(slot.affine, (a, c), strict=True):
            vector.copy_(fitted)


def _tap(graph: Graph, slot: Slot, batch: Batch, sums: Sums) -> tuple[str, Any]:
    """Return the node to look at and what adds its values to the sums."""
    site = graph.site(slot.site)

    def add(value: Tensor, before: Tensor) -> None:
        valid = graph.valid(site, batch, value)
        rows_of = [site.rows(v, batch.size) for v in (before, value)]
        keep = (
            valid
            if isinstance(valid, Tensor)
            else torch.ones(rows_of[0].shape[:2], dtype=torch.bool, device=value.device)
        )
        sums.add(*(rows[keep] for rows in rows_of))

    if slot.target == "fit":
        return slot.site, add
    if slot.target == "glu":
        return slot.site, lambda value, before: add(torch.sigmoid(before.chunk(2, site.axis)[1]), value)
    nodes = {step.name: step.node for step in graph.program.steps}
    gate = next(name for name in site.inputs if name in nodes and operation(nodes[name]) in ACTIVATIONS)
    return NODE + gate, lambda value: add(value, value)
