"""Tensors in memory, handed out in batches, as often as anybody asks."""

from collections.abc import Callable, Iterator
from copy import copy

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor
from torch.utils.data import TensorDataset

from netcaliper.errors import DataError, InputError


class Batches:
    """A re-iterable of ``(x, y)`` batches, or of ``x`` alone without labels, always in the order of the examples.

    Inputs that are stored as bytes are handed out as floats in [0, 1], then ``prepare`` changes them. For training,
    ``epoch`` gives the same examples in a random order that depends only on its arguments, and ``unprepared`` leaves
    the second step out.

    Attributes:
        x: inputs ``[examples, ...]``, as they are stored.
        y: integer labels ``[examples]``, or ``None``.
        batch_size: examples a batch; the last one may be smaller.
        prepare: what is done to the inputs of a batch after a training may have augmented them (standardization).
        dataset: the examples one by one, as they are stored; ``len(dataset)`` is their number.

    Raises:
        DataError: there is no example, or ``x`` and ``y`` differ in length.
        InputError: ``batch_size`` is not positive.
    """

    def __init__(
        self,
        x: Shaped[Tensor, "..."],
        y: Int[Tensor, "..."] | None = None,
        *,
        batch_size: int = 256,
        prepare: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"`batch_size` must be at least 1, got {batch_size}.")
        if x.ndim == 0 or len(x) == 0:
            raise DataError(f"`x` holds no example: its shape is {list(x.shape)}; the first axis counts examples.")
        if y is not None and y.shape != x.shape[:1]:
            raise DataError(
                f"`y` must hold one label for each of the {len(x)} examples of `x`, got shape {list(y.shape)}; "
                "leave `y` out if there are no labels."
            )
        self.x = x
        self.y = y
        self.batch_size = batch_size
        self.prepare = prepare or _as_they_are
        self.dataset = TensorDataset(*self._tensors())
        self._order = torch.arange(len(x))

    def __len__(self) -> int:
        """Return the number of batches."""
        return (len(self.x) + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[Tensor | tuple[Tensor, Tensor]]:
        for index in self._order.split(self.batch_size):
            x = self.x[index]
            x = self.prepare(x.float() / 255 if x.dtype is torch.uint8 else x)
            yield x if self.y is None else (x, self.y[index])

    def epoch(self, number: int, seed: int) -> "Batches":
        """Return the same examples in an order drawn from ``(seed, number)``; torch's random state is not touched."""
        # The generator reads 32 bits; the odd multiplier keeps (seed, number) and (seed + 1, number - 1) apart.
        generator = torch.Generator().manual_seed((seed * 0x9E3779B1 + number) % 2**32)
        shuffled = copy(self)
        shuffled._order = torch.randperm(len(self.x), generator=generator)
        return shuffled

    def unprepared(self) -> "Batches":
        """Return the same examples as they come before ``prepare``."""
        plain = copy(self)
        plain.prepare = _as_they_are
        return plain

    def parted(self, aside: Bool[np.ndarray, " examples"]) -> tuple["Batches", "Batches"]:
        """Return the examples that are not marked, and those that are, each in their old order."""
        marked = torch.from_numpy(aside)
        stay, leave = (
            Batches(
                self.x[rows], None if self.y is None else self.y[rows], batch_size=self.batch_size, prepare=self.prepare
            )
            for rows in (~marked, marked)
        )
        return stay, leave

    def _tensors(self) -> tuple[Tensor, ...]:
        return (self.x,) if self.y is None else (self.x, self.y)


def _as_they_are(x: Tensor) -> Tensor:
    return x
