"""The bent activation: ``f = alpha t(x) + (1 - alpha) phi(x)`` with its gradients, saving its input only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from netcaliper.bending.target import Target


@dataclass(frozen=True)
class Phi:
    """The function that is bent, as one call has it.

    Attributes:
        function: returns the value; takes the input, then the extra tensors.
        in_place: the function writes over its input and returns it.
        slope: slope below zero of the ReLU family, ``None`` for other functions.
    """

    function: Callable[..., Tensor]
    in_place: bool
    slope: float | None

    def value(self, x: Tensor, *extra: Tensor) -> Tensor:
        """Return phi(x); ``x`` stays as it is."""
        return self.function(x.clone() if self.in_place else x, *extra)

    def pull(self, gradient: Tensor, x: Tensor, *extra: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return phi(x), and the gradients of x and of the extra tensors, by the function's own backward.

        The same kernels as without bending, so that the gradients are the same bit for bit.
        """
        with torch.enable_grad():
            leaves = [tensor.detach().requires_grad_() for tensor in (x, *extra)]
            value = self.value(*leaves)
        return value.detach(), list(torch.autograd.grad(value, leaves, gradient))


class Bent(torch.autograd.Function):
    """``f = alpha t(x) + (1 - alpha) phi(x)``, alpha one value a unit.

    Gradients: of x ``g (alpha t' + (1 - alpha) phi')``, of alpha the sum over all positions of ``g (t - phi)``, zero
    where a unit is frozen. phi is evaluated again in the backward pass, so that only x is saved. Exactly phi where
    alpha is 0 and exactly t where it is 1, also where one of them is infinite.
    """

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        x: Tensor,
        alpha: Float[Tensor, " units"],
        frozen: Bool[Tensor, " units"],
        axis: int,
        phi: Phi,
        target: Target,
        in_place: bool,
        *extra: Tensor,
    ) -> Tensor:
        """Return f; with ``in_place`` it is written over x, which is saved first."""
        ctx.axis, ctx.phi, ctx.target, ctx.units = axis, phi, target, alpha.shape[0]
        needed = any(ctx.needs_input_grad)
        source = x.clone() if in_place and needed else x
        mix = _Mix(alpha, frozen, axis, x.dim())
        y = _value(mix, phi, target, source, extra)
        ctx.dtype = y.dtype
        ctx.save_for_backward(source, alpha, frozen, *extra)
        if not in_place:
            return y
        ctx.mark_dirty(x)
        return x.copy_(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the gradients of x, of alpha and of the extra tensors."""
        x, alpha, frozen, *extra = ctx.saved_tensors
        mix = _Mix(alpha, frozen, ctx.axis, x.dim())
        own = x.to(ctx.dtype)
        of_x, of_alpha, of_extra = _gradients(mix, ctx, gradient, own, extra)
        if of_alpha is not None:
            of_alpha = of_alpha.to(alpha.dtype).masked_fill(frozen, 0.0)
        return of_x.to(x.dtype), of_alpha, None, None, None, None, None, *of_extra


class _Mix:
    """The alphas of one call, laid out along the axis of the units, and whether any of them is exactly 0 or 1."""

    def __init__(self, alpha: Tensor, frozen: Tensor, axis: int, rank: int) -> None:
        alpha = alpha.detach()
        self.alpha = torch.where(frozen, torch.ones_like(alpha), alpha)
        self.layout = [1] * rank
        self.layout[axis] = -1
        self.axis, self.units = axis, alpha.shape[0]
        on_cpu = alpha.device.type == "cpu"  # elsewhere to look would make the host wait for the device
        zero = self.alpha == 0
        self.all_zero = on_cpu and bool(zero.all())
        self.some_zero = not on_cpu or bool(zero.any())
        self.some_one = not on_cpu or bool((self.alpha == 1).any())

    def along(self, vector: Tensor) -> Tensor:
        return vector.reshape(self.layout)

    def weight(self, dtype: torch.dtype) -> Tensor:
        return self.along(self.alpha).to(dtype)

    def rest(self, dtype: torch.dtype) -> Tensor:
        """Return 1 - alpha, rounded once."""
        return self.along(1.0 - self.alpha).to(dtype)

    def exact(self, mixed: Tensor, at_zero: Callable[[], Tensor], at_one: Callable[[], Tensor] | None) -> Tensor:
        """Put the exact values where alpha is 0 or 1: a product of 0 with infinity is no number."""
        if self.some_zero:
            mixed = torch.where(self.along(self.alpha == 0), at_zero(), mixed)
        if self.some_one and at_one is not None:
            mixed = torch.where(self.along(self.alpha == 1), at_one(), mixed)
        return mixed

    def sum(self, value: Tensor) -> Tensor:
        """Sum over everything but the units, in float32 at least."""
        dtype = torch.promote_types(value.dtype, torch.float32)
        if self.units == 1:
            return value.sum(dtype=dtype).reshape(1)
        if self.axis < value.dim() - 1:  # rows in memory order first: several times faster than all axes at once
            value = value.flatten(self.axis + 1).sum(-1, dtype=dtype)
        return value.flatten(0, self.axis - 1).sum(0, dtype=dtype) if self.axis else value.to(dtype)


def _slopes(mix: _Mix, slope: float, dtype: torch.dtype) -> Tensor:
    """Return the slopes below zero of the bent ReLU family: ``alpha + (1 - alpha) s``."""
    return mix.along(mix.alpha + (1.0 - mix.alpha) * slope).to(dtype)


def _value(mix: _Mix, phi: Phi, target: Target, x: Tensor, extra: tuple[Tensor, ...]) -> Tensor:
    if mix.all_zero:
        return phi.value(x, *extra)
    if phi.slope is not None and target.is_identity:
        bent = torch._prelu_kernel(x, _slopes(mix, phi.slope, x.dtype))
        return mix.exact(bent, lambda: phi.value(x), None)
    y = phi.value(x, *extra)
    t = target.value(x, mix.along).to(y.dtype)
    return mix.exact(torch.lerp(y, t, mix.weight(y.dtype)), lambda: y, lambda: t)


def _gradients(
    mix: _Mix, ctx: Any, g: Tensor, x: Tensor, extra: list[Tensor]
) -> tuple[Tensor, Tensor | None, list[Tensor]]:
    phi, target, of_alpha = ctx.phi, ctx.target, None
    if phi.slope is not None and target.is_identity:
        above = _relu_backward(g, x, phi.slope)
        below = g - above  # (1 - slope) g where x <= 0, else 0
        if ctx.needs_input_grad[1]:
            of_alpha = mix.sum(below * x)
        if mix.all_zero:
            return above, of_alpha, []
        of_x = torch.addcmul(above, below, mix.weight(g.dtype))
        of_x = mix.exact(of_x, lambda: above, (lambda: g) if phi.slope else None)  # 0 + (g - 0) is g, 0.1 g is not
        return of_x, of_alpha, []
    y, (of_x, *of_extra) = phi.pull(g if mix.all_zero else g * mix.rest(g.dtype), x, *extra)
    if not mix.all_zero:
        of_x = of_x + target.pull(g * mix.weight(g.dtype), mix.along)
    if ctx.needs_input_grad[1]:
        of_alpha = mix.sum(g * (target.value(x, mix.along).to(y.dtype) - y))
    return of_x, of_alpha, of_extra


def _relu_backward(g: Tensor, x: Tensor, slope: float) -> Tensor:
    if slope == 0.0:
        return torch.ops.aten.threshold_backward(g, x, 0)
    return torch.ops.aten.leaky_relu_backward(g, x, slope, False)
