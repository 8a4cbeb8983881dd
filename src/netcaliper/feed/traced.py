"""A graph from what users bring: a module, or a graph that was traced before."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from netcaliper.errors import InputError
from netcaliper.trace.batches import as_batch, check_values, raw_batches
from netcaliper.trace.export import device_of
from netcaliper.trace.form import form_of
from netcaliper.trace.graph import Graph
from netcaliper.trace.trace import trace
from netcaliper.trace.wrappers import unwrapped


def traced(model: Any, data: Any, example: Any, device: str | torch.device | None, name: str | None) -> Graph:
    """Trace the model, or take the graph as it is.

    Args:
        model: a module or a graph.
        data: whose first batch is the example, unless one is given.
        example: a batch.
        device: where to run; a copy of the module is run on another device than its own.
        name: of the network.

    Raises:
        InputError: it is neither, or the device cannot be used.
    """
    if isinstance(model, Graph):
        if device is not None and torch.device(device) != model.device:
            raise InputError(
                f"`device` must be the graph's own {model.device}, got {device}; move the model there and trace it "
                "again."
            )
        return model
    if not isinstance(model, nn.Module):
        raise InputError(
            f"`model` must be a torch module or a graph from nc.trace, got {type(model).__name__}; pass the module."
        )
    if device is not None:
        try:
            model = deepcopy(model).to(device)
        except (RuntimeError, AssertionError) as problem:  # torch without CUDA asserts
            raise InputError(
                f'`device` must be one that torch can use here, got {device!r} ({problem}); try "cpu".'
            ) from None
    if example is None:
        example = next(raw_batches(data))
        check_values(as_batch(example, form=form_of(unwrapped(model))), "batch 0 of `data`")
    return trace(model, _moved(example, device_of(model)), name=name)


def _moved(raw: Any, device: torch.device) -> Any:
    """Bring the tensors of a raw batch to a device; what is on it already stays as it is."""
    if hasattr(raw, "to"):
        return raw.to(device)
    if isinstance(raw, np.ndarray):
        return torch.from_numpy(raw).to(device)
    if isinstance(raw, Mapping):
        return {key: _moved(value, device) for key, value in raw.items()}
    if isinstance(raw, (list, tuple)):
        return tuple(_moved(value, device) for value in raw)
    return raw
