"""Normalizations over units of which some go."""

import copy
from collections.abc import Callable
from contextlib import suppress
from math import sqrt
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from netcaliper.surgery.answers import difference
from netcaliper.surgery.cuts import tensor_at

_CLOSE = 1e-5
_STYLES: tuple[Callable[[Tensor, float], Tensor], ...] = (
    lambda weight, factor: weight * factor,
    lambda weight, factor: (1 + weight) * factor - 1,
)
"""How a factor on the output is written into the weight, for ``x * weight`` and for ``x * (1 + weight)``."""


class NormOverKept(nn.Module):
    """A normalization that runs over some of the units and gives 0 for the others: what the cut network computes.

    Args:
        norm: over the units that stay.
        kept: which do.
    """

    def __init__(self, norm: nn.Module, kept: Bool[np.ndarray, " units"]) -> None:
        super().__init__()
        self.norm = norm
        self.units = len(kept)
        self.register_buffer("kept", torch.as_tensor(np.flatnonzero(kept)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized units, 0 at those that are gone."""
        if not isinstance(self.norm, nn.GroupNorm) and x.shape[-1] == self.units:
            if x.shape[1] != self.units:
                return self._along(-1, x)
            with suppress(RuntimeError):  # pictures as wide as they have channels: along the wrong axis it fails
                return self._along(-1, x)
        return self._along(1, x)

    def _along(self, axis: int, x: Tensor) -> Tensor:
        kept = cast(Tensor, self.kept).to(x.device)
        return torch.zeros_like(x).index_copy(axis, kept, self.norm(x.index_select(axis, kept)))


def rescale(
    module: nn.Module, path: str, weight: str, kept: Bool[np.ndarray, " units"]
) -> tuple[str, dict[str, float]]:
    """Rescale the weight of an RMSNorm of full size for when only some units are left.

    With k of n units left, ``mean x^2`` over all n is ``k / n`` of that over k, so that the same is computed with
    ``sqrt(n / k)`` on the weight and ``n / k`` on eps. How the module uses its weight is found out by running it.

    Args:
        module: holds the normalization; its weight is changed.
        path: of the normalization.
        weight: name of its weight in ``module``.
        kept: which units stay.

    Returns:
        Why it cannot be done, empty if it was; and the attribute with the new eps.
    """
    whole = tensor_at(module, weight) if path and weight else None
    if whole is None or tuple(whole.shape) != kept.shape:
        return "it has no module with a weight for every unit", {}
    norm = module.get_submodule(path)
    number = {name: value for name, value in vars(norm).items() if "eps" in name and isinstance(value, float | None)}
    if len(number) != 1:
        return "its eps is no attribute of a module of its own", {}
    ((name, eps),) = number.items()
    eps = float(torch.finfo(whole.dtype).eps) if eps is None else eps
    if kept.all():
        return "", {}
    ratio = len(kept) / int(kept.sum())
    index = torch.as_tensor(np.flatnonzero(kept), device=whole.device)
    short = weight.removeprefix(f"{path}.")
    for write in _STYLES:
        full, small = (copy.deepcopy(norm).double() for _ in range(2))
        own = cast(Tensor, tensor_at(small, short))
        own.data = write(own.detach(), sqrt(ratio)).index_select(0, index)
        setattr(small, name, eps * ratio)
        setattr(full, name, eps)
        if hasattr(small, "normalized_shape"):
            cast(Any, small).normalized_shape = (len(index),)
        if _agree(full, small, index, len(kept), eps):
            whole.data = write(whole.detach(), sqrt(ratio))
            return "", {name: eps * ratio}
    return "with a rescaled weight and eps it does not give the same", {}


def _agree(full: nn.Module, small: nn.Module, index: Tensor, units: int, eps: float) -> bool:
    """Tell whether a norm over kept units gives what the full one gives where the others are zero."""
    generator = torch.Generator().manual_seed(0)
    for behind in ((), (1, 1)):
        # as large as its eps, so that both count
        x = torch.zeros(3, units, *behind, dtype=torch.float64, device=index.device)
        drawn = torch.randn(3, len(index), *behind, generator=generator, dtype=torch.float64)
        x[:, index] = drawn.to(index.device) * sqrt(max(eps, 1e-12))
        try:
            with torch.no_grad():
                expected, got = full(x)[:, index], small(x[:, index])
        except Exception:  # it takes another number of axes
            continue
        if difference(expected, got) <= _CLOSE:
            return True
    return False
