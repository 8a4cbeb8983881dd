"""What must be cut together: every axis of every parameter on which the units of one dimension lie.

A *dimension* is a set of units that surgery may take away one by one: the units between a producer and its readers, the
channels of a residual stream, the heads of an attention. Its *holders* say where in the state dict they are. Taking
unit j away means to delete index i of a holder's axis wherever ``unit[i] == j``, in all holders of the dimension.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from netcaliper.trace.site import Consumer

Role = Literal["row", "column", "ride"]


@dataclass(frozen=True, eq=False)
class Holder:
    """One axis of a parameter or buffer along which units lie.

    Attributes:
        names: of the tensor in the state dict; several where one tensor is tied under several names.
        axis: of the tensor.
        role: ``row`` of what makes the units, ``column`` of what reads them, ``ride`` for what has one number (or one
            filter) a unit in between: biases, normalizations, scales, depthwise filters.
        unit: for every index of the axis its unit, -1 for one that is of no unit of this dimension.
    """

    names: tuple[str, ...]
    axis: int
    role: Role
    unit: Int[np.ndarray, " size"]


@dataclass(frozen=True, eq=False)
class Norm:
    """A normalization whose statistics are taken over the units of a dimension.

    Attributes:
        name: module path and operation.
        module: path of the module that computes it, empty if none does.
        kind: ``rms_norm`` (no mean is taken off, so that zeros change it by a known factor), ``layer_norm``,
            ``group_norm``, or ``other``.
        node: its node in the graph, the last one where it is written out.
        unit: for every index of the axis that it runs over its unit, -1 for one of no unit of the dimension.
    """

    name: str
    module: str
    kind: Literal["rms_norm", "layer_norm", "group_norm", "other"]
    node: str
    unit: Int[np.ndarray, " size"]


@dataclass(frozen=True, eq=False)
class Dimension:
    """Units that can be taken away one by one.

    Next to a convolution in groups (unless it is depthwise) the channels at one place of all groups are one unit, for
    every group has to lose as many.

    Attributes:
        name: of the site that it belongs to, of a stream the first one in the order of the graph; of heads the name of
            the attention.
        kind: ``inner``, ``stream`` or ``heads``.
        units: how many there are.
        holders: where they are.
        consumers: the weighted calls that read them; ``unit_of_column`` counts in units of the dimension.
        sites: by name of a site whose units they are, for every unit of the site the unit of the dimension (-1: none).
        norms: normalizations over them, between a producer and a consumer.
        frozen: units that cannot be taken away.
        why_frozen: in words, if there are any.
    """

    name: str
    kind: Literal["inner", "stream", "heads"]
    units: int
    holders: tuple[Holder, ...]
    consumers: tuple[Consumer, ...]
    sites: Mapping[str, Int[np.ndarray, " site_units"]]
    norms: tuple[Norm, ...]
    frozen: Bool[np.ndarray, " units"]
    why_frozen: str


@dataclass(frozen=True, eq=False)
class Structure:
    """All dimensions of a network; every index of a parameter's axis is in one of them at most.

    Attributes:
        dimensions: in the order of the graph.
        refused: sites, streams and attentions whose units cannot be taken away at all: name and reason.
    """

    dimensions: tuple[Dimension, ...]
    refused: tuple[tuple[str, str], ...]

    def dimension(self, name: str) -> Dimension:
        """Return a dimension by name."""
        return next(each for each in self.dimensions if each.name == name)
