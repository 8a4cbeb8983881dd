"""The proof: the small network against the given one on the verify examples, which are read here, once.

Everything that is to be compared runs on every batch as it comes: both modules, the small one without new BatchNorm
statistics, and the baselines.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from netcaliper.errors import DataError
from netcaliper.feed.dry_run import dry_run
from netcaliper.feed.outputs import Prediction, Task, choices, prediction
from netcaliper.measure.replacement import Agreement, Summary, distance
from netcaliper.reading.shrinking import ClassAgreement, Gate, Latency, Memory, TaskMetric
from netcaliper.shrink.task import metric_of, quality, targets
from netcaliper.surgery.latency import latency_ratio
from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import Graph

Run = Callable[[Batch], Any]


@dataclass
class Compared:
    """One network against the given one.

    Attributes:
        each: agreement by example.
        quality: by example, how good the network is at its task, where labels say it.
        largest: largest difference of an output.
        total: sum of the absolute differences of outputs.
        count: number of outputs.
    """

    each: list[np.ndarray] = field(default_factory=list)
    quality: list[np.ndarray] = field(default_factory=list)
    largest: float = 0.0
    total: float = 0.0
    count: int = 0


class Verified:
    """All comparisons, from one pass over the verify examples.

    Args:
        original: the given network.
        others: what is compared with it, by name.
        batches: the verify examples.

    Raises:
        DataError: there are none.
    """

    def __init__(self, original: Run, others: Mapping[str, Run], batches: Iterable[Batch]) -> None:
        self.spread = Summary()
        self.found = {name: Compared() for name in others}
        self.own = Compared()
        self._answers: list[np.ndarray] = []
        self._targets: list[Tensor] = []
        self.first: Batch | None = None
        self.task: Task = "classification"
        for batch in batches:
            self.first = self.first or batch
            plain = prediction(original(batch), batch)
            assert isinstance(plain, Prediction)  # the judge has seen such outputs
            self.task = plain.task
            self.spread.update(plain)
            self._note(batch, plain)
            for name, run in others.items():
                self._compare(self.found[name], plain, plain.of(run(batch)), batch)
        if self.first is None:
            raise DataError("`verification` must hold an example, got none; give some.")

    def _note(self, batch: Batch, plain: Prediction) -> None:
        if plain.task == "classification":
            self._answers.append(choices(plain).cpu().numpy())
        self._judge(self.own, plain, batch)
        wanted = targets(plain, batch)
        if wanted is not None:
            self._targets.append(wanted)

    def _compare(self, found: Compared, plain: Prediction, changed: Prediction, batch: Batch) -> None:
        found.each.append(distance(plain, changed))
        gap = (plain.scores.double() - changed.scores.double()).abs()
        if plain.valid is not None:
            gap = gap[plain.valid.to(gap.device)]
        found.largest = max(found.largest, float(gap.max()) if gap.numel() else 0.0)
        found.total += float(gap.sum())
        found.count += gap.numel()
        self._judge(found, changed, batch)

    @staticmethod
    def _judge(found: Compared, answer: Prediction, batch: Batch) -> None:
        each = quality(answer, batch)
        if each is not None:
            found.quality.append(each)

    @property
    def examples(self) -> int:
        """Number of examples."""
        return sum(map(len, next(iter(self.found.values())).each))

    def agreement(self, name: str) -> Agreement:
        """Return the agreement of one network with the given one."""
        return self.spread.agreement(self.found[name].each, self.found[name].largest)

    def per_class(self, name: str) -> dict[str, ClassAgreement]:
        """Return the agreement by the class that the given network answers."""
        if self.task != "classification":
            return {}
        answers, each = np.concatenate(self._answers), np.concatenate(self.found[name].each)
        return {
            str(label): ClassAgreement(
                agree=int(each[answers == label].sum()), examples=int(np.count_nonzero(answers == label))
            )
            for label in np.unique(answers).tolist()
        }

    def metric(self, name: str) -> TaskMetric | None:
        """Return how good both are at the task, ``None`` where no labels say it."""
        before, after = self.own.quality, self.found[name].quality
        if not before or sum(map(len, before)) != self.examples:
            return None
        wanted = torch.cat(self._targets) if self._targets else torch.zeros(0, 1)
        scatter = float((wanted - wanted.mean(0)).square().sum())
        return metric_of(self.task, np.concatenate(before), np.concatenate(after), scatter)

    def gate(self, name: str) -> Gate:
        """Return the agreement as a record."""
        return gate(self.agreement(name))


def gate(agreement: Agreement) -> Gate:
    """Return an agreement as a record."""
    return Gate(
        agreement=agreement.value,
        agreement_low=agreement.low,
        examples=agreement.examples,
        max_abs_difference=agreement.max_abs_difference,
    )


def disagreements(agreement: Agreement) -> int | None:
    """Return how many answers differ, where an answer is the same or not."""
    if agreement.task != "classification":
        return None
    return int(np.count_nonzero(agreement.each < 1))


# ---- what it costs to run


def runner(module: nn.Module, graph: Graph) -> Run:
    """Return what runs a module on batches as the graph's network takes them."""
    settings = {key: value for key, value in graph.example.kwargs.items() if not isinstance(value, Tensor)}

    def run(batch: Batch) -> Any:
        moved = batch.to(graph.device)
        with torch.no_grad():
            return module(*moved.args, **{**settings, **moved.kwargs})

    return run


def multiply_adds(module: nn.Module, graph: Graph) -> int:
    """Return the multiply-adds of one example, counted while the module runs."""
    batch = graph.example
    with _without_gradients(module), FlopCounterMode(display=False) as counter:
        runner(module, graph)(batch)
    return counter.get_total_flops() // 2 // batch.size


@contextmanager
def _without_gradients(module: nn.Module) -> Iterator[None]:
    """Let no parameter ask for gradients: the counter asks each that is passed to a module for what made it."""
    asking = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in asking:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


def parameters(module: nn.Module) -> int:
    """Return the number of parameters, tied ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


def measured_latency(original: nn.Module, small: nn.Module, graph: Graph, batch: Batch) -> Latency:
    """Time both networks in pairs on one batch."""
    batch = batch.to(graph.device)
    found = latency_ratio(original, small, batch.args, {**graph.example.kwargs, **batch.kwargs})
    return Latency(
        ratio=found["ratio"],
        low=found["low"],
        high=found["high"],
        pairs=int(found["rounds"]),
        before=found["before"],
        after=found["after"],
        batch=batch.size,
    )


def memory(graph: Graph) -> Memory:
    """Return the bytes of a network's weights, and the most that values take while one example runs."""
    found = dry_run(graph, graph.example)
    return Memory(weights=found.weights, activations=found.held)
