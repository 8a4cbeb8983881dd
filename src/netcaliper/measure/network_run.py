"""One network, from the passes over the data to its rows in a reading: the same for a model and for its twin."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch

from netcaliper.feed.examples import chosen_examples
from netcaliper.feed.one_pass import OnePass, Tell
from netcaliper.feed.outputs import MAJORITY
from netcaliper.feed.protocol import Findings, Measure, Plan
from netcaliper.feed.ranks import ALONE, Ranks
from netcaliper.feed.work_folder import WorkFolder
from netcaliper.measure.ablation import Ablations, ablated
from netcaliper.measure.ablation_cost import (
    FEWEST_EXAMPLES,
    FEWEST_PERMUTATIONS,
    FEWEST_SEQUENCES,
    ablated_examples,
    ablation_passes,
    operations,
)
from netcaliper.measure.needed import NeededStates
from netcaliper.measure.needed_answer import Needed
from netcaliper.measure.needed_at import REACH, SEEDS, TAUS, ChosenTau, needed_at, select_tau, variants
from netcaliper.measure.network import network_reading
from netcaliper.measure.path_length import PathLength, measured_lengths
from netcaliper.measure.perturbation import unit_statistics
from netcaliper.measure.prunable import Pruned, answer, not_ablated
from netcaliper.measure.replacement import Agreement, compare
from netcaliper.measure.site_record import SiteAnswer, idle_first, needed_findings, site_answer
from netcaliper.reading.schema import NeededAt, NetworkReading, PathLengths, SiteReading
from netcaliper.stats.ablation_curve import PERMUTATIONS
from netcaliper.stats.sampling import VERIFY
from netcaliper.trace.graph import Graph
from netcaliper.trace.site import Site
from netcaliper.trace.trunk import trunk_sites

ABLATION_PASSES = 24.0
"""Forward passes of the data that the ablations of one network take at most (its twin takes as many) ..."""

ALWAYS_MACS = 10**13
"""... unless that many multiply-accumulates are enough; beyond both, single sites are not ablated."""

ABLATED_AT_ONCE = 32
"""Examples that are ablated between two reports of progress."""


@dataclass(frozen=True)
class NetworkAnswer:
    """What was read of one network.

    Attributes:
        network: the network in one row.
        sites: a row a site.
        arrays: by ``"<site index>/<name>"`` and ``"network/<name>"``.
        fingerprint: of the data.
        verification_reads: how often verify examples were run.
        passes: forward passes of all the data that it took.
        warnings: in words.
    """

    network: NetworkReading
    sites: tuple[SiteReading, ...]
    arrays: dict[str, np.ndarray]
    fingerprint: str
    verification_reads: int
    passes: float
    warnings: tuple[str, ...]


_NEEDED = "needed at .01"


@dataclass(frozen=True)
class _Verified:
    """What the verify examples said.

    Attributes:
        agreement: of the network without all units that consumers can do without.
        needed_at: the fewest units at an agreement of .97.
        reads: how often the examples were run.
        warnings: in words.
    """

    agreement: Agreement | None = None
    needed_at: NeededAt | None = None
    reads: int = 0
    warnings: tuple[str, ...] = ()


class NetworkRun:
    """What is going to be read of one network; planned first, so that its cost can be told before it runs.

    Args:
        graph: the network.
        sites: the sites that are read.
        plan: what is read of the data.
        measures: the measures that one pass feeds.
        names: of all measures that are taken.
        parameters: number of parameters of the network.
        macs: multiply-accumulates of one example.
        verify: run the verify examples.
        ablation: what stands in for units that are taken away.
        sequences: the network predicts something for every token of an example.
        budget: forward passes of the data that ablations may cost.
        folder: keeps what elimination needs and finds, so that an interrupted run goes on.
        ranks: the processes that share the batches of every pass, and the sites to judge.
    """

    def __init__(
        self,
        graph: Graph,
        sites: Sequence[Site],
        plan: Plan,
        measures: Sequence[Measure],
        names: frozenset[str],
        *,
        parameters: int,
        macs: int,
        verify: bool = True,
        ablation: Literal["zero", "mean"] = "zero",
        sequences: bool = False,
        budget: float = ABLATION_PASSES,
        folder: WorkFolder | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.ranks = ranks
        self.graph, self.sites, self.plan, self.measures, self.names = graph, tuple(sites), plan, measures, names
        self.parameters, self.macs, self.verify = parameters, macs, verify
        self.ablation: Literal["zero", "mean"] = ablation
        self.budget = budget
        self._fewest = FEWEST_SEQUENCES if sequences else FEWEST_EXAMPLES
        self._without_mean: frozenset[str] = frozenset()
        self.needed: NeededStates | None = None
        if "needed" in names:
            reach = REACH if "needed_at_97" in names else None
            self.needed = NeededStates(graph, self.sites, plan, reach=reach, folder=folder)

    # ---- what it will cost

    @cached_property
    def ablated_sites(self) -> tuple[Site, ...]:
        """The sites whose units are taken away: inner ones, in paper mode those of the paper."""
        if "prunable" not in self.names:
            return ()
        if self.plan.mode == "paper":
            paper = {site.name for site in trunk_sites(self.graph)}
            return tuple(site for site in self.sites if site.name in paper)
        return tuple(site for site in self.sites if not_ablated(self.graph, site) is None)

    @cached_property
    def apart(self) -> bool:
        """Whether each site is ablated by itself too, and not only all of them at once."""
        return self._affordable(self._ablation_passes(apart=True))

    @cached_property
    def permutations(self) -> int:
        """Number of orders in which units are taken away."""
        affordable = self._affordable(self._ablation_passes(apart=self.apart))
        return PERMUTATIONS if affordable else FEWEST_PERMUTATIONS

    def _affordable(self, passes_an_example: float) -> bool:
        """Tell whether the fewest examples that an agreement needs keep to the budget, or cost little anyway."""
        fewest = min(self._fewest, self.plan.sizes["select"]) * passes_an_example
        return fewest <= self.budget * self.plan.examples or fewest * self.macs <= ALWAYS_MACS

    @cached_property
    def ablated_examples(self) -> int:
        """Number of select examples on which units are taken away."""
        return ablated_examples(
            self.plan.sizes["select"],
            self.plan.examples,
            self._passes_an_example,
            budget=self.budget,
            fewest=self._fewest,
        )

    @cached_property
    def _passes_an_example(self) -> float:
        return self._ablation_passes(apart=self.apart, permutations=self.permutations)

    def _ablation_passes(self, *, apart: bool, permutations: int = PERMUTATIONS) -> float:
        if not self.ablated_sites:
            return 1.0
        ablations = Ablations(self.graph, self.ablated_sites, self.plan, 1, apart=apart, permutations=permutations)
        return ablation_passes(ablations, self._operations)

    @cached_property
    def _operations(self) -> dict[str, int]:
        return operations(self.graph)

    def passes(self, ablated: int | None = None) -> float:
        """Return the forward passes of all the data that the run takes.

        Args:
            ablated: number of examples on which units are taken away; as planned by default.
        """
        sizes = self.plan.sizes
        examples = sizes["calibrate"] + sizes["select"]
        ablations = 0.0
        if self.ablated_sites:
            ablations = (self.ablated_examples if ablated is None else ablated) * self._passes_an_example
            examples += sizes["calibrate"] if self.ablation == "mean" else 0
        if self.needed is not None and self.verify:
            replaced = 2  # a consumer that is replaced is computed twice, so this is the most that a run can cost
            examples += (1 + replaced) * sizes["verify"]
            if "needed_at_97" in self.names:
                steps = len(TAUS).bit_length()
                examples += (1 + replaced * steps) * sizes["select"] + replaced * (SEEDS + 1) * sizes["verify"]
        return (examples + ablations) / self.plan.examples

    # ---- running

    def run(self, data: Iterable[Any], size: int, tell: Tell) -> NetworkAnswer:
        """Read the network: one pass, the judging of every site, the ablations, and last the verify examples.

        Args:
            data: any re-iterable of batches.
            size: examples a batch.
            tell: called as it goes on.
        """
        ablations = self._ablations(data)
        look = ablations.look if ablations is not None else None
        moments = self.needed.moments if self.needed is not None else None
        one = OnePass(self.graph, self.sites, self.measures, moments, self.plan, look, self.ranks)
        one.run(data, size, tell)
        if ablations is not None:
            ablations.look_together(self.ranks)
        judged = self.ranks.dealt(self.sites, lambda site: self._judged(site, one, tell))
        findings = {site.name: found for site, (found, _) in zip(self.sites, judged, strict=True)}
        answers = [needed for _, needed in judged if needed is not None]
        pruned = None if ablations is None else self._ablated(data, ablations, findings, tell)
        verified = self._verified(data, answers, tell)
        found = [
            site_answer(
                site,
                findings[site.name],
                examples=self.plan.sizes["calibrate"] + self.plan.sizes["select"],
                positions=one.positions[site.name],
            )
            for site in self.sites
        ]
        arrays = {f"{i}/{key}": array for i, one_site in enumerate(found) for key, array in one_site.arrays.items()}
        if pruned is not None:
            arrays |= {f"network/{key}": array for key, array in pruned.arrays.items()}
        network = network_reading(
            self.sites,
            found,
            parameters=self.parameters,
            macs=self.macs,
            pruned=pruned,
            agreement=verified.agreement,
            needed_at_97=verified.needed_at,
            lengths=self._lengths(found),
        )
        warnings = [] if pruned is None or pruned.reason is None else [f"network: {pruned.reason}."]
        return NetworkAnswer(
            network,
            tuple(answer.record for answer in found),
            arrays,
            one.fingerprint.finish(),
            verified.reads,
            self.passes(0 if ablations is None else int(ablations.seen.sum())),
            (*warnings, *verified.warnings),
        )

    def _lengths(self, found: Sequence[SiteAnswer]) -> tuple[PathLength | None, PathLengths]:
        """Measure the paths, with the units that are linear on the data."""
        states = {
            site.name: answer.arrays["unit_state"]
            for site, answer in zip(self.sites, found, strict=True)
            if site.kind != "stream" and "unit_state" in answer.arrays
        }
        return measured_lengths(self.graph, states)

    def _judged(self, site: Site, one: OnePass, tell: Tell) -> tuple[dict[str, Findings], Needed | None]:
        """Return all findings of one site, and what its consumers need if that is asked."""
        findings = self._findings(site, one, tell)
        return findings, None if self.needed is None else self._eliminated(site, findings, tell)

    def _findings(self, site: Site, one: OnePass, tell: Tell) -> dict[str, Findings]:
        """Finish the states of one site; they are let go."""
        tell(f"judging {site.name}", self.plan.examples, self.plan.examples)
        if site.name in one.unread:
            reasons = [f"not measured: {one.unread[site.name]}"] + [None] * len(self.measures)
            return {m.name: Findings(reason=reason) for m, reason in zip(self.measures, reasons, strict=False)}
        states = one.states[site.name]
        return {m.name: m.finish(site, states.pop(m.name), self.plan) for m in self.measures}

    def _eliminated(self, site: Site, findings: dict[str, Findings], tell: Tell) -> Needed:
        """Ask what the consumers of a site need, and enter it among its findings."""
        assert self.needed is not None
        tell(f"eliminating at {site.name}", self.plan.examples, self.plan.examples)
        found = self.needed.judge(site, idle_first(findings, site.units))
        findings["needed"] = needed_findings(found)
        return found

    def _ablations(self, data: Iterable[Any]) -> Ablations | None:
        """Plan what is taken away; for means the calibrate examples are run."""
        if "prunable" not in self.names:
            return None
        sites, statistics = self.ablated_sites, None
        if self.ablation == "mean":
            statistics = unit_statistics(self.graph, data, self.plan, sites, self.ranks) if sites else {}
            self._without_mean = frozenset(site.name for site in sites if site.name not in statistics)
            sites = tuple(site for site in sites if site.name in statistics)
        return Ablations(
            self.graph,
            sites,
            self.plan,
            self.ablated_examples,
            perturbation=self.ablation,
            statistics=statistics,
            apart=self.apart,
            permutations=self.permutations,
        )

    def _ablated(
        self, data: Iterable[Any], ablations: Ablations, findings: Mapping[str, dict[str, Findings]], tell: Tell
    ) -> Pruned:
        """Take units away, enter what came of it among the findings, and return that of all sites at once."""
        for site in self.sites:
            findings[site.name]["prunable"] = Findings(reason=self._not_ablated(site))
        done = 0
        for number, batch in enumerate(ablated(self.graph, data, ablations) if self.ablated_sites else ()):
            if not self.ranks.runs(number):
                done += batch.size
                continue
            for start in range(0, batch.size, ABLATED_AT_ONCE):  # hundreds of runs each: a bar that moves now and then
                piece = batch.take(torch.arange(start, min(start + ABLATED_AT_ONCE, batch.size)))
                ablations.run(piece)
                done += piece.size
                tell("taking units away", done, self.ablated_examples)
        ablations.pool(self.ranks)
        found = answer(ablations)
        for one in found.sites:
            findings[one.name]["prunable"] = Findings(
                fields={"prunable": one.share, "ablation": one.ablation}, arrays=one.arrays, reason=one.reason
            )
        return found.network

    def _not_ablated(self, site: Site) -> str | None:
        """Say why a site is not ablated by itself, if it is not."""
        if site.name in self._without_mean:
            return "prunable: there is no mean, since padding cannot be told from data here"
        if site in self.ablated_sites:
            return None if self.apart else f"prunable: by itself it would cost more than {self.budget:g} passes"
        reason = not_ablated(self.graph, site)
        return f"prunable: {reason}" if reason else "prunable: not among the paper's sites"

    def _verified(self, data: Iterable[Any], answers: Sequence[Needed], tell: Tell) -> "_Verified":
        """Choose what else is to be verified on select examples; then run the verify examples, once for everything."""
        if self.needed is None or not self.verify:
            return _Verified()
        tell("verifying", 0, 1)
        run = {_NEEDED: self.needed.refitted({found.site: found.removed() for found in answers})}
        chosen = select_tau(self.needed, data, answers, ranks=self.ranks) if "needed_at_97" in self.names else None
        if isinstance(chosen, ChosenTau):
            run |= variants(self.needed, chosen)
        if not self.plan.sizes["verify"]:
            return _Verified(warnings=("no agreement: the data give no verify example.",))
        examples = chosen_examples(self.graph, data, self.plan.split == VERIFY)
        found = compare(self.graph, examples, run, ranks=self.ranks)
        record = None if chosen is None else needed_at(chosen, found)
        if isinstance(found, str):
            return _Verified(None, record, 1, (f"no agreement: {found}.",))
        agreement, warnings = found[_NEEDED], ()
        if agreement.largest_class is not None and agreement.largest_class > MAJORITY:
            warnings = (
                f"one class holds {agreement.largest_class:.0%} of the predictions, so that the agreement says little.",
            )
        return _Verified(agreement, record, 1, warnings)
