"""Weights from a safetensors file into a model, only if every name, shape and dtype agrees; never a pickle."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from netcaliper.errors import SpecError


def load_weights(model: nn.Module, file: Path) -> None:
    """Copy the tensors of a safetensors file into ``model`` in place.

    A name that the file leaves out is accepted if it is tied to one that the file has.

    Raises:
        SpecError: the file is missing or not safetensors, or a name, shape or dtype differs; the first one is named,
            and the model is then unchanged.
    """
    if not file.is_file():
        raise SpecError(f"`weights`: there is no file {str(file)!r}.")
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise SpecError(
            f"`weights`: {file.name!r} is not a readable safetensors file ({error}); "
            "pickled weights (.pt, .pth, .bin) are never loaded: convert them once with "
            "`safetensors.torch.save_file(model.state_dict(), ...)`."
        ) from error
    difference = first_difference(model, tensors)
    if difference is not None:
        raise SpecError(f"`weights`: {file.name!r} does not fit the model: {difference}")
    own = model.state_dict()
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def first_difference(model: nn.Module, tensors: dict[str, Tensor]) -> str | None:
    """Say in words where ``tensors`` first departs from the state dict of ``model``, ``None`` if nowhere."""
    own = model.state_dict()
    present = {_place(own[name]) for name in tensors if name in own}
    for name, tensor in own.items():
        if name not in tensors:
            if tensor.numel() > 0 and _place(tensor) in present:
                continue
            return f"the model's {name!r} of shape {list(tensor.shape)} is not in the file."
        if tensors[name].shape != tensor.shape:
            return (
                f"{name!r} has shape {list(tensors[name].shape)} in the file and {list(tensor.shape)} in the model; "
                "build the model with the arguments it was trained with."
            )
        if tensors[name].dtype != tensor.dtype:
            return (
                f"{name!r} is {tensors[name].dtype} in the file and {tensor.dtype} in the model; convert one of them."
            )
    extra = next((name for name in tensors if name not in own), None)
    return None if extra is None else f"the file's {extra!r} of shape {list(tensors[extra].shape)} is not in the model."


def _place(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Identify the memory behind a tensor: tied names share it."""
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride()
