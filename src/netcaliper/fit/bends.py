"""What the training loop asks of a network whose activations become linear by degrees."""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Bends(Protocol):
    """The three places at which ``netcaliper.bending.bending.Bending`` takes part in a training of its ``model``."""

    def penalty(self) -> Float[Tensor, ""]:
        """Return what is added to the loss of every batch."""
        ...

    def snap(self, optimizer: torch.optim.Optimizer | None = None) -> int:
        """Make exactly linear, after every update, what nearly is; return how many units are new among them."""
        ...

    def parameter_groups(self, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """Return the optimizer's groups: weights with ``weight_decay``, and what must have none."""
        ...
