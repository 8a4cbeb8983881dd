"""Ablations: the network runs again with units taken away, more and more of them, in several orders.

Everything about one batch is run while its values are there: for each site the part of the network behind it is
replayed for every set of units (a fork), for all sites together the whole network is run. What is kept is by example:
how far every changed output is from the output of the untouched network.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int

from netcaliper.errors import InputError
from netcaliper.feed.examples import chosen_examples
from netcaliper.feed.outputs import Prediction, choices, divergence, same, squared_error, weights
from netcaliper.feed.protocol import Plan
from netcaliper.feed.ranks import Ranks
from netcaliper.measure.perturbation import (
    Noise,
    Order,
    Perturbation,
    UnitStatistics,
    order_of_units,
    taken_away,
)
from netcaliper.measure.untouched import Untouched
from netcaliper.stats.ablation_curve import PAPER_PERMUTATIONS, PAPER_STEPS, PERMUTATIONS, STEPS, Sums
from netcaliper.stats.kappa import Tally, kappa
from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import Graph, Override
from netcaliper.trace.site import Site

NETWORK = "network"
"""Name of the scope of all sites at once."""

OUTPUT_BYTES = 2**28
"""Bytes of outputs of forks that are held at a time; a vocabulary makes large ones."""

FORKS_AT_ONCE = 32
"""Forks that a batch is cut into pieces for, should the outputs be that large."""


class Scope:
    """Sites whose units are ablated together, the same fraction of each, and the sets of units that this takes.

    With ``a_k = k / steps`` the first ``floor(a_k n)`` units of a permutation go. Sets that several levels or
    permutations share (nothing, everything, or the same few units of a narrow site) are run once.

    Attributes:
        name: of the site, or ``"network"``.
        sites: what is ablated together.
        forks: the different sets to run: number of the permutation, level, and units ablated at every site.
        fork: by permutation and level the set, -1 for the untouched network.
    """

    def __init__(self, name: str, sites: Sequence[Site], permutations: int, steps: int, repeats: bool) -> None:
        """Plan the sets; ``repeats`` for noise, where every permutation and level is a set of its own."""
        self.name, self.sites = name, tuple(sites)
        self.forks: list[tuple[int, int, tuple[int, ...]]] = []
        self.fork = np.full((permutations, steps + 1), -1)
        known: dict[tuple[int, ...], int] = {}
        for p in range(permutations):
            for k in range(1, steps + 1):
                counts = tuple(k * site.units // steps for site in sites)
                if not repeats and not any(counts):
                    continue
                whole = k == steps and not repeats
                key = (-1,) if whole else (p, k) if repeats else (p, *counts)
                if key not in known:
                    known[key] = len(self.forks)
                    self.forks.append((p, k, counts))
                self.fork[p, k] = known[key]


@dataclass(frozen=True)
class Curves:
    """What came of the ablations of one scope.

    Attributes:
        levels: share of the units ablated.
        sums: by example, what the agreement is made of.
        kappa: by permutation and level; ``None`` for a regression.
        divergence: the same.
        moved: whether any output value changed in any run.
    """

    levels: Float64[np.ndarray, " levels"]
    sums: Sums
    kappa: Float64[np.ndarray, "permutations levels"] | None
    divergence: Float64[np.ndarray, "permutations levels"] | None
    moved: bool


class Ablations:
    """The ablations of some sites of a network, each alone and all together.

    Args:
        graph: the network.
        sites: the sites whose units are ablated.
        plan: which examples are select examples, the seed and the mode.
        examples: the first so many select examples are run, or all if there are fewer.
        perturbation: ``"zero"``, ``"mean"`` or ``"noise"``.
        order: ``"random"`` or ``"correlated"``.
        statistics: by site, from ``unit_statistics``; needed for means and correlations.
        apart: ablate every site by itself too, not only all together.
        permutations: orders in which units are taken away, 8 by default; the paper's number in paper mode.

    Raises:
        InputError: statistics are needed and not given.

    Attributes:
        scopes: every site by itself; then all together, where there are several.
        untouched: what the network predicts as it is.
        reason: why there will be no answer, in words.
    """

    def __init__(
        self,
        graph: Graph,
        sites: Sequence[Site],
        plan: Plan,
        examples: int,
        *,
        perturbation: Perturbation = "zero",
        order: Order = "random",
        statistics: Mapping[str, UnitStatistics] | None = None,
        apart: bool = True,
        permutations: int | None = None,
    ) -> None:
        if (perturbation == "mean" or order == "correlated") and statistics is None:
            raise InputError(
                f"`statistics` must be given for perturbation {perturbation!r} in order {order!r}, got none; pass "
                "unit_statistics(graph, data, plan, sites)."
            )
        self.graph, self.plan = graph, plan
        examples = min(examples, plan.sizes["select"])
        self.perturbation: Perturbation = perturbation
        self.order: Order = order
        self.untouched = Untouched(plan, examples)
        paper = plan.mode == "paper"
        self.permutations, self.steps = (
            (PAPER_PERMUTATIONS, PAPER_STEPS) if paper else (permutations or PERMUTATIONS, STEPS)
        )
        scope = partial(Scope, permutations=self.permutations, steps=self.steps, repeats=perturbation == "noise")
        self.scopes = [scope(site.name, [site]) for site in sites if apart or len(sites) == 1]
        if len(sites) > 1:
            self.scopes.append(scope(NETWORK, sites))
        self._states = {scope.name: _State(len(scope.forks), examples) for scope in self.scopes}
        self.seen = np.zeros(examples, dtype=bool)
        ordering = statistics if order == "correlated" else None
        self._mean = statistics if perturbation == "mean" else None
        self._orders = {
            (site.name, p): order_of_units(site, p, plan.seed, None if ordering is None else ordering[site.name])
            for site in sites
            for p in range(self.permutations)
        }
        self._taken: dict[tuple[str, int, int], Override] = {}

    # ---- running

    def look(self, batch: Batch, output: Any) -> None:
        """Take in what the untouched network returned for a batch, before anything is run.

        Where all examples were looked at, ``reason`` tells beforehand that agreement would say nothing, and ``run``
        runs nothing.
        """
        self.untouched.update(batch, output)

    @property
    def reason(self) -> str | None:
        """Why there is (or will be) no answer, in words."""
        untouched = self.untouched
        if untouched.reason is not None or self.plan.mode == "paper" or not untouched.seen.all():
            return untouched.reason
        return untouched.undefined()

    def run(self, batch: Batch) -> None:
        """Run everything for the examples of a batch that are wanted; others are left out."""
        batch = batch.take(torch.from_numpy(self.untouched.wanted(batch.indices.numpy())))
        if batch.size == 0 or self.reason is not None:
            return
        if self.untouched.task is None:
            self.look(batch, self.graph.run(batch).output)
        size = self.graph.traced_batch
        if self.graph.dynamic_batch:
            size = max(1, min(batch.size, OUTPUT_BYTES // (self.untouched.bytes * FORKS_AT_ONCE)))
        for start in range(0, batch.size if self.untouched.reason is None else 0, size):
            self._piece(batch.take(torch.arange(start, min(start + size, batch.size))))

    def _filled(self, batch: Batch) -> Batch:
        """Return the batch as the graph takes it: at its fixed size, if it has one."""
        return batch if self.graph.dynamic_batch else batch.repeated(self.graph.traced_batch)

    def _piece(self, batch: Batch) -> None:
        """Run everything for a few examples: what comes after a site, and at last the whole network."""
        columns = self.plan.rank[batch.indices.numpy()]
        filled = self._filled(batch)
        noise = Noise(self.graph, filled, batch.size, self.plan.seed)
        plain: Prediction | None = None
        fitting = max(1, OUTPUT_BYTES // (self.untouched.bytes * filled.size))
        alone = [scope for scope in self.scopes if scope.name != NETWORK]
        for chunk in list(_chunks(alone, fitting)) or [[]]:  # without any fork the untouched network runs all the same
            forks = {scope.name: [self._overrides(scope, f, noise)[scope.name] for f in fs] for scope, fs in chunk}
            run = self.graph.run(filled, forks=forks)
            plain = plain or self.untouched.update(filled, run.output)
            if plain is None:
                return
            for scope, fs in chunk:
                self._states[scope.name].enter(plain.first(batch.size), run.forks[scope.name], columns, fs.start)
        assert plain is not None
        for ((scope, fs),) in _chunks(self.scopes[len(alone) :], fitting):
            outputs = [self.graph.run(filled, overrides=self._overrides(scope, f, noise)).output for f in fs]
            self._states[scope.name].enter(plain.first(batch.size), outputs, columns, fs.start)
        self.seen[columns] = True

    def _overrides(self, scope: Scope, fork: int, noise: Noise) -> dict[str, Override]:
        """Return by site what one of the sets of a scope does."""
        p, k, counts = scope.forks[fork]
        if self.perturbation == "noise":
            return {site.name: noise.added(site, p, k / self.steps) for site in scope.sites}
        return {site.name: self._without(site, p, count) for site, count in zip(scope.sites, counts, strict=True)}

    def _without(self, site: Site, p: int, count: int) -> Override:
        """Return what the first units of an order going does, made once for all batches and scopes."""
        key = (site.name, p, count)
        if key not in self._taken:
            mean = None if self._mean is None else self._mean[site.name].mean
            self._taken[key] = taken_away(site, self._orders[site.name, p][:count], self.graph, mean)
        return self._taken[key]

    def merge(self, other: "Ablations") -> None:
        """Take in what other ablations of the same scopes found for other examples."""
        self.untouched.merge(other.untouched)
        for name, state in self._states.items():
            state.merge(other._states[name], other.seen)
        self.seen |= other.seen

    def look_together(self, ranks: Ranks) -> None:
        """Take in what other processes looked at; all know then what the untouched network predicts."""
        self.untouched = ranks.merged(self.untouched, shared=(self.plan,))

    def pool(self, ranks: Ranks) -> None:
        """Take in what other processes found for other examples; all have the same curves then."""
        self.look_together(ranks)
        for name, state in self._states.items():
            self._states[name], _ = ranks.merged((state, self.seen), _merged)
        self.seen = ranks.merged(self.seen, np.logical_or)

    def curves(self, scope: Scope) -> Curves:
        """Return what came of a scope."""
        state, seen = self._states[scope.name], self.seen
        nothing = np.zeros((1, int(seen.sum())))  # the last row: the untouched network, which index -1 stands for
        loss = np.concatenate([state.loss[:, seen], nothing])
        levels = np.arange(self.steps + 1) / self.steps
        sums = Sums(loss[scope.fork], self.untouched.scale())
        if state.tally is None:
            return Curves(levels, sums, None, None, state.moved)
        share = self.untouched.shares()
        corrected = kappa(1 - loss.mean(1), np.append(state.tally.chance(share), np.sum(share**2)))
        far = np.concatenate([state.divergence[:, seen], nothing]).mean(1)
        return Curves(levels, sums, corrected[scope.fork], far[scope.fork], state.moved)


class _State:
    """What is kept of one scope, by set of units and example."""

    def __init__(self, forks: int, examples: int) -> None:
        self.forks = forks
        self.loss = np.zeros((forks, examples))
        self.divergence = np.zeros((forks, examples))
        self.tally: Tally | None = None
        self.moved = False

    def enter(
        self, plain: Prediction, outputs: Sequence[Any], columns: Int[np.ndarray, " examples"], first: int
    ) -> None:
        """Take in the outputs of the sets from ``first`` on, for the examples of these columns."""
        rows, shape = slice(first, first + len(outputs)), (len(outputs), len(columns))
        scores = torch.cat([plain.of(output).scores[: len(columns)] for output in outputs])
        before = plain.repeated(len(outputs))
        after = replace(before, scores=scores)
        self.moved = self.moved or bool((scores != before.scores).any())
        if plain.task == "regression":
            self.loss[rows, columns] = squared_error(before, after).view(shape).cpu().numpy()
            return
        self.loss[rows, columns] = 1 - same(before, after).view(shape).cpu().numpy()
        self.divergence[rows, columns] = divergence(before, after).view(shape).cpu().numpy()
        self.tally = self.tally or Tally(self.forks, plain.scores.shape[-1])
        chosen = choices(after).view(len(outputs), -1)
        self.tally.update(chosen.cpu().numpy(), weights(plain).flatten().cpu().numpy(), first)

    def merge(self, other: "_State", seen: Bool[np.ndarray, " examples"]) -> None:
        """Take in the examples that another state has seen."""
        self.loss[:, seen] = other.loss[:, seen]
        self.divergence[:, seen] = other.divergence[:, seen]
        self.moved = self.moved or other.moved
        if other.tally is not None:
            self.tally = self.tally or Tally(self.forks, other.tally.classes)
            self.tally.merge(other.tally)


def _merged(mine: tuple[_State, np.ndarray], theirs: tuple[_State, np.ndarray]) -> tuple[_State, np.ndarray]:
    """Merge the states of one scope with the examples that they have seen."""
    mine[0].merge(*theirs)
    return mine


def _chunks(scopes: Sequence[Scope], size: int) -> Iterator[list[tuple[Scope, range]]]:
    """Deal the sets of all scopes into chunks of ``size``."""
    held: list[tuple[Scope, range]] = []
    free = size
    for scope in scopes:
        start = 0
        while start < len(scope.forks):
            stop = min(start + free, len(scope.forks))
            held.append((scope, range(start, stop)))
            start, free = stop, free - (stop - start)
            if free == 0:
                yield held
                held, free = [], size
    if held:
        yield held


def ablated(graph: Graph, data: Iterable[Any], ablations: Ablations) -> Iterator[Batch]:
    """Give the examples that are ablated, as many at a time as the data do if the graph takes any number."""
    every = np.arange(ablations.plan.examples)
    return chosen_examples(graph, data, np.isin(every, ablations.untouched.wanted(every)))
