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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from netcaliper.errors import DataError, InputError
from netcaliper.feed.examples import chosen_examples
from netcaliper.feed.protocol import ROWS_PER_UNIT, Plan
from netcaliper.feed.work_folder import WorkFolder
from netcaliper.measure.consumer_input import ConsumerInput, consumer_input, pads_between
from netcaliper.measure.consumer_moments import ConsumerMoments, Key
from netcaliper.measure.needed_answer import Needed
from netcaliper.measure.needed_state import open_state, remember, remembered
from netcaliper.measure.replacement import Agreement, Refitted, compare
from netcaliper.stats.block_elimination import TAU, Reader, eliminate_blocks, refit
from netcaliper.stats.sampling import CALIBRATE, VERIFY
from netcaliper.trace.batches import count_examples
from netcaliper.trace.graph import Graph
from netcaliper.trace.site import Site

MAX_COLUMNS = 9216
"""Widest consumer input that is read unless more is asked for (1,024 channels under 3 x 3): its elimination was shown
to take less than a minute and 4 GiB on two cores, and work grows with the cube of the columns."""


class NeededStates:
    """What elimination needs of the inputs of all consumers of the chosen sites, and the answers.

    Args:
        graph: the network.
        sites: the sites to ask.
        plan: of the run.
        tau: share of the variance of each consumer's output that may be lost.
        reach: the path goes on to this u (see ``Needed.later``).
        max_columns: sites with a consumer of more input columns are left out; ``None`` for no limit.
        folder: keeps moments and answers (from ``open_state``).
    """

    def __init__(
        self,
        graph: Graph,
        sites: Sequence[Site],
        plan: Plan,
        *,
        tau: float = TAU,
        reach: float | None = None,
        max_columns: int | None = MAX_COLUMNS,
        folder: WorkFolder | None = None,
    ) -> None:
        self.graph, self.sites, self.plan = graph, tuple(sites), plan
        self.tau, self.reach, self.max_columns, self.folder = tau, reach, max_columns, folder
        self.reasons: dict[str, str] = {}
        inputs: dict[Key, ConsumerInput] = {}
        free: dict[Key, bool] = {}
        refused: dict[Key, str] = {}
        for site in sites:
            reason = self._enter(site, inputs, free, refused)
            if reason is not None:
                self.reasons[site.name] = reason
        wanted = {key for site in sites if site.name not in self.reasons for key in _keys(site)}
        self.inputs = {key: source for key, source in inputs.items() if key in wanted}
        padded = {source.layout for key, source in self.inputs.items() if not free[key]}
        self.intercept = {key: source.layout not in padded for key, source in self.inputs.items()}
        self.moments = ConsumerMoments(graph, plan, self.inputs, self.intercept, folder)

    def _enter(
        self, site: Site, inputs: dict[Key, ConsumerInput], free: dict[Key, bool], refused: dict[Key, str]
    ) -> str | None:
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
            if key not in inputs and key not in refused:
                source = consumer_input(self.graph, consumer)
                if isinstance(source, str):
                    refused[key] = source
                else:
                    inputs[key] = source
            if key in refused:
                return f"consumer {consumer.name} {refused[key]}"
            source = inputs[key]
            if self.max_columns is not None and source.columns > self.max_columns:
                return (
                    f"consumer {consumer.name} has {source.columns:,} input columns, more than the "
                    f"{self.max_columns:,} that are read; measure `needed` by itself with a larger `max_columns`"
                )
            free[key] = free.get(key, True) and not pads_between(self.graph, site, source)
        return None

    @property
    def missing(self) -> bool:
        """Whether a pass over the calibrate examples is needed; not if all moments are on disk already."""
        return self.moments.missing

    def judge(self, site: Site, stage: Int[np.ndarray, " units"] | None = None) -> Needed:
        """Eliminate at one site, unless the answer is on disk.

        Args:
            site: one of the sites.
            stage: as in ``eliminate_blocks``; units that other measures found to be idle go first.
        """
        nothing = Needed(site.name, site.units, self.tau)
        if site.name in self.reasons:
            return replace(nothing, reason=self.reasons[site.name])
        unread = [(c.name, self.moments.unread(key)) for key, c in zip(_keys(site), site.consumers, strict=True)]
        for name, reason in unread:
            if reason is not None:
                return replace(nothing, reason=f"consumer {name}: {reason}")
        counts = [self.moments.rows(key) for key in _keys(site)]
        for key, consumer, count in zip(_keys(site), site.consumers, counts, strict=True):
            columns = self.inputs[key].columns
            if count <= columns + 1:
                reason = (
                    f"too few rows ({count:,} for the {columns:,} input columns of {consumer.name}): every unit would "
                    f"look explained by the others; give more examples ({ROWS_PER_UNIT * columns:,} rows are enough)"
                )
                return replace(nothing, rows=min(counts), reason=reason)
        stage = np.zeros(site.units, dtype=np.int64) if stage is None else stage.astype(np.int64)
        file = f"site-{self.sites.index(site):03}"
        if self.folder is not None and self.folder.holds(file):
            return remembered(nothing, self.folder, file, stage)
        answer = self._eliminate(site, stage, min(counts))
        if self.folder is not None:
            remember(answer, self.folder, file, stage)
        return answer

    def _eliminate(self, site: Site, stage: Int[np.ndarray, " units"], rows: int) -> Needed:
        """Eliminate from moments that are there."""
        owners: dict[bytes, np.ndarray] = {}  # consumers that read the same columns share the work
        readers = []
        for key, consumer in zip(_keys(site), site.consumers, strict=True):
            owner = self.inputs[key].unit_of_column(consumer)
            readers.append(self.moments.reader(key, owners.setdefault(owner.tobytes(), owner), consumer.name))
        found = eliminate_blocks(readers, site.units, self.tau, stage, self.reach)
        names = [consumer.name for consumer in site.consumers]
        return Needed(
            site.name,
            site.units,
            self.tau,
            len(found.kept),
            found.kept,
            found.order,
            {name: found.unexplained[:, i] for i, name in enumerate(names)},
            {name: float(found.final[i]) for i, name in enumerate(names)},
            found.later,
            found.later_unexplained.max(1),
            rows,
            warnings=_warnings(readers),
        )

    def refitted(self, removed: Mapping[str, Bool[np.ndarray, " units"]]) -> dict[str, Refitted]:
        """Fit every consumer to the units that stay at all sites together.

        Args:
            removed: by site the units that go; of sites that are not named none goes.

        Returns:
            By node the consumers that lose a column.
        """
        gone: dict[Key, np.ndarray] = {}
        for site in self.sites:
            if not np.any(removed.get(site.name, False)):
                continue
            for key, consumer in zip(_keys(site), site.consumers, strict=True):
                owner = self.inputs[key].unit_of_column(consumer)
                lost = np.zeros(len(owner), dtype=bool)
                lost[owner >= 0] = removed[site.name][owner[owner >= 0]]
                gone[key] = gone.get(key, False) | lost
        alike: dict[Any, list[Key]] = {}
        for key, lost in gone.items():
            if lost.any():
                alike.setdefault((self.inputs[key].layout, lost.tobytes()), []).append(key)
        fitted = {}
        for keys in alike.values():
            lost = gone[keys[0]]
            owner = np.arange(len(lost))
            readers = [self.moments.reader(key, owner, key[0]) for key in keys]
            for key, reader, (weight, _) in zip(keys, readers, refit(readers, lost), strict=True):
                shift = np.zeros(len(weight))
                if self.intercept[key]:
                    shift = (reader.weight - weight) @ self.moments.mean(key)
                fitted[key[0]] = Refitted(self.inputs[key], self.inputs[key].as_stored(weight), shift)
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
    state: str | PathLike[str] | None = None,
) -> tuple[tuple[Needed, ...], Agreement | str | None]:
    """Ask of every site how many units its consumers need, in one pass over the calibrate examples.

    Args:
        graph: from ``nc.trace``.
        data: any re-iterable of batches.
        seed: of the split and the rows read.
        tau: share of the variance of each consumer's output that may be lost; ``.01`` unless there is a reason.
        sites: names of the sites to ask; all by default.
        max_columns: leave out sites with a consumer of more input columns; no limit by default.
        verify: read the verify examples once, with all removed units of all sites replaced at once.
        state: a folder for what is done already: the moments once the pass is over, then the answer of every site.
            Called again with the same folder, an interrupted measurement goes on from there.

    Returns:
        An answer for every site; and if it was asked for the agreement, whatever it is, or why there is none.

    Raises:
        InputError: an unknown site, a tau outside [0, 1), or a state that belongs to other work.
        DataError: the data are too few, or an input of a consumer is not finite.
    """
    if not 0 <= tau < 1:
        raise InputError(f"`tau` must lie in [0, 1), got {tau}; the default is {TAU}.")
    chosen = graph.sites if sites is None else tuple(graph.site(name) for name in sites)
    plan = Plan(count_examples(data, form=graph.form), seed)
    plan.check()
    if verify and not plan.sizes["verify"]:
        raise DataError(f"`data` must give a verify example to verify on, got none of {plan.examples}; give more.")
    folder = None if state is None else open_state(state, graph, data, plan, chosen, tau=tau, max_columns=max_columns)
    states = NeededStates(graph, chosen, plan, tau=tau, max_columns=max_columns, folder=folder)
    if states.missing:
        for batch in chosen_examples(graph, data, plan.split == CALIBRATE):
            graph.run(batch, taps=states.moments.taps(batch))
    answers = tuple(states.judge(site) for site in chosen)
    return answers, agreement(states, data, answers) if verify else None


def agreement(states: NeededStates, data: Iterable[Any], answers: Sequence[Needed]) -> Agreement | str:
    """Replace all removed units of all sites at once and compare predictions on the verify examples.

    Every consumer is computed with its fitted weight, so that errors of one site reach the next ones.

    Returns:
        The agreement, whatever it is; or why there is none, in words.
    """
    variant = states.refitted({answer.site: answer.removed() for answer in answers})
    examples = chosen_examples(states.graph, data, states.plan.split == VERIFY)
    found = compare(states.graph, examples, {"needed": variant})
    return found if isinstance(found, str) else found["needed"]


def _keys(site: Site) -> list[Key]:
    return [(consumer.node, consumer.operand) for consumer in site.consumers]


def _warnings(readers: Sequence[Reader]) -> tuple[str, ...]:
    """Say in words what makes the count less sure."""
    return tuple(
        f"{reader.rows:,} rows for the {reader.weight.shape[1]:,} input columns of {reader.name} is fewer than "
        f"{ROWS_PER_UNIT} rows a column: too many units look absorbable; give more examples."
        for reader in readers
        if reader.rows < ROWS_PER_UNIT * reader.weight.shape[1]
    )
