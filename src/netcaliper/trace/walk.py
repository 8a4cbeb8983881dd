"""A run that stops: a network goes over several batches step by step, and its weights may change on the way."""

from collections.abc import Sequence

import torch
from torch import Tensor

from netcaliper.errors import InputError
from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import Graph


class Walk:
    """A run over several batches at once that can be stopped before any step, and goes on from there.

    What is alive at a step is kept for every batch, so that a weight that is replaced before it is read costs no second
    run: a network is fitted layer by layer in one pass. Memory is that of the live values of all examples.

    Args:
        graph: the network.
        batches: each as ``Graph.run`` takes it.
        zero: nodes whose value is 0 whatever they compute (branches of residual blocks that are left out).

    Raises:
        InputError: the graph is bound to another batch size.
    """

    def __init__(self, graph: Graph, batches: Sequence[Batch], zero: Sequence[str] = ()) -> None:
        for batch in batches:
            if not graph.dynamic_batch and batch.size != graph.traced_batch:
                raise InputError(
                    f"`batches` must hold {graph.traced_batch} examples each, which the graph of {graph.name} is bound "
                    f"to ({graph.static_reason}), got {batch.size}."
                )
        self._program = graph.program
        self._values = [graph.program.start(graph.inputs(batch)) for batch in batches]
        self._zero = frozenset(zero)
        self._next = 0

    def before(self, index: int) -> None:
        """Run all steps before the one of this index that were not run yet."""
        while self._next < index:
            step = self._program.steps[self._next]
            for values in self._values:
                self._program.advance(step, values)
                if step.name in self._zero:
                    values[step.name] = torch.zeros_like(values[step.name])
            self._next += 1

    def value(self, name: str) -> list[Tensor]:
        """Return the value of a node for every batch; it must be alive."""
        return [values[name] for values in self._values]

    def replace(self, name: str, tensor: Tensor) -> None:
        """Put another tensor in the place of a parameter or buffer (by its node) for all steps to come."""
        for values in self._values:
            values[name] = tensor
