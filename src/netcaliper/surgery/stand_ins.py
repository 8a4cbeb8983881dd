"""What can stand in the place of a module that is left out."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

Replacement = Literal["identity", "relu", "first", "zero"]


class First(nn.Module):
    """Gives back its first input, whatever else it is called with."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the first input."""
        return args[0] if args else next(iter(kwargs.values()))


class Zero(First):
    """Gives zeros of the shape of its first input, whatever else it is called with."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(super().forward(*args, **kwargs))


STAND_INS: dict[str, type[nn.Module]] = {"identity": nn.Identity, "relu": nn.ReLU, "first": First, "zero": Zero}
"""What can stand in the place of a module: ``identity`` and ``first`` pass their (first) input on."""


def put_in(module: nn.Module, replaced: Mapping[str, Replacement]) -> None:
    """Replace modules by path, in place."""
    for path, kind in replaced.items():
        module.set_submodule(path, STAND_INS[kind]().train(module.training))


@contextmanager
def put_in_for_now(module: nn.Module, replaced: Mapping[str, Replacement]) -> Iterator[None]:
    """Replace modules by path, in place, and put the old ones back at the end."""
    old: dict[str, nn.Module] = {}
    try:
        for path, kind in replaced.items():
            old[path] = module.get_submodule(path)
            put_in(module, {path: kind})
        yield
    finally:
        for path, one in reversed(old.items()):
            module.set_submodule(path, one)
