"""Which function calls are activation calls, and whether a call works in place."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_NAMES = (
    "relu", "relu6", "leaky_relu", "prelu", "elu", "celu", "selu", "gelu", "silu", "mish", "hardswish", "hardsigmoid",
    "hardtanh", "sigmoid", "tanh", "softplus", "log_sigmoid", "logsigmoid", "softsign", "threshold", "_threshold",
    "hardshrink", "softshrink", "tanhshrink", "abs", "absolute", "clamp", "clip", "clamp_min", "clamp_max", "glu",
    "rrelu",
)  # fmt: skip


def _table() -> dict[Any, tuple[str, bool]]:
    """Return the name of every function that is an activation, and whether it is its in-place form."""
    table: dict[Any, tuple[str, bool]] = {}
    for home in (F, torch, Tensor, torch._C._nn):  # pyright: ignore[reportAttributeAccessIssue]
        for name in _NAMES:
            for written, in_place in ((name, False), (f"{name}_", True)):
                function = getattr(home, written, None)
                if function is not None:
                    table[function] = (name.lstrip("_"), in_place)
    return table


_TABLE = _table()


def activation_name(function: Callable[..., Any]) -> str | None:
    """Return the name of an activation function, ``None`` for any other function."""
    found = _TABLE.get(function)
    return found[0] if found else None


def works_in_place(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Tell whether a call of an activation function writes its result over its input."""
    if _TABLE[function][1] or bool(kwargs.get("inplace", False)):
        return True
    place = _place_of_inplace.get(function)
    return place is not None and len(args) > place and bool(args[place])


def _places() -> dict[Any, int]:
    """Return where ``inplace`` stands among the arguments of the functions that take it by position."""
    places = {}
    for function in _TABLE:
        if inspect.isfunction(function):
            names = list(inspect.signature(function).parameters)
            if "inplace" in names:
                places[function] = names.index("inplace")
    return places


_place_of_inplace = _places()


def slope_below_zero(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> float | None:
    """Return the slope below zero of the ReLU family (ReLU 0, leaky ReLU its own), ``None`` for other functions."""
    if name == "relu":
        return 0.0
    if name == "leaky_relu":
        return float(args[1] if len(args) > 1 else kwargs.get("negative_slope", 0.01))
    return None
