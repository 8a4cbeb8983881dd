"""Small networks that are compared, and digits to compare them on."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from jaxtyping import config
from torch import Tensor, nn

from netcaliper.fit.seeds import seeded
from netcaliper.fit.train import fit
from netcaliper.trace.graph import Graph
from netcaliper.trace.trace import trace
from netcaliper.zoo.batches import Batches
from netcaliper.zoo.data import Options, digits
from netcaliper.zoo.mlp import MLP


@cache
def _digits(examples: int) -> Batches:
    return digits(options=Options(examples=examples))


def data(examples: int = 120, size: int = 40) -> list[tuple[Tensor, Tensor]]:
    """Return labelled batches of digits."""
    every = _digits(examples)
    assert every.y is not None
    return list(zip(every.x.split(size), every.y.split(size), strict=True))


def mlp(seed: int = 0, **options: Any) -> MLP:
    """Return a network before training, always with the same weights."""
    with seeded(seed):
        return MLP(**{"widths": (12, 8), **options}).eval()


@cache
def trained(seed: int, widths: tuple[int, ...] = (12, 8)) -> MLP:
    """Return a network that gets most of the digits right; do not change it."""
    model = mlp(seed, widths=widths)
    fit(model, digits("train", batch_size=64), epochs=1, learning_rate=0.02, seed=seed)
    return model.eval()


@cache
def graph(seed: int = 0, **options: Any) -> Graph:
    """Return the graph of an ``mlp``; those of one architecture are traced once."""
    if seed:
        return graph(0, **options).with_state(mlp(seed, **options).state_dict())
    return trace(mlp(0, **options), data()[0][0], name="mlp")


def state(model: nn.Module) -> dict:
    """Return everything about a module that must not change."""
    return {
        "tensors": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "modes": [module.training for module in model.modules()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "gradients": [(p.requires_grad, p.grad is None) for p in model.parameters()],
    }


def unchanged(model: nn.Module, before: dict) -> bool:
    """Tell whether a module is as it was."""
    now = state(model)
    tensors, old = now.pop("tensors"), before["tensors"]
    return now == {key: value for key, value in before.items() if key != "tensors"} and all(
        torch.equal(tensors[name], old[name]) for name in old
    )


@contextmanager
def unchecked() -> Iterator[None]:
    """Call what is called inside as users do: without the checks of annotated types that only tests run with."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", before)
