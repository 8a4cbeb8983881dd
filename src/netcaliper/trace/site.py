"""What the graph says about units: sites, their consumers, and what was not understood.

Canonical layout, used by every measure: ``site.rows(value, examples)`` is ``[examples, positions, units]``. A conv
    channel has
one position for every pixel, a token feature one for every token, a linear feature exactly one.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

Kind = Literal["activation", "gate", "stream"]


@dataclass(frozen=True)
class Activation:
    """A scalar function that is applied to every unit of a site.

    Attributes:
        name: its usual name, e.g. ``"relu"``.
        zone: the open interval of pre-activations on which the function is *exactly* the identity up to a constant
            (slope one); ``None`` for a smooth function, which has no such interval.
        flat: open intervals on which it is exactly constant (slope zero), e.g. ``((-inf, 0),)`` for ReLU.
        pieces: inner breakpoints of a piecewise-linear function, ascending; ``None`` for a smooth one.
    """

    name: str
    zone: tuple[float, float] | None = None
    flat: tuple[tuple[float, float], ...] = ()
    pieces: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Consumer:
    """A weighted operation that reads units of a site.

    Attributes:
        name: module path, operation and call number, like a site's name.
        op: the operation: ``linear``, ``conv2d``, ``depthwise``, ``matmul``, ``lstm``, ...
        weight: name of the weight in the model's state dict (``None`` if the graph computes it).
        unit_of_column: for every input column (input channel) of the weight the unit that it reads, -1 for none.
        through: names of normalizations on the way whose statistics mix all units (exact surgery stops at them).
        node: name of the consumer's node in the graph.
        operand: index of the consumer's argument that carries the units.
    """

    name: str
    op: str
    weight: str | None
    unit_of_column: np.ndarray
    through: tuple[str, ...]
    node: str
    operand: int

    def columns(self, unit: int) -> np.ndarray:
        """Return the input columns of the weight that read ``unit``."""
        return np.flatnonzero(self.unit_of_column == unit)


@dataclass(frozen=True, eq=False)
class Site:
    """A place in the graph where units live.

    Attributes:
        name: stable between runs, e.g. ``layer1.0.relu``, ``layer1.0.relu#2`` for the second call.
        kind: ``activation``, ``gate`` (a product of two data-dependent branches) or ``stream`` (a residual sum).
        op: the operation, e.g. ``relu``, ``swiglu``, ``add``.
        units: number of units n.
        axis: axis of the value along which the units lie.
        batch_axis: axis of the value that holds (or is a multiple of) the batch.
        node: name of the graph node that holds the value.
        inputs: names of the nodes that hold the pre-activations (one; two for a gate or a stream).
        activation: the scalar function, for ``kind == "activation"``.
        consumers: the weighted operations that read the units.
        readers: names of other sites and of outputs that read the units before any weight does.
        barriers: operations that mix the units before a weight reads them, with the reason, in words.
        refused: why the consumers of this site are not resolved, or ``None``.
        rows_of_units: structure ids of the units: equal ids in two sites mean the same producer row.
        group: name of the coupled group that the units belong to, ``None`` for an inner site.
    """

    name: str
    kind: Kind
    op: str
    units: int
    axis: int
    batch_axis: int
    node: str
    inputs: tuple[str, ...]
    activation: Activation | None
    consumers: tuple[Consumer, ...]
    readers: tuple[str, ...]
    barriers: tuple[str, ...]
    refused: str | None
    rows_of_units: np.ndarray
    group: str | None

    def rows(self, value: Shaped[Tensor, "..."], examples: int) -> Shaped[Tensor, "examples positions units"]:
        """Lay out a value of this site (or one of its inputs) as ``[examples, positions, units]``."""
        value = value.movedim((self.batch_axis, self.axis), (0, -1))
        return value.reshape(examples, -1, self.units)
