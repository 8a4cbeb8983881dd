"""The judge: how far a smaller network is from the original one on examples that are held."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from netcaliper.errors import InputError
from netcaliper.feed.outputs import Prediction, Task, divergence, prediction
from netcaliper.measure.replacement import Agreement, Summary, distance
from netcaliper.shrink.held import Held
from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import NODE, Graph, Override


@dataclass(frozen=True)
class Judgment:
    """What was seen of a smaller network.

    Attributes:
        agreement: with the original one.
        divergence: mean Kullback-Leibler divergence of its answers in nats; of a regression the squared error over the
            scatter of the answers.
    """

    agreement: Agreement
    divergence: float


class Judge:
    """Answers of the original network to held examples, to be compared with those of others.

    Args:
        graph: the original network.
        held: the examples.

    Raises:
        InputError: the output is no prediction.
    """

    def __init__(self, graph: Graph, held: Held) -> None:
        self.held = held
        self._plain: list[Prediction] = []
        self._summary = Summary()
        for batch in held.batches:
            plain = prediction(graph.run(batch).output, batch)
            if isinstance(plain, str):
                raise InputError(
                    f"`model` must return scores or values that can be compared, but {plain}; return the logits of an"
                    " example or of its tokens (scores of pixels are not judged)."
                )
            self._plain.append(plain)
            self._summary.update(plain)

    @property
    def task(self) -> Task:
        """What is answered."""
        return self._plain[0].task

    @property
    def largest_class(self) -> float | None:
        """Share of the most frequent class among the original network's answers."""
        return self._summary.largest_class()

    def judge(self, run: Callable[[Batch], Any]) -> Judgment:
        """Run a smaller network on all batches and compare."""
        each, lost, largest = [], [], 0.0
        for batch, plain in zip(self.held.batches, self._plain, strict=True):
            changed = plain.of(run(batch))
            each.append(distance(plain, changed))
            lost.append(each[-1] if plain.task == "regression" else divergence(plain, changed).cpu().numpy())
            largest = max(largest, float((plain.scores - changed.scores).abs().max()))
        losses = np.concatenate(lost)
        losses = self._summary.relative(losses) if self.task == "regression" else losses
        return Judgment(self._summary.agreement(each, largest), float(losses.mean()))


def without(graph: Graph, dropped: Sequence[str] = ()) -> Callable[[Batch], Any]:
    """Return what runs a graph with the values of some nodes at 0 (branches of residual blocks that are left out)."""
    overrides: Mapping[str, Override] = {NODE + name: torch.zeros_like for name in dropped}

    def run(batch: Batch) -> Any:
        return graph.run(batch, overrides=overrides).output

    return run
