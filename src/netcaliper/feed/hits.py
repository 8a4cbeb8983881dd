"""How many examples are classified right."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from netcaliper.feed.outputs import choices, prediction
from netcaliper.trace.batches import Batch


def hits(output: Any, batch: Batch) -> tuple[int, int] | None:
    """Return how many examples of a batch are classified right, of how many; ``None`` without such labels."""
    found = prediction(output, batch)
    labels = batch.labels
    whole = isinstance(labels, Tensor) and not labels.is_floating_point() and labels.shape == (batch.size,)
    if isinstance(found, str) or found.task != "classification" or not whole:
        return None
    return int((choices(found).cpu() == labels).sum()), batch.size


def accuracy(counted: Sequence[tuple[Batch, tuple[int, int] | None]]) -> float | None:
    """Return the share of right examples over batches, ``None`` if one of them could not be counted."""
    known = [hit for _, hit in counted if hit is not None]
    return sum(right for right, _ in known) / sum(of for _, of in known) if len(known) == len(counted) else None
