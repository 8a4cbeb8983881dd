"""Examples that are held in memory and run again and again: those to fit on, and those to choose on."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from torch import Tensor

from netcaliper.feed.examples import chosen_examples
from netcaliper.stats.sampling import folds, held, positions
from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import Graph


@dataclass(frozen=True, eq=False)
class Held:
    """Examples in batches, on the device of the network.

    Attributes:
        batches: the examples.
        seed: of what is read of them.
    """

    batches: tuple[Batch, ...]
    seed: int

    @property
    def examples(self) -> int:
        """Number of examples."""
        return sum(batch.size for batch in self.batches)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Number of examples before each batch."""
        return tuple(np.cumsum([0, *(batch.size for batch in self.batches)])[:-1].tolist())

    def rows(
        self, number: int, width: int, wanted: int, valid: Bool[Tensor, "examples positions"] | None = None
    ) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
        """Choose rows of one batch, so that all batches together give about ``wanted``.

        Args:
            number: of the batch.
            width: rows that an example has.
            wanted: rows over all examples.
            valid: those that may be chosen, because they are no padding; ``None`` for all.

        Returns:
            For every row its example within the batch and its position.
        """
        batch = self.batches[number]
        rank = self.starts[number] + np.arange(batch.size)
        return positions(
            batch.indices.numpy(),
            rank,
            total=self.examples,
            rows=wanted,
            width=width,
            seed=self.seed,
            valid=None if valid is None else valid.cpu().numpy(),
        )

    def fold(self, number: int, count: int) -> Int[np.ndarray, " examples"]:
        """Return the fold of every example of a batch."""
        return folds(self.batches[number].indices.numpy(), self.seed, count).astype(np.int64)


def hold(graph: Graph, data: Iterable[Any], wanted: Bool[np.ndarray, " examples"], most: int, seed: int) -> Held:
    """Hold chosen examples, at most so many of them: which ones depends on (seed, index) alone.

    Args:
        graph: that will run them.
        data: any re-iterable of batches.
        wanted: for every example whether it may be held.
        most: number of examples.
        seed: of the choice.
    """
    inside = np.flatnonzero(wanted)
    chosen = np.zeros(len(wanted), dtype=bool)
    chosen[inside[held(len(inside), most, seed)]] = True
    batches = []
    for batch in chosen_examples(graph, data, chosen):
        if graph.dynamic_batch or batch.size == graph.traced_batch:
            batches.append(batch.to(graph.device))
    return Held(tuple(batches), seed)
