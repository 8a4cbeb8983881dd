"""The network with consumers that were fitted again, against itself untouched: one run each, example by example."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Shaped
from scipy.stats import t
from torch import Tensor

from netcaliper.errors import InputError
from netcaliper.feed.outputs import Prediction, Task, choices, prediction, same, squared_error, weights
from netcaliper.feed.ranks import ALONE, Ranks
from netcaliper.measure.consumer_input import ConsumerInput
from netcaliper.stats.intervals import clopper_pearson_lower
from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import NODE, Graph, Override, Tap


@dataclass(frozen=True, eq=False)
class Refitted:
    """A consumer with another weight.

    Attributes:
        source: the consumer.
        stored: the new weight, as the operation stores it.
        shift: what is added to the bias.
    """

    source: ConsumerInput
    stored: Shaped[Tensor, "..."]
    shift: Float64[np.ndarray, " outputs"]


_HELD = 2**28
"""Bytes of predictions that are kept at most."""

Variant = Mapping[str, Refitted]
"""Consumers that are computed with other weights at once, by node."""


def run_replaced(graph: Graph, batch: Batch, variant: Variant) -> Any:
    """Return the output of the network with other consumers; errors of one reach the next ones."""
    held: dict[str, Tensor] = {}
    unread: Counter[str] = Counter()
    readers = Counter(refitted.source.source for refitted in variant.values())

    def hold(name: str) -> Tap:
        def tap(value: Tensor, *_: Tensor) -> None:
            held[name], unread[name] = value, readers[name]

        return tap

    def compute(refitted: Refitted) -> Callable[[Tensor], Tensor]:
        def override(old: Tensor) -> Tensor:
            name = refitted.source.source
            new = refitted.source.replaced(graph, held[name], refitted.stored, refitted.shift)
            unread[name] -= 1
            if not unread[name]:
                del held[name]  # activations live no longer than in a plain run
            if new.shape != old.shape:  # a graph of fixed batch size, filled up: those that are cut again stay
                new = torch.cat([new, old[len(new) :]])
            return new

        return override

    taps = {NODE + name: hold(name) for name in readers}
    overrides: dict[str, Override] = {NODE + node: compute(refitted) for node, refitted in variant.items()}
    return graph.run(batch, taps=taps, overrides=overrides).output


@dataclass(frozen=True)
class Agreement:
    """A changed network against the untouched one.

    Attributes:
        task: what is compared.
        each: by example the share of its predictions that are the same; for a regression ``1 - e n / v`` with its
            squared error e and v the sum of ``||y0 - mean y0||^2`` over all n examples.
        max_abs_difference: largest difference of any score.
        largest_class: share of the untouched network's predictions that its most frequent class (or token) holds
            (where it is large, agreement is easy); ``None`` for a regression.
    """

    task: Task
    each: Float64[np.ndarray, " examples"]
    max_abs_difference: float
    largest_class: float | None

    @property
    def examples(self) -> int:
        """Number of examples."""
        return len(self.each)

    @property
    def value(self) -> float:
        """The agreement: the mean over examples; of a regression ``1 - sum ||y - y0||^2 / sum ||y0 - mean y0||^2``."""
        return float(self.each.mean())

    @property
    def low(self) -> float | None:
        """The one-sided 95 % Clopper-Pearson lower bound over examples, ``None`` for a regression.

        An example with many tokens counts the share of them that is the same; the bound takes the sum of the shares,
        rounded down, as the number of successes. That is conservative: a variable in [0, 1] varies at most as much as
        one that is 0 or 1 with the same mean.
        """
        if self.task == "regression":
            return None
        return clopper_pearson_lower(int(np.floor(self.each.sum() + 1e-9)), self.examples)

    def meets(self, target: float) -> bool:
        """Tell whether the bound (of a regression, which has none, the agreement itself) is at least ``target``."""
        return (self.value if self.low is None else self.low) >= target

    def advantage(self, others: Sequence["Agreement"]) -> tuple[float, float, float]:
        """Return the agreement minus the mean of others on the same examples, with its paired 95 % t interval."""
        difference = self.each - np.mean([other.each for other in others], 0)
        mean, n = float(difference.mean()), len(difference)
        half = float(t.ppf(0.975, n - 1) * difference.std(ddof=1) / np.sqrt(n)) if n > 1 else np.inf
        return mean, mean - half, mean + half


class Remembered:
    """Predictions of the untouched network for the same batches again and again; small ones are computed once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._held: dict[int, Prediction] = {}
        self._bytes = 0

    def predict(self, number: int, batch: Batch) -> Prediction | str:
        """Return what is predicted for a batch, or why nothing is; ``number`` is its place in the sequence."""
        if number in self._held:
            return self._held[number]
        plain = prediction(self.graph.run(batch).output, batch)
        if isinstance(plain, Prediction) and self._bytes + plain.scores.nbytes <= _HELD:
            self._bytes += plain.scores.nbytes
            self._held[number] = plain
        return plain


def compare(
    graph: Graph,
    batches: Iterable[Batch],
    variants: Mapping[str, Variant],
    untouched: Remembered | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Agreement] | str:
    """Compare any number of changed networks with the untouched one, in one pass.

    Args:
        graph: the network.
        batches: what is run; read once.
        variants: by name.
        untouched: remembers predictions for another pass over the same batches.
        ranks: the processes that share the batches.

    Returns:
        An agreement by name, or why there is none, in words.
    """
    untouched, found = untouched or Remembered(graph), _Compared(variants)
    for number, batch in enumerate(batches):
        if not ranks.runs(number):
            continue
        plain = untouched.predict(number, batch)
        if isinstance(plain, str):
            found.refused[number] = plain
            break
        found.summary.update(plain)
        for name, variant in variants.items():
            changed = plain.of(run_replaced(graph, batch, variant))
            found.distances[name][number] = distance(plain, changed)
            found.largest[name] = max(found.largest[name], float((plain.scores - changed.scores).abs().max()))
    return ranks.merged(found).agreements()


class _Compared:
    """What a pass found of every changed network.

    Attributes:
        summary: of the untouched network.
        distances: by changed network and number of the batch.
        largest: difference of any score, by changed network.
        refused: by number of the batch why it predicts nothing.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.summary = Summary()
        self.distances: dict[str, dict[int, np.ndarray]] = {name: {} for name in names}
        self.largest = dict.fromkeys(self.distances, 0.0)
        self.refused: dict[int, str] = {}

    def merge(self, other: "_Compared") -> None:
        """Take in what was found on other batches."""
        self.summary.merge(other.summary)
        self.refused |= other.refused
        for name, found in other.distances.items():
            self.distances[name] |= found
            self.largest[name] = max(self.largest[name], other.largest[name])

    def agreements(self) -> dict[str, Agreement] | str:
        """Return the agreements, with the examples in the order of the batches; or why there are none, in words."""
        summary = self.summary
        if self.refused:
            return self.refused[min(self.refused)]
        if summary.task is None:
            return "there are no examples"
        if summary.task == "regression" and not summary.scatter > 0:
            return "the output does not vary over the examples"
        return {
            name: summary.agreement([found[number] for number in sorted(found)], self.largest[name])
            for name, found in self.distances.items()
        }


def distance(plain: Prediction, changed: Prediction) -> Float64[np.ndarray, " examples"]:
    """Return by example the share of predictions that are the same; of a regression the squared error."""
    return (squared_error if plain.task == "regression" else same)(plain, changed).cpu().numpy()


class Summary:
    """How the predictions of the untouched network spread."""

    def __init__(self) -> None:
        self.task: Task | None = None
        self.scatter = 0.0
        self._width: int | None = None
        self._count = 0
        self._mean: Tensor | None = None
        self._votes: Tensor | None = None

    def update(self, plain: Prediction) -> None:
        """Take in the predictions of one batch.

        Raises:
            InputError: examples of this batch have another number of scores than those before.
        """
        self.task = plain.task
        width = plain.scores.shape[-1]
        if self._width not in (None, width):
            raise InputError(
                f"`model` must give every example as many scores, got {self._width} in one batch and {width} in "
                "another; if it scores the examples of a batch against each other, wrap it so that it scores them "
                "against fixed classes."
            )
        self._width = width
        if plain.task == "regression":
            self._spread(plain.scores.double())
        else:
            votes = torch.bincount(choices(plain).flatten(), weights(plain).flatten(), minlength=width)
            self._votes = votes if self._votes is None else self._votes + votes

    def merge(self, other: "Summary") -> None:
        """Take in the predictions that another summary has seen."""
        self.task = self.task or other.task
        if other._mean is not None:
            self._join(other._count, other._mean, other.scatter)
        if other._votes is not None:
            self._votes = other._votes if self._votes is None else self._votes + other._votes

    def _spread(self, values: Float64[Tensor, "examples values"]) -> None:
        mean = values.mean(0)
        self._join(len(values), mean, float((values - mean).square().sum()))

    def _join(self, count: int, mean: Float64[Tensor, " values"], scatter: float) -> None:
        """Merge the squared deviations from the mean (Chan, Golub and LeVeque 1983)."""
        before, total = mean if self._mean is None else self._mean, self._count + count
        shift = mean - before
        self.scatter += scatter + float(shift.square().sum()) * (self._count * count / total)
        self._mean, self._count = before + shift * (count / total), total

    def agreement(self, distances: Sequence[np.ndarray], largest: float) -> Agreement:
        """Return the agreement of a changed network with the untouched one, all of whose predictions are in.

        Args:
            distances: from ``distance``, batch by batch.
            largest: difference of any score.
        """
        assert self.task is not None
        values = np.concatenate(distances)
        return Agreement(
            self.task,
            1 - self.relative(values) if self.task == "regression" else values,
            largest,
            self.largest_class(),
        )

    def relative(self, squared: Float64[np.ndarray, " examples"]) -> Float64[np.ndarray, " examples"]:
        """Return squared errors of a regression in units of the mean squared deviation of the predictions."""
        return squared * (len(squared) / max(self.scatter, 1e-300))

    def largest_class(self) -> float | None:
        """Return the share of the most frequent class."""
        return None if self._votes is None else float(self._votes.max() / self._votes.sum())
