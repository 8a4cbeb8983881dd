"""Weights from a safetensors file into a model, only if every name and shape agrees; never a pickle."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from netcaliper.errors import SpecError

SHOWN = 4
"""Differences that a message names; it counts the rest."""


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        SpecError: the file is missing or not safetensors.
    """
    if not file.is_file():
        raise SpecError(f"`weights`: there is no file {str(file)!r}.")
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise SpecError(
            f"`weights`: {file.name!r} is not a readable safetensors file ({error}); write it anew with "
            "`safetensors.torch.save_file(model.state_dict(), ...)`."
        ) from error


def copy_weights(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy tensors into ``model`` in place, only if every name and shape agrees.

    A name that ``tensors`` leaves out is accepted if it is tied to one that they have. A floating-point tensor may be
    narrower than the model's (bfloat16 into float32), for no number changes.

    Args:
        model: to be filled.
        tensors: by the names of the model's state dict.
        source: what they come from, for the message.

    Raises:
        SpecError: a name, shape or dtype differs; the first few are named, and the model is then unchanged.
    """
    check_weights(model, tensors, source)
    own = model.state_dict()
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def check_weights(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Refuse tensors that ``copy_weights`` could not copy into ``model``, which may be on the meta device.

    Raises:
        SpecError: a name, shape or dtype differs; the first few are named.
    """
    found = differences(model, tensors)
    if found:
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise SpecError(
            f"`weights`: {source!r} does not fit the model: {'; '.join(found[:SHOWN])}{more}. Build the model with the "
            "arguments it was trained with, or give the weights of this architecture."
        )


def differences(model: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """Say in words where ``tensors`` depart from the state dict of ``model``: shapes, names, then dtypes."""
    own = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    both = [name for name in own if name in tensors]
    present = {_place(own[name]) for name in both}
    shapes = [
        f"{name!r} has shape {list(tensors[name].shape)} in the file and {list(own[name].shape)} in the model"
        for name in both
        if tensors[name].shape != own[name].shape
    ]
    missing = [
        f"the model's {name!r} of shape {list(tensor.shape)} is not in the file"
        for name, tensor in own.items()
        if name not in tensors and not (tensor.numel() > 0 and _place(tensor) in present)
    ]
    extra = [
        f"the file's {name!r} of shape {list(tensor.shape)} is not in the model"
        for name, tensor in tensors.items()
        if name not in own
    ]
    dtypes = [
        f"{name!r} is {tensors[name].dtype} in the file and {own[name].dtype} in the model"
        for name in both
        if not _exact(tensors[name].dtype, own[name].dtype)
    ]
    return [*shapes, *missing, *extra, *dtypes]


def _exact(source: torch.dtype, target: torch.dtype) -> bool:
    """Return whether every number of the one dtype is one of the other."""
    if source == target:
        return True
    return source.is_floating_point and target.is_floating_point and torch.promote_types(source, target) == target


def _place(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Identify the memory behind a tensor: tied names share it."""
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride()
