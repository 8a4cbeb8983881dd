"""Answers of a network with sets of residual blocks left out: the branch of each is overridden by zero."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from netcaliper.errors import DataError
from netcaliper.feed.examples import chosen_examples
from netcaliper.feed.labels import check_labels, class_labels
from netcaliper.feed.one_pass import Tell
from netcaliper.feed.outputs import Prediction, choices, prediction, same
from netcaliper.feed.protocol import Plan
from netcaliper.measure.ablation import OUTPUT_BYTES
from netcaliper.trace.batches import IGNORED, Batch
from netcaliper.trace.graph import NODE, Graph
from netcaliper.trace.residual import ResidualBlock

Metric = Literal["accuracy", "agreement"]
Dropped = frozenset[int]
"""Indices of the blocks that are left out."""


@dataclass(frozen=True)
class Answers:
    """What the network answers with sets of blocks left out.

    Attributes:
        sets: the sets; the first is empty.
        kept: by set and example the share of the predictions that are those of the whole network.
        right: whether the class is right, NaN without a label.
        binary: one prediction an example.
        most_chosen: share of the most frequent prediction of the whole network.
        most_frequent: share of the most frequent label, NaN without.
    """

    sets: Sequence[Dropped]
    kept: Float64[np.ndarray, "sets examples"]
    right: Float64[np.ndarray, "sets examples"]
    binary: bool
    most_chosen: float
    most_frequent: float

    def scores(self, metric: Metric) -> dict[Dropped, Float64[np.ndarray, " examples"]]:
        """Return the scores of the examples that the metric is about, by set."""
        table = self.kept if metric == "agreement" else self.right[:, np.isfinite(self.right[0])]
        return dict(zip(self.sets, table, strict=True))


@dataclass(frozen=True)
class Leaving:
    """Runs the network with sets of blocks left out."""

    graph: Graph
    data: Iterable[Any]
    plan: Plan
    blocks: Sequence[ResidualBlock]
    tell: Tell

    def answers(self, chosen: Int[np.ndarray, " chosen"], sets: Sequence[Dropped], phase: str) -> Answers | str:
        """Run the chosen examples under every set, or say why what the network returns is no prediction.

        Args:
            chosen: indices of examples.
            sets: the first is empty.
            phase: for ``tell``.

        Raises:
            DataError: the data do not give these examples.
        """
        wanted: Bool[np.ndarray, " examples"] = np.isin(np.arange(self.plan.examples), chosen)
        kept, right = (np.full((len(sets), len(chosen)), np.nan) for _ in range(2))
        chosen_classes, labels_seen = np.zeros(0, int), np.full(len(chosen), IGNORED)
        binary = True
        total = self.plan.examples
        for batch in chosen_examples(self.graph, self.data, wanted, lambda seen: self.tell(phase, seen, total)):
            columns = np.searchsorted(chosen, batch.indices.numpy())
            labels = class_labels(batch)
            for number, plain, changed in self._predictions(batch, sets):
                if isinstance(plain, str) or isinstance(changed, str):
                    return str(plain)
                kept[number, columns] = same(plain, changed).cpu().numpy()
                if labels is not None and plain.task == "classification":
                    right[number, columns] = _right(changed, labels)
                if number == 0:
                    binary = plain.task == "classification"
                    named = choices(plain) if plain.valid is None else choices(plain)[plain.valid]
                    counts = np.bincount(named.flatten().cpu().numpy())
                    width = max(len(counts), len(chosen_classes))
                    chosen_classes = np.pad(chosen_classes, (0, width - len(chosen_classes)))
                    chosen_classes += np.pad(counts, (0, width - len(counts)))
                    if labels is not None:
                        labels_seen[columns] = labels.cpu().numpy()
        if np.isnan(kept).any():
            raise DataError(
                f"`data` must give the same {total:,} examples on every pass, got fewer; make it a list of batches or "
                "a DataLoader over a fixed data set."
            )
        known = labels_seen[labels_seen != IGNORED]
        frequent = float(np.unique(known, return_counts=True)[1].max() / len(known)) if len(known) else np.nan
        return Answers(sets, kept, right, binary, float(chosen_classes.max() / chosen_classes.sum()), frequent)

    def _predictions(
        self, batch: Batch, sets: Sequence[Dropped]
    ) -> Iterator[tuple[int, Prediction | str, Prediction | str]]:
        """Give the number of every set, what the whole network predicts, and what it predicts without the set.

        Blocks that are left out alone are forks of a run: only what depends on them is run again.
        """
        alone = [number for number, dropped in enumerate(sets) if len(dropped) == 1]
        size = batch.size if self.graph.dynamic_batch else self.graph.traced_batch
        held = max(1, OUTPUT_BYTES // (self._output_bytes() * size))
        plain: Prediction | str | None = None
        for start in range(0, max(len(alone), 1), held):
            numbers = alone[start : start + held]
            run = self.graph.run(batch, forks={self._key(b): [torch.zeros_like] for n in numbers for b in sets[n]})
            if plain is None:
                check_labels(batch, run.output)
                plain = prediction(run.output, batch)
                if not isinstance(plain, str) and plain.task == "regression":
                    plain = "the network predicts numbers, not classes or tokens, so that nothing can be right or agree"
                yield 0, plain, plain
                if isinstance(plain, str):
                    return
            assert isinstance(plain, Prediction)
            for number in numbers:
                (block,) = sets[number]
                yield number, plain, plain.of(run.forks[self._key(block)][0])
        assert isinstance(plain, Prediction)
        for number, dropped in enumerate(sets):
            if len(dropped) > 1:
                run = self.graph.run(batch, overrides={self._key(b): torch.zeros_like for b in dropped})
                yield number, plain, plain.of(run.output)

    def _key(self, block: int) -> str:
        return NODE + self.blocks[block].branch

    def _output_bytes(self) -> int:
        """Return the bytes of what the network returns for one example."""
        names = self.graph.program.output_names
        made = (step.node.meta.get("val") for step in self.graph.program.steps if step.name in names)
        sizes = (value.element_size() * prod(map(_traced, value.shape)) for value in made if isinstance(value, Tensor))
        return max(1, sum(sizes) // self.graph.traced_batch)


def _traced(size: int | torch.SymInt) -> int:
    """Return a size as it was in the traced example."""
    return size.node.hint if isinstance(size, torch.SymInt) else size


def _right(found: Prediction, labels: Int[Tensor, " examples"]) -> Float64[np.ndarray, " examples"]:
    """Return whether the class is right, NaN where the label says to leave the example out."""
    labels = labels.to(found.scores.device)
    hit = (choices(found) == labels) & ~found.scores.isnan().any(-1)
    return torch.where(labels == IGNORED, torch.nan, hit.double()).cpu().numpy()
