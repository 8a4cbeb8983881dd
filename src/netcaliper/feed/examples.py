"""Which examples a pass runs: a choice by index, in batches of one size."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from netcaliper.trace.batches import Batch, batches, regrouped
from netcaliper.trace.graph import Graph


def chosen_examples(
    graph: Graph,
    data: Iterable[Any],
    chosen: Bool[np.ndarray, " examples"],
    seen: Callable[[int], None] | None = None,
) -> Iterator[Batch]:
    """Give the chosen examples, as many at a time as the data's first batch holds if the graph takes any number.

    Args:
        graph: that will run them.
        data: any re-iterable of batches.
        chosen: for every example of the data whether it is wanted.
        seen: called with the number of examples gone through, wanted or not.
    """
    source = batches(data, form=graph.form)
    first = next(source)

    def wanted() -> Iterator[Batch]:
        for batch in chain([first], source):
            index = batch.indices.numpy()
            yield batch.take(torch.from_numpy(np.flatnonzero(chosen[index])))
            if seen is not None:
                seen(int(index[-1]) + 1)

    yield from regrouped(wanted(), first.size if graph.dynamic_batch else graph.traced_batch)
