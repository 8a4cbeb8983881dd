"""The evaluation data in two: examples that choose the core network, and examples that every reported number is of."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from netcaliper.errors import DataError
from netcaliper.stats.sampling import folds
from netcaliper.trace.batches import Batch, batches, count_examples
from netcaliper.trace.form import Form

FEWEST = 2
"""Examples that either part must have; fewer have no interval worth the name."""


@dataclass(frozen=True)
class Part:
    """One half of the evaluation data, a re-iterable of ``Batch``.

    Attributes:
        data: all of it.
        form: what the model takes.
        which: ``select`` or ``verify``. An example belongs to the one that a hash of (seed, its index) says.
        seed: of the split.
    """

    data: Iterable[Any]
    form: Form
    which: Literal["select", "verify"]
    seed: int

    def __iter__(self) -> Iterator[Batch]:
        wanted = int(self.which == "verify")
        for batch in batches(self.data, form=self.form):
            rows = np.flatnonzero(folds(batch.indices.numpy(), self.seed, 2) == wanted)
            if len(rows):
                yield batch.take(torch.from_numpy(rows))

    def size(self) -> int:
        """Return the number of examples."""
        index = np.arange(count_examples(self.data, form=self.form))
        return int((folds(index, self.seed, 2) == int(self.which == "verify")).sum())


def parts(data: Iterable[Any], form: Form, seed: int) -> tuple[Part, Part]:
    """Return the select and the verify part of the evaluation data.

    Raises:
        DataError: a part would hold fewer than 2 examples, or the data cannot be read twice.
    """
    select, verify = Part(data, form, "select", seed), Part(data, form, "verify", seed)
    if min(select.size(), verify.size()) < FEWEST:
        raise DataError(
            f"`eval_data` must give both parts at least {FEWEST} examples, they have {select.size()} to select and "
            f"{verify.size()} to verify; give some hundreds for useful numbers."
        )
    return select, verify
