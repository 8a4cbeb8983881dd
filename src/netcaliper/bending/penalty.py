"""The pull towards linear units: ``omega sum |1 - alpha|^(1/2)``, as a term of the loss or as a proximal step.

Source: Mehmeti-Göpel and Disselhoff, "Nonlinear Advantage" (ICML 2023); Xu et al., "L1/2 regularization" (2012).
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-4
"""Keeps the slope of the root finite: at most ``omega / (2 sqrt(EPSILON))``, that is 50 omega."""


def root_penalty(alphas: Sequence[Tensor], frozen: Sequence[Tensor], omega: float) -> Float[Tensor, ""]:
    """Return ``omega sum (|1 - alpha| + EPSILON)^(1/2)`` over the alphas that are not frozen.

    Args:
        alphas: the alphas of every call.
        frozen: which of them are frozen; they count nothing and get no gradient.
        omega: weight.
    """
    alpha, free = torch.cat(list(alphas)), ~torch.cat(list(frozen))
    distance = (1.0 - torch.where(free, alpha, torch.zeros_like(alpha))).abs()
    return omega * torch.where(free, (distance + EPSILON).sqrt(), torch.zeros_like(distance)).sum()


def half_threshold(z: Float[Tensor, " n"], lam: float) -> Float[Tensor, " n"]:
    """Return the x that minimizes ``(x - z)^2 + lam |x|^(1/2)``, for every entry.

    Zero up to ``|z| = 54^(1/3) / 4 lam^(2/3)``, beyond it ``(2/3) z (1 + cos(2 pi / 3 - (2/3) arccos((lam / 8)
    (|z| / 3)^(-3/2))))`` (Xu et al. 2012).
    """
    if lam <= 0.0:
        return z.clone()
    size = z.abs()
    border = 54.0 ** (1.0 / 3.0) / 4.0 * lam ** (2.0 / 3.0)
    outside = size > border
    safe = torch.where(outside, size, torch.full_like(size, border))
    angle = torch.arccos((lam / 8.0 * (safe / 3.0) ** -1.5).clamp(max=1.0))
    moved = 2.0 / 3.0 * z * (1.0 + torch.cos(2.0 * math.pi / 3.0 - 2.0 / 3.0 * angle))
    return torch.where(outside, moved, torch.zeros_like(z))
