"""Batches that are read from disk anew in every pass."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Int

from netcaliper.errors import InputError


class Stream:
    """A re-iterable of batches, always in the order of the examples; never more than a few batches are in memory.

    Attributes:
        dataset: indices of the examples; ``len(dataset)`` is their number.
        batch_size: examples a batch; the last one may be smaller.
        prepared: what was done to the examples, in words.

    Raises:
        InputError: ``batch_size`` is not positive.
    """

    def __init__(self, examples: int, batch_size: int, read: Callable[[], Iterator[Any]], prepared: str) -> None:
        check_batch_size(batch_size)
        self.dataset = range(examples)
        self.batch_size = batch_size
        self.prepared = prepared
        self._read = read

    def __len__(self) -> int:
        """Return the number of batches."""
        return (len(self.dataset) + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[Any]:
        return self._read()


class Indexed(Stream):
    """A stream whose examples can be read in any order, which a training asks for.

    Args:
        examples: their number.
        batch_size: examples a batch.
        batch: makes a batch of the examples with these numbers.
        prepared: what was done to the examples, in words.
    """

    def __init__(
        self, examples: int, batch_size: int, batch: Callable[[Int[np.ndarray, " n"]], Any], prepared: str
    ) -> None:
        super().__init__(examples, batch_size, self._batches, prepared)
        self._batch = batch
        self._order = np.arange(examples)

    def epoch(self, number: int, seed: int) -> "Indexed":
        """Return the same examples in an order drawn from ``(seed, number)``; no global random state is touched."""
        shuffled = Indexed(len(self.dataset), self.batch_size, self._batch, self.prepared)
        shuffled._order = np.random.default_rng((seed, number)).permutation(len(self.dataset))
        return shuffled

    def _batches(self) -> Iterator[Any]:
        for start in range(0, len(self._order), self.batch_size):
            yield self._batch(self._order[start : start + self.batch_size])


def check_batch_size(batch_size: int) -> None:
    """Refuse batches of nothing, before a file is opened."""
    if batch_size < 1:
        raise InputError(f"`batch_size` must be at least 1, got {batch_size}.")
