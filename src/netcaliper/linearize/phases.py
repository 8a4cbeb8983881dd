"""The phases of one training: the penalty, which may rise until a target is met, then frozen alphas."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from netcaliper.bending.bending import Bending


class Phases:
    """A ``Bending`` that takes part in a training, with its penalty on for some epochs only.

    In epoch e = 1, 2, ... up to ``penalized`` the penalty has strength ``omega * rise^(e - 1)``, unless the target is
    met; from then on the alphas are frozen, and only the weights are trained. Nothing but the epoch and the alphas
    decides, so that a resumed training goes on in the right phase.

    Attributes:
        bending: the network.
        frozen: whether the alphas are frozen by now.
        omega: strength of the last penalty.

    Args:
        bending: the network.
        omega: strength of the penalty in the first epoch.
        penalized: epochs with a penalty at most.
        rise: its factor from one epoch to the next.
        met: whether the target is met; asked before every epoch, and after an update that made a unit linear.
    """

    def __init__(
        self,
        bending: Bending,
        omega: float,
        penalized: int,
        *,
        rise: float = 1.0,
        met: Callable[[], bool] | None = None,
    ) -> None:
        self.bending = bending
        self.frozen = False
        self.omega = omega
        self._omega, self._penalized, self._rise, self._met = omega, penalized, rise, met

    def begin(self, epoch: int) -> None:
        """Set the penalty of an epoch, counted from 1."""
        if epoch > self._penalized or (self._met is not None and self._met()):
            self._freeze()
        else:
            self.omega = self.bending.omega = self._omega * self._rise ** (epoch - 1)

    def penalty(self) -> Float[Tensor, ""]:
        """Return the penalty of the running epoch."""
        return self.bending.penalty()

    def snap(self, optimizer: torch.optim.Optimizer | None = None) -> int:
        """Snap, and freeze all alphas as soon as the target is met."""
        new = self.bending.snap(optimizer)
        if new and not self.frozen and self._met is not None and self._met():
            self._freeze()
        return new

    def parameter_groups(self, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """Return the groups of the ``Bending``."""
        return self.bending.parameter_groups(weight_decay)

    def _freeze(self) -> None:
        self.frozen = True
        self.bending.omega = 0.0
        self.bending.freeze()
