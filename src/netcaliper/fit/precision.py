"""The number format of the forward pass: float32, or bfloat16 where the machine computes convolutions in it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

Precision = Literal["float32", "bf16", "auto"]

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

AUTO_WEIGHTS = 200_000
"""Weights in convolutions from which ``"auto"`` takes bfloat16; much smaller networks gain nothing by it."""


def settled(model: nn.Module, precision: Precision) -> Literal["float32", "bf16"]:
    """Return what ``precision`` means for this model on its device.

    ``"auto"`` is bfloat16 if convolutions hold at least ``AUTO_WEIGHTS`` weights and the device has instructions for
    it. The same command can therefore train in another format on another machine; the record says in which.
    """
    if precision != "auto":
        return precision
    weights = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Conv2d))
    return "bf16" if weights >= AUTO_WEIGHTS and _has_bf16(_device(model)) else "float32"


@contextmanager
def laid_out(model: nn.Module, precision: Precision) -> Iterator[None]:
    """Keep the convolution weights of ``model`` in channels-last order inside the block if it computes in bfloat16."""
    if precision != "bf16":
        yield
        return
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    try:
        yield
    finally:
        model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]


def as_computed(value: Tensor, precision: Precision) -> Tensor:
    """Return images in the memory order in which they are convolved."""
    images = precision == "bf16" and value.ndim == 4 and value.is_floating_point()
    return value.contiguous(memory_format=torch.channels_last) if images else value


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Return the context of the forward pass; weights stay float32 in both formats."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    # float32 is faster where bfloat16 is only emulated.
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
