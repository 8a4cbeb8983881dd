"""The one start of all trainings: a network ready to bend, put back to its first weights whenever it is asked for."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from netcaliper.bending.bending import Bending
from netcaliper.linearize.asked import Asked, Granularity
from netcaliper.trace.batches import Batch


class Starts:
    """Traces the network once for each granularity that is used; that takes longer than many a training.

    Args:
        model: the network; what it holds when ``set_weights`` is called is the start.
        example: a batch to trace it with.
        asked: what is asked.
    """

    def __init__(self, model: nn.Module, example: Any, asked: Asked) -> None:
        self._model, self._example, self._asked = model, example, asked
        self._made: dict[Granularity, Bending] = {}
        self._first: dict[Granularity, dict[str, Tensor]] = {}
        self._fitted_on: Sequence[Batch] = ()
        self.own = self._bending(asked.granularity)

    def set_weights(self, fitted_on: Sequence[Batch]) -> None:
        """Take the present weights of the network as the start; lines and mean gates are fitted on these examples."""
        self._fitted_on = fitted_on
        for granularity in self._made:
            self._set(granularity)

    def fresh(self, granularity: Granularity | None = None) -> Bending:
        """Return the network at the start, all its units bending and free; the same object at every call."""
        granularity = granularity or self._asked.granularity
        if granularity not in self._made:
            self._bending(granularity)
            self._set(granularity)
        bending = self._made[granularity]
        bending.load_state_dict(self._first[granularity])
        for alphas in bending.parameter_groups()[1:]:
            for alpha in alphas["params"]:
                alpha.requires_grad_(True)
                alpha.grad = None
        return bending

    def _bending(self, granularity: Granularity) -> Bending:
        bending = Bending(
            self._model,
            self._example,
            omega=0.0,
            granularity=granularity,
            proximal=self._asked.proximal,
            alpha_rate=self._asked.alpha_rate,
        )
        self._made[granularity] = bending
        return bending

    def _set(self, granularity: Granularity) -> None:
        bending = self._made[granularity]
        bending.load_state_dict(bending.state_dict() | self._model.state_dict())
        bending.calibrate(self._fitted_on)
        self._first[granularity] = {name: tensor.detach().clone() for name, tensor in bending.state_dict().items()}
