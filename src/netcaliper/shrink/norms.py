"""LayerNorms over units of which some have gone: they run over those that stay.

Zeros in their place would not do: a mean over n units of which some are 0 is not the mean over the others. (An RMSNorm
takes no mean off; there zeros change the result by a known factor, which goes into its weight when the module is cut.)
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor

from netcaliper.trace.graph import Graph


def over_kept(graph: Graph, removed: Mapping[str, Bool[np.ndarray, " units"]]) -> Graph:
    """Return the graph with every LayerNorm over units of a dimension running over those that stay.

    Args:
        graph: over the state of a smaller network.
        removed: units by dimension.
    """
    kept: dict[str, np.ndarray] = {}
    for dimension in graph.structure.dimensions:
        gone = removed.get(dimension.name)
        if gone is None or not gone.any():
            continue
        for norm in dimension.norms:
            if norm.kind == "layer_norm":
                stays = ~((norm.unit >= 0) & gone[np.maximum(norm.unit, 0)])
                kept[norm.node] = kept[norm.node] & stays if norm.node in kept else stays
    if not kept:
        return graph
    return graph.calling({node: _layer_norm(torch.from_numpy(np.flatnonzero(s))) for node, s in kept.items()})


def _layer_norm(kept: Int[Tensor, " kept"]) -> Callable[..., Any]:
    """Return ``aten.layer_norm`` over some of the units, 0 at the others."""

    def call(
        x: Tensor,
        shape: Any,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
        *_: Any,
    ) -> Tensor:
        index = kept.to(x.device)
        scale, shift = (None if each is None else each[index] for each in (weight, bias))
        found = F.layer_norm(x.index_select(-1, index), (len(index),), scale, shift, eps)
        return torch.zeros_like(x).index_copy(-1, index, found)

    return call
