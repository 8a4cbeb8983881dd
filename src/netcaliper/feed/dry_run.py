"""What one run of a few examples tells, before the data are read: operations, shapes, and memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from netcaliper.feed.outputs import prediction
from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import Graph


@dataclass(frozen=True)
class DryRun:
    """What a run of one network takes.

    Attributes:
        macs: multiply-accumulates of one example.
        held: most bytes of values that are alive at once, by example; weights are not counted.
        weights: bytes of all parameters, buffers and constants.
        examples: number of examples that were run.
        shapes: of the values of all nodes, as tensors without data.
        sequences: whether the network predicts something for every token of an example.
    """

    macs: int
    held: int
    weights: int
    examples: int
    shapes: Mapping[str, Tensor]
    sequences: bool


def dry_run(graph: Graph, batch: Batch) -> DryRun:
    """Run the network on one example, or as many as its graph is bound to.

    Args:
        graph: the network.
        batch: of the data; its first example is run.
    """
    size = 1 if graph.dynamic_batch else graph.traced_batch
    weights = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in graph.program.tensors.values()
    }
    shapes: dict[str, Tensor] = {}
    held = 0

    def watch(values: Mapping[str, Any]) -> None:
        nonlocal held
        fixed = graph.program.parameters
        alive = {name: value for name, value in values.items() if isinstance(value, Tensor) and name not in fixed}
        shapes.update({name: value.to("meta") for name, value in alive.items() if name not in shapes})
        held = max(held, sum(size for place, size in _storages(alive.values()).items() if place not in weights))

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        batch = batch.repeated(size)
        output = graph.run(batch, watch=watch).output
    found = prediction(output, batch)
    return DryRun(
        counter.get_total_flops() // 2 // size,
        held // size,
        sum(weights.values()),
        size,
        shapes,
        not isinstance(found, str) and found.task == "tokens",
    )


def _storages(tensors: Iterable[Tensor]) -> dict[int, int]:
    """Return the bytes of the memory behind some tensors, by where it is: views share theirs."""
    return {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
