"""Shallower networks of the same family with as many parameters: what depth is good for is seen beside them."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from netcaliper.errors import InputError
from netcaliper.zoo.models import ZOO, Network, build, name_of

WIDEST = 64.0
"""Networks are widened at most so many times."""
STEPS = 40


def shallower(model: nn.Module, *, seed: int = 0) -> tuple[Network, ...]:
    """Return untrained networks of the zoo with half the depth, a quarter, ..., widened to as many parameters.

    Depth counts hidden layers (``mlp``), convolutions a stage (``cnn``), blocks a stage (``resnet``), and blocks
    (``vit``, ``decoder``; of both halves of ``encoder_decoder``). All widths grow by one factor, found by bisection;
    the number of parameters is the nearest that whole units (multiples of ``heads``) allow.

    Args:
        model: a network of the zoo.
        seed: of the initial weights.

    Returns:
        The deepest first; none for a family without a depth (``alexnet``), or a network that is as shallow as can be.

    Raises:
        InputError: the network is not the zoo's.
    """
    name = name_of(model)
    if name is None or not isinstance(model, Network):
        raise InputError(
            f"`model` is a {type(model).__name__}; only networks of the zoo ({', '.join(ZOO)}) are made shallower by "
            "themselves: give untrained networks of your own (`shallow`)."
        )
    given, wanted = model.config.model_dump(), _parameters(model)
    made, depth = [], _depth(name, given) // 2
    while depth >= 1:
        at_depth = _AT_DEPTH[name](given, depth)
        made.append(build(name, _matched(name, at_depth, wanted), seed=seed))
        depth //= 2
    return tuple(made)


def _depth(name: str, arguments: Mapping[str, Any]) -> int:
    if name == "alexnet":
        return 0
    if name == "mlp":
        return len(arguments["widths"])
    return (arguments["depth"] - 2) // 6 if name == "resnet" else arguments["depth"]


def _mlp(arguments: Mapping[str, Any], depth: int) -> dict[str, Any]:
    return {**arguments, "widths": arguments["widths"][:depth], "init_sds": None}


def _resnet(arguments: Mapping[str, Any], depth: int) -> dict[str, Any]:
    return {**arguments, "depth": 6 * depth + 2}


def _blocks(arguments: Mapping[str, Any], depth: int) -> dict[str, Any]:
    found = {**arguments, "depth": depth}
    if found.get("decoder_depth") is not None:
        found["decoder_depth"] = max(1, round(found["decoder_depth"] * depth / arguments["depth"]))
    return found


_AT_DEPTH: dict[str, Callable[[Mapping[str, Any], int], dict[str, Any]]] = {
    "cnn": _blocks, "decoder": _blocks, "encoder_decoder": _blocks, "mlp": _mlp, "resnet": _resnet, "vit": _blocks,
}  # fmt: skip


def _matched(name: str, arguments: dict[str, Any], wanted: int) -> dict[str, Any]:
    """Return the arguments with all widths times the factor whose network has nearest to ``wanted`` parameters."""
    low, high = 1.0, WIDEST
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _size(name, _widened(name, arguments, middle)) < wanted:
            low = middle
        else:
            high = middle
    return min(
        (_widened(name, arguments, factor) for factor in (low, high)),
        key=lambda found: abs(_size(name, found) - wanted),
    )


def _widened(name: str, arguments: Mapping[str, Any], factor: float) -> dict[str, Any]:
    if name == "mlp":
        return {**arguments, "widths": [max(1, round(factor * width)) for width in arguments["widths"]]}
    if name in ("cnn", "resnet"):
        return {**arguments, "width": factor * arguments["width"]}
    heads = arguments["heads"]
    ffn = arguments["ffn"]
    width = heads * max(1, round(factor * arguments["width"] / heads))
    return {**arguments, "width": width, "ffn": None if ffn is None else max(1, round(factor * ffn))}


def _size(name: str, arguments: Mapping[str, Any]) -> int:
    with torch.device("meta"):
        return _parameters(build(name, arguments))


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
