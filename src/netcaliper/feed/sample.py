"""The held sample: examples that stay in memory, to be run again and again in other batches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from netcaliper.errors import DataError, InputError
from netcaliper.feed.fingerprint import DataFingerprint
from netcaliper.stats.cka import FEWEST
from netcaliper.stats.sampling import held, shuffled
from netcaliper.trace.batches import Batch, batches, count_examples
from netcaliper.trace.form import Form


@dataclass(frozen=True)
class Sample:
    """Examples of some data, chosen by (seed, index).

    Attributes:
        groups: the examples in the order of the data; those whose inputs differ in shape (longer sequences) apart.
        seed: of the choice and of the partitions.
        examples: number of examples in the data.
        fingerprint: of the data.
    """

    groups: tuple[Batch, ...]
    seed: int
    examples: int
    fingerprint: str

    @property
    def size(self) -> int:
        """Number of held examples."""
        return sum(group.size for group in self.groups)

    @property
    def index(self) -> Int[np.ndarray, " held"]:
        """Index in the data of every held example."""
        return np.concatenate([group.indices.numpy() for group in self.groups])

    @property
    def bytes(self) -> int:
        """Memory of the inputs."""
        return sum(tensor.nbytes for group in self.groups for tensor in group.tensors())

    def labels(self) -> Tensor | None:
        """Return the class of every held example, ``None`` if there are no such labels."""
        found = [group.labels for group in self.groups]
        if any(not isinstance(label, Tensor) or label.dim() != 1 or label.is_floating_point() for label in found):
            return None
        return torch.cat(found).long()

    def smaller(self, examples: int) -> "Sample":
        """Return the sample that would have been held of so many examples: it is part of this one."""
        chosen = np.flatnonzero(~held(self.examples, examples, self.seed))
        return self.without(chosen)

    def without(self, index: Int[np.ndarray, " some"]) -> "Sample":
        """Return the sample without some examples, named by their index in the data."""
        kept = [
            group.take(torch.from_numpy(np.flatnonzero(~np.isin(group.indices.numpy(), index))))
            for group in self.groups
        ]
        return Sample(tuple(group for group in kept if group.size), self.seed, self.examples, self.fingerprint)

    def partition(self, of_pass: int, size: int) -> Iterator[Batch]:
        """Give the examples in batches, shuffled by (seed, pass, index): every example once, the last batch smaller.

        Batches of fewer than 4 examples, which say nothing, are left out.
        """
        for group in self.groups:
            order = torch.from_numpy(shuffled(group.indices.numpy(), self.seed, of_pass))
            for part in order.split(size):
                if len(part) >= FEWEST:
                    yield group.take(part)

    def batches(self, size: int) -> int:
        """Return the number of batches in a partition."""
        return sum(group.size // size + (group.size % size >= FEWEST) for group in self.groups)

    def in_order(self, size: int) -> Iterator[Batch]:
        """Give the examples in the order of ``index``."""
        for group in self.groups:
            for start in range(0, group.size, size):
                yield group.take(torch.arange(start, min(start + size, group.size)))


def hold(data: Iterable[Any], form: Form, *, examples: int, seed: int, limit: int | None) -> Sample:
    """Read the data once and keep some examples, chosen by (seed, index).

    Args:
        data: any re-iterable of batches.
        form: what the model takes.
        examples: how many to hold, all if there are fewer.
        seed: of the choice.
        limit: bytes that their inputs may take.

    Raises:
        DataError: fewer than 4 examples, or another number than were counted.
        InputError: the inputs take more than ``limit``, or ``seed`` or ``limit`` is no number.
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InputError(f"`seed` must be an integer, got {seed!r}; pass for instance seed=0.")
    if limit is not None and not isinstance(limit, (int, float)):
        raise InputError(f"`memory` must be a number of bytes, got {limit!r}; e.g. memory=2 * 2**30.")
    count = count_examples(data, form=form)
    if count < FEWEST:
        raise DataError(
            f"`data` must give at least {FEWEST} examples to compare layers on, got {count}; give 256 or more for "
            "useful numbers."
        )
    chosen = held(count, examples, seed)
    groups: dict[tuple, list[Batch]] = {}
    fingerprint, seen, taken = DataFingerprint(), 0, 0
    for batch in batches(data, form=form):
        fingerprint.update(batch)
        seen += batch.size
        if seen > count:
            break
        part = batch.take(torch.from_numpy(np.flatnonzero(chosen[batch.indices.numpy()])))
        if not part.size:
            continue
        if not taken and limit is not None:
            wanted = sum(t.nbytes for t in part.tensors()) // part.size * int(chosen.sum())
            if wanted > limit:
                raise InputError(
                    f"`memory` must hold the inputs of {int(chosen.sum()):,} examples, about {wanted / 2**30:.1f} GiB, "
                    f"got {limit / 2**30:.1f} GiB; hold fewer (`examples`), or allow more (`memory`)."
                )
        taken += part.size
        groups.setdefault(tuple(t.shape[1:] for t in part.tensors()), []).append(part)
    if seen != count:
        raise DataError(
            f"`data` must give the same {count:,} examples on every pass, got "
            f"{'more' if seen > count else f'only {seen:,}'} on the second; make it a list of batches or a DataLoader "
            "over a fixed data set."
        )
    return Sample(tuple(_joined(parts) for parts in groups.values()), seed, count, fingerprint.finish())


def _joined(parts: list[Batch]) -> Batch:
    """Join many batches at once."""
    while len(parts) > 1:
        pairs = [a.joined(b) for a, b in zip(parts[::2], parts[1::2], strict=False)]
        parts = pairs + ([parts[-1]] if len(parts) % 2 else [])
    return parts[0]
