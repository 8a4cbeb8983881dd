"""The scalar nonlinearities that a zoo network can be built with, by name."""

from typing import Literal, get_args

from torch import nn

ActivationName = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "hardswish", "tanh", "sigmoid", "softplus"]

_MODULES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
}

ACTIVATIONS: tuple[ActivationName, ...] = get_args(ActivationName)


def activation(name: ActivationName) -> nn.Module:
    """Return a new module of the nonlinearity called ``name``, one of ``ACTIVATIONS``."""
    return _MODULES[name]()
