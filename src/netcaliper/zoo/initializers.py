"""Initial weights by name: Glorot, He and LeCun, normal or uniform."""

import math
from contextlib import nullcontext
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from netcaliper.errors import InputError
from netcaliper.fit.seeds import seeded

InitializerName = Literal[
    "torch", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform"
]

INITIALIZERS: tuple[InitializerName, ...] = get_args(InitializerName)

TRUNCATED_SD = 0.87962566103423978
"""Standard deviation of a standard normal that is cut off at -2 and 2."""


def initialize(model: nn.Module, name: InitializerName, *, scale: float = 1.0, seed: int | None = None) -> None:
    """Draw the weights of every linear layer and convolution of ``model`` anew, in place, and set their biases to 0.

    The variance of an entry is ``scale^2 v`` with

        v = 2 / (fan_in + fan_out)   glorot (Glorot and Bengio 2010)
        v = 2 / fan_in               he     (He et al. 2015)
        v = 1 / fan_in               lecun  (LeCun et al. 1998)

    where ``fan_in`` is the number of inputs that one output reads (channels of its group times kernel size) and
    ``fan_out`` the outputs times kernel size. A *normal* is cut off at two standard deviations and widened so that its
    variance is ``v``: this is what TensorFlow, and with it "Frivolous Units" (Casper et al. 2021), means by
    ``glorot_normal`` and its sisters; torch's own ``xavier_normal_`` is not cut off. *uniform* is uniform on
    ``[-sqrt(3 v), sqrt(3 v)]``. Norm layers stay as they are.

    Args:
        model: any module; layers of other kinds are left alone.
        name: one of ``INITIALIZERS``; ``"torch"`` keeps what torch drew (times ``scale``, biases kept).
        scale: factor on the standard deviation of the weights.
        seed: of the draws; without it they come from torch's current random state. With it that state is left alone.

    Raises:
        InputError: the name is not known, or ``scale`` is not a positive number.
    """
    if name not in INITIALIZERS:
        raise InputError(f"`initializer` = {name!r} is not known; use one of: {', '.join(INITIALIZERS)}.")
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"`scale` must be a positive number, got {scale}.")
    with nullcontext() if seed is None else seeded(seed), torch.no_grad():
        for module in model.modules():
            if not isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
                continue
            if name == "torch":
                if seed is not None:
                    module.reset_parameters()
                module.weight *= scale
                continue
            _draw(module.weight, name, scale)
            if module.bias is not None:
                module.bias.zero_()


def fans(weight: Tensor) -> tuple[int, int]:
    """Return ``(fan_in, fan_out)`` of a weight ``[out, in, ...]``."""
    taps = weight[0, 0].numel()
    return weight.shape[1] * taps, weight.shape[0] * taps


def truncated_normal(weight: Tensor, sd: float, generator: torch.Generator | None = None) -> None:
    """Fill ``weight`` with draws of a normal of standard deviation ``sd``, cut off at ``2 sd``.

    The standard deviation of what is drawn is ``TRUNCATED_SD * sd``, as with TensorFlow's ``truncated_normal``.
    """
    nn.init.trunc_normal_(weight, 0.0, sd, -2 * sd, 2 * sd, generator=generator)


def _draw(weight: Tensor, name: InitializerName, scale: float) -> None:
    family, _, shape = name.partition("_")
    fan_in, fan_out = fans(weight)
    variance = {"glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in, "lecun": 1 / fan_in}[family]
    sd = scale * math.sqrt(variance)
    if shape == "normal":
        truncated_normal(weight, sd / TRUNCATED_SD)
    else:
        limit = math.sqrt(3) * sd
        nn.init.uniform_(weight, -limit, limit)
