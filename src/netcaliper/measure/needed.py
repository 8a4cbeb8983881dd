"""Needed: how many units do the consumers of a layer need, if each may be fitted again to those that stay?

A unit that is no combination of the others may still be one that nobody misses: what a consumer makes of it, it can
make of the others up to tau = 1 % of the variance of its output. The count is what greedy elimination reaches: an upper
bound on the fewest units, never the fewest itself.

The bias. With the bias free, the fit of ``y = W x + b`` by ``V x_K + c`` is the regression on centered columns: S is
the covariance, and ``c = b + (W - V) mean(x)``. Where zeros are put around the units, a relation ``x_j = a x_i + c``
between units holds inside only: in the border both are 0 and c is wrong. There the fit has to do without a constant: V
minimizes the mean of ``|W x - V x_K|^2`` over all rows, border rows with their zeros included, so S is the second
moment about zero and b stays. The loss is measured against the centered variance of the consumer's output all the same.
So u is exactly what the changed consumer leaves unexplained, and since a free bias could only lower it, the count stays
an upper bound.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from netcaliper.errors import DataError, InputError
from netcaliper.measure.consumer_input import ConsumerInput, consumer_input, pads_between
from netcaliper.measure.protocol import ROWS_PER_UNIT, Plan
from netcaliper.stats.block_elimination import TAU, BlockElimination, Reader, eliminate_blocks, refit
from netcaliper.stats.covariance import Covariance, Moments
from netcaliper.stats.intervals import clopper_pearson_lower
from netcaliper.stats.sampling import CALIBRATE, VERIFY
from netcaliper.trace.batches import Batch, batches, count_examples, first_batch, regrouped
from netcaliper.trace.graph import Graph, Override
from netcaliper.trace.program import tensors_of
from netcaliper.trace.site import Site

MAX_COLUMNS = 1024
"""Widest consumer input that is read unless more is asked for: work grows with the cube of the columns."""

_Key = tuple[str, int]


@dataclass(frozen=True)
class Needed:
    """How many units of one site its consumers need at tau.

    Attributes:
        site: name of the site.
        units: number of units n.
        tau: share of the variance of each consumer's output that may be lost.
        upper_bound: number of units kept by greedy elimination, an upper bound on the fewest; ``None`` if not judged.
        kept: units that stay.
        order: removed units, first removed first.
        unexplained: by consumer, u after every step.
        final: by consumer, u at ``kept``, from the fitted weights.
        rows: calibrate rows of the consumer with the fewest.
        reason: why the site was not judged, in words.
        warnings: what makes the count less sure, in words.
    """

    site: str
    units: int
    tau: float
    upper_bound: int | None = None
    kept: Int[np.ndarray, " kept"] | None = None
    order: Int[np.ndarray, " removed"] | None = None
    unexplained: Mapping[str, Float64[np.ndarray, " removed"]] | None = None
    final: Mapping[str, float] | None = None
    rows: int = 0
    reason: str | None = None
    warnings: tuple[str, ...] = ()

    def removed(self) -> Bool[np.ndarray, " units"]:
        """Return which units went."""
        gone = np.zeros(self.units, dtype=bool)
        if self.order is not None:
            gone[self.order] = True
        return gone


@dataclass(frozen=True)
class Agreement:
    """The network with all removed units replaced at once, against itself untouched, on verify examples.

    Attributes:
        value: share of predictions (largest output) that are the same.
        low: one-sided 95 % Clopper-Pearson lower bound.
        same: number of predictions that are the same.
        examples: number of verify examples.
        units_removed: units removed at all sites together.
        max_abs_difference: largest difference of any output.
    """

    value: float
    low: float
    same: int
    examples: int
    units_removed: int
    max_abs_difference: float


class NeededStates:
    """Covariances of the inputs of all consumers of the chosen sites; one that several sites feed is read once."""

    def __init__(self, graph: Graph, sites: Sequence[Site], plan: Plan, max_columns: int | None = MAX_COLUMNS) -> None:
        self.graph, self.plan, self.max_columns = graph, plan, max_columns
        self.sites = tuple(sites)
        self.reasons: dict[str, str] = {}
        self.inputs: dict[_Key, ConsumerInput] = {}
        self.intercept: dict[_Key, bool] = {}
        self._refused: dict[_Key, str] = {}
        for site in sites:
            reason = self._enter(site)
            if reason is not None:
                self.reasons[site.name] = reason
        wanted = {(c.node, c.operand) for site in sites if site.name not in self.reasons for c in site.consumers}
        self.inputs = {key: source for key, source in self.inputs.items() if key in wanted}
        self._covariance = {key: Covariance(source.columns, graph.device) for key, source in self.inputs.items()}
        self._moments: dict[_Key, Moments] = {}

    def _enter(self, site: Site) -> str | None:
        """Look at the consumers of a site; return why it cannot be judged, if it cannot."""
        if site.refused is not None:
            return f"its consumers are not resolved: {site.refused}"
        if site.barriers:
            return f"not all its readers are weights: {'; '.join(site.barriers)}"
        if site.readers:
            return f"{', '.join(site.readers)} reads its units before any weight does"
        if not site.consumers:
            return "nothing with a weight reads its units"
        for consumer in site.consumers:
            key = (consumer.node, consumer.operand)
            if consumer.through:  # a matter of the path, not of the consumer
                return (
                    f"consumer {consumer.name} reads the units through {', '.join(consumer.through)}, which mixes them"
                )
            if key not in self.inputs and key not in self._refused:
                source = consumer_input(self.graph, consumer)
                if isinstance(source, str):
                    self._refused[key] = source
                else:
                    self.inputs[key] = source
            if key in self._refused:
                return f"consumer {consumer.name} {self._refused[key]}"
            source = self.inputs[key]
            if self.max_columns is not None and source.columns > self.max_columns:
                return (
                    f"consumer {consumer.name} has {source.columns:,} input columns, more than the "
                    f"{self.max_columns:,} that are read; measure `needed` by itself with a larger `max_columns`"
                )
            free = not pads_between(self.graph, site, source)
            self.intercept[key] = self.intercept.get(key, True) and free
        return None

    def taps(self, index: Int[np.ndarray, " examples"]) -> dict[str, Callable[..., None]]:
        """Return what feeds the states, by node, for a batch of examples with these indices in the data."""
        by_node: dict[str, list[_Key]] = {}
        for key, source in self.inputs.items():
            by_node.setdefault(source.source, []).append(key)
        return {node: self._tap(keys, index) for node, keys in by_node.items()}

    def _tap(self, keys: Sequence[_Key], index: Int[np.ndarray, " examples"]) -> Callable[..., None]:
        def tap(value: Tensor, *_: Tensor) -> None:
            for key in keys:
                source = self.inputs[key]
                width = source.width(value, len(index))
                example, position = self.plan.sample(index, CALIBRATE, source.columns, width)
                self._covariance[key].update(source.rows(value.detach(), len(index), example, position))

        return tap

    def moments(self, key: _Key) -> Moments:
        """Return the moments of the input of a consumer; the state is let go."""
        if key not in self._moments:
            self._moments[key] = self._covariance.pop(key).finish()
        return self._moments[key]

    def reader(self, key: _Key, owner: Int[np.ndarray, " columns"], name: str) -> Reader:
        """Return a consumer as block elimination takes it; finite or refused."""
        source, moments = self.inputs[key], self.moments(key)
        rows = moments.count
        covariance = moments.covariance * ((rows - 1) / rows)
        variance = float(np.einsum("ij,ij->", source.weight @ covariance, source.weight))
        moment = covariance if self.intercept[key] else covariance + np.outer(moments.mean, moments.mean)
        return Reader(moment, source.weight, owner, variance, rows, name)

    def judge(self, site: Site, stage: Int[np.ndarray, " units"] | None = None, tau: float = TAU) -> Needed:
        """Eliminate at one site.

        Args:
            site: one of the sites.
            stage: as in ``eliminate_blocks``; units that other measures found to be idle go first.
            tau: share of the variance of each consumer's output that may be lost.
        """
        if site.name in self.reasons:
            return Needed(site.name, site.units, tau, reason=self.reasons[site.name])
        keys = [(consumer.node, consumer.operand) for consumer in site.consumers]
        rows = min(self.moments(key).count for key in keys)
        for key, consumer in zip(keys, site.consumers, strict=True):
            count, columns = self.moments(key).count, self.inputs[key].columns
            if count <= columns + 1:
                reason = (
                    f"too few rows ({count:,} for the {columns:,} input columns of {consumer.name}): every unit would "
                    f"look explained by the others; give more examples ({ROWS_PER_UNIT * columns:,} rows are enough)"
                )
                return Needed(site.name, site.units, tau, rows=rows, reason=reason)
        readers = [
            self.reader(key, self.inputs[key].unit_of_column(consumer), consumer.name)
            for key, consumer in zip(keys, site.consumers, strict=True)
        ]
        found: BlockElimination = eliminate_blocks(readers, site.units, tau, stage)
        names = [consumer.name for consumer in site.consumers]
        return Needed(
            site.name,
            site.units,
            tau,
            len(found.kept),
            found.kept,
            found.order,
            {name: found.unexplained[:, i] for i, name in enumerate(names)},
            {name: float(found.final[i]) for i, name in enumerate(names)},
            rows,
            warnings=_warnings(readers),
        )

    def replacements(self, answers: Sequence[Needed]) -> dict[str, tuple[ConsumerInput, np.ndarray, np.ndarray]]:
        """Fit every consumer to the units that stay at all sites together.

        Returns:
            By node of the consumer its input, the new weight and what is added to the bias.
        """
        removed = {answer.site: answer.removed() for answer in answers if answer.order is not None}
        gone: dict[_Key, np.ndarray] = {}
        for site in self.sites:
            for consumer in site.consumers if site.name in removed else ():
                key = (consumer.node, consumer.operand)
                owner = self.inputs[key].unit_of_column(consumer)
                lost = np.zeros(len(owner), dtype=bool)
                lost[owner >= 0] = removed[site.name][owner[owner >= 0]]
                gone[key] = gone.get(key, False) | lost
        fitted = {}
        for key, lost in gone.items():
            if lost.any():
                reader = self.reader(key, np.arange(len(lost)), key[0])
                weight, _ = refit(reader, lost)
                shift = (reader.weight - weight) @ self.moments(key).mean if self.intercept[key] else None
                fitted[key[0]] = (self.inputs[key], weight, np.zeros(len(weight)) if shift is None else shift)
        return fitted


def needed(
    graph: Graph,
    data: Iterable[Any],
    *,
    seed: int = 0,
    tau: float = TAU,
    sites: Sequence[str] | None = None,
    max_columns: int | None = None,
    verify: bool = False,
) -> tuple[tuple[Needed, ...], Agreement | None]:
    """Ask of every site how many units its consumers need, in one pass over the calibrate examples.

    Args:
        graph: from ``nc.trace``.
        data: any re-iterable of batches.
        seed: of the split and the rows read.
        tau: share of the variance of each consumer's output that may be lost; ``.01`` unless there is a reason.
        sites: names of the sites to ask; all by default.
        max_columns: leave out sites with a consumer of more input columns; no limit by default.
        verify: read the verify examples once, with all removed units of all sites replaced at once.

    Returns:
        An answer for every site, and the agreement if it was asked for.

    Raises:
        InputError: an unknown site or a tau outside [0, 1).
        DataError: the data are too few, or an input of a consumer is not finite.
    """
    if not 0 <= tau < 1:
        raise InputError(f"`tau` must lie in [0, 1), got {tau}; the default is {TAU}.")
    chosen = graph.sites if sites is None else tuple(graph.site(name) for name in sites)
    plan = Plan(count_examples(data, inputs_required=graph.inputs_required), seed)
    plan.check()
    if verify and not plan.sizes["verify"]:
        raise DataError(f"`data` must give a verify example to verify on, got none of {plan.examples}; give more.")
    states = NeededStates(graph, chosen, plan, max_columns)
    for batch in _examples(graph, data, plan, CALIBRATE):
        graph.run(batch, taps=states.taps(batch.indices.numpy()))
    answers = tuple(states.judge(site, tau=tau) for site in chosen)
    return answers, agreement(graph, data, plan, states, answers) if verify else None


def agreement(
    graph: Graph, data: Iterable[Any], plan: Plan, states: NeededStates, answers: Sequence[Needed]
) -> Agreement | None:
    """Replace all removed units of all sites at once and compare predictions on the verify examples.

    Every consumer is computed with its fitted weight, so that errors of one site reach the next ones. An output of
    shape ``[examples, classes]`` gives one prediction an example; without such an output there is no agreement.

    Returns:
        The agreement, whatever it is; ``None`` if the network makes no such prediction.
    """
    fitted = states.replacements(answers)
    same = total = 0
    largest = 0.0
    for batch in _examples(graph, data, plan, VERIFY):
        taps, overrides = _replacing(graph, fitted)
        plain = tensors_of(graph.run(batch).output)[0]
        changed = tensors_of(graph.run(batch, taps=taps, overrides=overrides).output)[0]
        if plain.dim() != 2 or plain.shape[1] < 2 or len(plain) != batch.size:
            return None
        same += int((plain.argmax(1) == changed.argmax(1)).sum())
        total += batch.size
        largest = max(largest, float((plain - changed).abs().max()))
    removed = sum(int(answer.removed().sum()) for answer in answers)
    return Agreement(same / total, clopper_pearson_lower(same, total), same, total, removed, largest)


def _examples(graph: Graph, data: Iterable[Any], plan: Plan, part: int) -> Iterator[Batch]:
    """Give the examples of one split, as many at a time as the data do if the graph takes any number."""
    size = first_batch(data, inputs_required=graph.inputs_required).size if graph.dynamic_batch else graph.traced_batch

    def wanted() -> Iterator[Batch]:
        for batch in batches(data, inputs_required=graph.inputs_required):
            yield batch.take(torch.from_numpy(np.flatnonzero(plan.split[batch.indices.numpy()] == part)))

    return regrouped(wanted(), size)


def _replacing(
    graph: Graph, fitted: Mapping[str, tuple[ConsumerInput, np.ndarray, np.ndarray]]
) -> tuple[dict[str, Callable[..., None]], dict[str, Override]]:
    """Return taps that hold the inputs of consumers and overrides that compute the consumers with other weights."""
    held: dict[str, Tensor] = {}

    def hold(name: str) -> Callable[..., None]:
        def tap(value: Tensor, *_: Tensor) -> None:
            held[name] = value

        return tap

    def compute(source: ConsumerInput, weight: np.ndarray, shift: np.ndarray) -> Callable[[Tensor], Tensor]:
        def override(old: Tensor) -> Tensor:
            new = source.replaced(graph, held[source.source], weight, shift)
            if new.shape != old.shape:  # a graph of fixed batch size, filled up: those that are cut again stay
                new = torch.cat([new, old[len(new) :]])
            return new

        return override

    taps = {source.source: hold(source.source) for source, _, _ in fitted.values()}
    return taps, {node: compute(*parts) for node, parts in fitted.items()}


def _warnings(readers: Sequence[Reader]) -> tuple[str, ...]:
    """Say in words what makes the count less sure."""
    return tuple(
        f"{reader.rows:,} rows for the {reader.weight.shape[1]:,} input columns of {reader.name} is fewer than "
        f"{ROWS_PER_UNIT} rows a column: too many units look absorbable; give more examples."
        for reader in readers
        if reader.rows < ROWS_PER_UNIT * reader.weight.shape[1]
    )
