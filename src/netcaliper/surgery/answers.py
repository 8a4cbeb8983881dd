"""Whether two networks give the same answer to one batch."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from netcaliper.trace.batches import Batch
from netcaliper.trace.program import tensors_of


def answer(module: nn.Module, batch: Batch) -> Any:
    """Return what a module gives for a batch, without gradients."""
    with torch.no_grad():
        return module(*batch.args, **batch.kwargs)


def in_float64(batch: Batch) -> Batch:
    """Return a batch with its floating-point inputs in float64."""

    def wide(value: Any) -> Any:
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    return replace(batch, args=tuple(map(wide, batch.args)), kwargs={k: wide(v) for k, v in batch.kwargs.items()})


def difference(expected: Any, found: Any) -> float:
    """Return the largest difference of two answers, relative to the largest value of the expected one.

    It is infinite where the answers have other tensors or shapes, or where one has a NaN and the other has not.
    """
    pairs = list(zip(tensors_of(expected), tensors_of(found), strict=False))
    if len(tensors_of(expected)) != len(tensors_of(found)):
        return float("inf")
    return max((_difference(a.double(), b.double()) for a, b in pairs), default=0.0)


def _difference(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape:
        return float("inf")
    if a.numel() == 0:
        return 0.0
    gap = torch.where((a == b) | (a.isnan() & b.isnan()), 0.0, (a - b).abs())
    finite = a[torch.isfinite(a)]
    scale = max(float(finite.abs().max()), 1e-30) if finite.numel() else 1.0
    return float(torch.nan_to_num(gap, nan=float("inf"), posinf=float("inf")).max()) / scale
