"""What the untouched network predicts for the examples that are ablated, and whether agreeing with it says anything."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int

from netcaliper.feed.outputs import MAJORITY, Prediction, Task, choices, prediction, weights
from netcaliper.feed.protocol import Plan
from netcaliper.stats.kappa import Tally
from netcaliper.stats.sampling import SELECT
from netcaliper.trace.batches import Batch


class Untouched:
    """Predictions of the network as it is, for the first select examples.

    Args:
        plan: which examples are select examples.
        examples: the first so many of them are read.

    Attributes:
        task: what the network predicts, known after the first batch.
        classes: number of scores of a prediction.
        bytes: size of the scores of one example.
        seen: which of the examples were read.
        reason: why the network predicts nothing that could be compared, in words.
    """

    def __init__(self, plan: Plan, examples: int) -> None:
        self.plan, self.examples = plan, examples
        self.task: Task | None = None
        self.classes = 1
        self.bytes = 1
        self.seen = np.zeros(examples, dtype=bool)
        self.reason: str | None = None
        self._chosen = Tally(1, 1)
        self._values = np.empty((examples, 0))
        self._eps = 0.0

    def wanted(self, index: Int[np.ndarray, " n"]) -> Int[np.ndarray, " wanted"]:
        """Return which of some examples are read: select examples of rank below ``examples``."""
        return np.flatnonzero((self.plan.split[index] == SELECT) & (self.plan.rank[index] < self.examples))

    def update(self, batch: Batch, output: Any) -> Prediction | None:
        """Take in what the network returned for a batch; examples that were seen before count once.

        Returns:
            What it predicts for the whole batch, ``None`` if that is nothing that could be compared.
        """
        found = prediction(output, batch)
        if isinstance(found, str):
            self.reason = self.reason or found
            return None
        if self.task is None:
            self.task = found.task
            self.classes = found.scores.shape[-1]
            self.bytes = found.scores[0].numel() * found.scores.element_size()
            self._chosen = Tally(1, self.classes)
        index = batch.indices.numpy()
        mine = self.wanted(index)
        mine = mine[~self.seen[self.plan.rank[index[mine]]]]
        columns, first = np.unique(self.plan.rank[index[mine]], return_index=True)  # a batch may be filled up
        mine = mine[first]
        self.seen[columns] = True
        here = torch.from_numpy(mine).to(found.scores.device)
        if found.task == "regression":
            if not self._values.shape[1]:
                self._values = np.zeros((self.examples, found.scores.shape[1]))
            self._values[columns] = found.scores[here].double().cpu().numpy()
            self._eps = torch.finfo(found.scores.dtype).eps
        else:
            chosen, weight = (part[here].flatten().cpu().numpy() for part in (choices(found), weights(found)))
            self._chosen.update(chosen[None], weight)
        return found

    def merge(self, other: "Untouched") -> None:
        """Take in what another one has seen of other examples; if there are none, nothing is taken in twice."""
        self.reason = self.reason or other.reason
        if other.task is None or not np.any(other.seen & ~self.seen):
            return
        if self.task is None:
            self.task, self.classes, self.bytes, self._eps = other.task, other.classes, other.bytes, other._eps
            self._chosen = Tally(1, other.classes)
            self._values = np.zeros_like(other._values)
        self._values[other.seen] = other._values[other.seen]
        self._chosen.merge(other._chosen)
        self.seen |= other.seen

    def shares(self) -> Float64[np.ndarray, " classes"]:
        """Return the share of every class (token) among the predictions."""
        return self._chosen.shares(0)

    def scale(self) -> Float64[np.ndarray, " seen"]:
        """Return by example what an agreement is relative to: 1, of a regression ``||y0 - mean||^2``."""
        if self.task != "regression":
            return np.ones(int(self.seen.sum()))
        values = self._values[self.seen]
        return ((values - values.mean(0)) ** 2).sum(1)

    def undefined(self) -> str | None:
        """Say why agreement with this network says nothing, if it does not."""
        if self.task == "regression":
            rounding = (4 * self._eps) ** 2 * float((self._values[self.seen] ** 2).sum())
            if float(self.scale().sum()) > rounding:
                return None
            return "undefined: the outputs are the same for all examples, so that no error is relative to anything"
        share = float(self.shares().max())
        if share <= MAJORITY:
            return None
        return (
            f"undefined: one {'token' if self.task == 'tokens' else 'class'} holds {share:.1%} of the predictions of "
            f"the untouched network (more than {MAJORITY:.0%}), so that a constant answer would agree with it too"
        )
