"""What a unit becomes when it no longer bends: ``t(x) = a x + c``, or for a gate its mean."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Along = Callable[[Tensor], Tensor]
"""Lays a vector of units out along their axis of a value."""


@dataclass(frozen=True)
class Identity:
    """``t(x) = x``."""

    is_identity: bool = True

    def value(self, x: Tensor, along: Along) -> Tensor:
        """Return x."""
        return x

    def pull(self, gradient: Tensor, along: Along) -> Tensor:
        """Return the gradient of x."""
        return gradient


@dataclass(frozen=True)
class Affine:
    """``t(x) = a x + c``, a and c one number a unit."""

    a: Tensor
    c: Tensor
    is_identity: bool = False

    def value(self, x: Tensor, along: Along) -> Tensor:
        """Return a x + c."""
        return torch.addcmul(along(self.c).to(x.dtype), x, along(self.a).to(x.dtype))

    def pull(self, gradient: Tensor, along: Along) -> Tensor:
        """Return the gradient of x."""
        return gradient * along(self.a).to(gradient.dtype)


@dataclass(frozen=True)
class HalfTimesMean:
    """``t(u, g) = u c``: the target of ``glu``, whose input holds u and the gate's input g one after the other."""

    c: Tensor
    axis: int
    is_identity: bool = False

    def value(self, x: Tensor, along: Along) -> Tensor:
        """Return u c."""
        return x.chunk(2, self.axis)[0] * along(self.c).to(x.dtype)

    def pull(self, gradient: Tensor, along: Along) -> Tensor:
        """Return the gradient of (u, g)."""
        return torch.cat([gradient * along(self.c).to(gradient.dtype), torch.zeros_like(gradient)], self.axis)


Target = Identity | Affine | HalfTimesMean
