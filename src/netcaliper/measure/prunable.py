"""Prunable: which share of a layer's units, taken at random, can go without the network changing its mind?

Random ablation is the bluntest way to prune, so the share is a lower bound on what a choice of units could remove. The
definition is that of "Frivolous Units" (Casper et al. 2021), on a finer grid, over more orders of the units, with their
mean in place of their largest value; paper mode does it to the letter.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor
from typing import Any, Literal, get_args

import numpy as np

from netcaliper.errors import DataError, InputError
from netcaliper.feed.outputs import Task
from netcaliper.feed.protocol import Mode, Plan
from netcaliper.measure.ablation import NETWORK, Ablations, Curves, Scope, ablated
from netcaliper.measure.ablation_cost import MOST_EXAMPLES
from netcaliper.measure.perturbation import Order, Perturbation, unit_statistics
from netcaliper.reading.schema import Ablation, Share
from netcaliper.stats.ablation_curve import bootstrap, first_crossing, over_permutations, t_interval
from netcaliper.stats.intervals import fewest_trials
from netcaliper.trace.batches import count_examples
from netcaliper.trace.graph import Graph
from netcaliper.trace.site import Site
from netcaliper.trace.trunk import trunk_sites

THRESHOLD: dict[Task, float] = {"classification": 0.8, "tokens": 0.8, "regression": 0.9}
"""Least agreement with the untouched network; of a regression the least ``1 - relative error``."""


@dataclass(frozen=True)
class Pruned:
    """How many random units of one scope can go.

    Attributes:
        name: of the site, or ``"network"`` for all of them at once.
        units: number of units.
        share: the prunable share with its interval over permutations, ``None`` if undefined.
        ablation: how it was measured, with the rest of the answer.
        arrays: ``ablation_levels``, ``ablation_agreement`` and, but for a regression, ``ablation_kappa`` and
            ``ablation_divergence``.
        reason: why there is no answer, in words.
    """

    name: str
    units: int
    share: Share | None = None
    ablation: Ablation | None = None
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True)
class Prunable:
    """The answers for every site that was ablated, and for all of them at once."""

    sites: tuple[Pruned, ...]
    network: Pruned


def not_ablated(graph: Graph, site: Site) -> str | None:
    """Say why the units of a site are not ablated by default, if they are not.

    A gate couples the layers that make its two operands, but its own units can go alone.
    """
    if site.kind == "stream":
        return "not ablated: a residual sum carries the units of every block before it; its writers and readers are"
    if any(site.name in group.sites and len(group.sites) > 1 for group in graph.groups):
        return f"not ablated: its units are coupled with those of other sites ({site.group}) and can only go with them"
    return None


def inner_sites(graph: Graph) -> tuple[Site, ...]:
    """Return the sites that are ablated by default: activations and gates that share their units with no other site."""
    return tuple(site for site in graph.sites if not_ablated(graph, site) is None)


def answer(ablations: Ablations) -> Prunable:
    """Answer from finished ablations.

    Args:
        ablations: after all batches (and merges).
    """
    found = {scope.name: _judged(ablations, scope) for scope in ablations.scopes}
    sites = tuple(one for name, one in found.items() if name != NETWORK)
    if NETWORK in found:
        return Prunable(sites, found[NETWORK])
    if not sites:
        return Prunable(
            (), Pruned(NETWORK, 0, reason="prunable: the network has no site whose units can be ablated alone")
        )
    (only,) = sites
    return Prunable(sites, Pruned(NETWORK, only.units, only.share, only.ablation, only.arrays, only.reason))


def _judged(ablations: Ablations, scope: Scope) -> Pruned:
    """Turn the curves of one scope into a share."""
    units = sum(site.units for site in scope.sites)
    task, seen = ablations.untouched.task, int(ablations.seen.sum())
    if ablations.reason is not None:
        return Pruned(scope.name, units, reason=f"prunable: {ablations.reason}")
    if task is None or seen < len(ablations.seen):
        reason = f"prunable: {seen:,} of {len(ablations.seen):,} examples were run"
        return Pruned(scope.name, units, reason=reason)
    threshold = THRESHOLD[task]
    needed = fewest_trials(threshold)
    if seen < needed:
        reason = (
            f"prunable: too few examples ({seen:,}): an agreement of {threshold} can be shown with {needed} or more; "
            "give more examples"
        )
        return Pruned(scope.name, units, reason=reason)
    paper = ablations.plan.mode == "paper"
    curves = ablations.curves(scope)
    arrays = {"ablation_levels": curves.levels, "ablation_agreement": curves.sums.agreement()}
    if curves.kappa is not None and curves.divergence is not None:
        arrays |= {"ablation_kappa": curves.kappa, "ablation_divergence": curves.divergence}
    shares, censored = first_crossing(arrays["ablation_agreement"], threshold)
    value = float(over_permutations(shares, paper=paper))
    low, high = bootstrap(curves.sums, threshold, seed=ablations.plan.seed, paper=paper)
    interval = None if paper else t_interval(shares)
    share = Share(
        value=value,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        over=f"no interval: the largest of {len(shares)} permutations"
        if interval is None
        else f"95 % t interval over {len(shares)} permutations",
        sample=seen,
    )
    record = Ablation(
        perturbation=ablations.perturbation,
        order=ablations.order,
        task=task,
        threshold=threshold,
        permutations=len(shares),
        censored=int(np.count_nonzero(censored)),
        count=floor(value * units),
        examples=seen,
        bootstrap_low=low,
        bootstrap_high=high,
        warnings=_warnings(ablations, curves, censored),
    )
    return Pruned(scope.name, units, share, record, arrays)


def _warnings(ablations: Ablations, curves: Curves, censored: np.ndarray) -> tuple[str, ...]:
    """Say in words what the share hides."""
    said = []
    undefined = ablations.untouched.undefined()
    if ablations.perturbation == "noise":
        said.append("The share is a level of noise, in standard deviations of an example's activations, not of units.")
    if undefined is not None:
        said.append(f"Outside of paper mode this share is {undefined}.")
    if not curves.moved:
        said.append("Taking all units away changes no output value: the output ignores them.")
    elif censored.any():
        said.append(
            f"{np.count_nonzero(censored)} of {len(censored)} permutations never fell below the threshold; they count "
            "as 1."
        )
    return tuple(said)


def prunable(
    graph: Graph,
    data: Iterable[Any],
    *,
    seed: int = 0,
    ablation: Perturbation = "zero",
    order: Order = "random",
    scope: Literal["inner", "paper"] | Sequence[str] | None = None,
    mode: Mode = "default",
    examples: int | None = None,
) -> Prunable:
    """Ask which share of random units can be ablated while the network keeps its predictions.

    Args:
        graph: from ``nc.trace``.
        data: any re-iterable of batches; select examples are read, first as they are. For means and correlations the
            calibrate examples are read once before.
        seed: of the split and of the permutations.
        ablation: ``"zero"``, ``"mean"`` (over calibrate examples), or ``"noise"`` (Gaussian, of standard deviation
            level times that of the example's own activations at the site).
        order: ``"random"``, or ``"correlated"``: a random unit first, then those most correlated with it.
        scope: ``"inner"`` for the sites that share their units with no other, ``"paper"`` for the trunk (stem and stage
            outputs of a residual network, all hidden activations of a chain), or names of sites. By default as the mode
            has it.
        mode: ``"default"``, or ``"paper"``: 7 levels, the largest of 3 permutations.
        examples: run so many select examples; by default all, up to 1,000.

    Returns:
        An answer for every site, and for all of them at once.

    Raises:
        InputError: an argument cannot be used, or an unknown site.
        DataError: too few examples to show the agreement that is asked for.
    """
    for argument, given, type_ in (("ablation", ablation, Perturbation), ("order", order, Order), ("mode", mode, Mode)):
        if given not in get_args(type_):
            raise InputError(f"`{argument}` must be one of {', '.join(get_args(type_))}, got {given!r}.")
    if ablation == "noise" and order != "random":
        raise InputError('`order` must be "random" for noise, which all units get at once, got "correlated".')
    sites = _sites(graph, scope or ("paper" if mode == "paper" else "inner"))
    plan = Plan(count_examples(data, form=graph.form), seed, mode)
    wanted = plan.sizes["select"] if examples is None else examples
    chosen = min(wanted, plan.sizes["select"], *([] if examples is not None else [MOST_EXAMPLES]))
    _check(chosen, plan, examples, THRESHOLD["classification"])
    reads = ablation == "mean" or order == "correlated"
    statistics = unit_statistics(graph, data, plan, sites) if reads else None
    unread = [] if statistics is None else [site.name for site in sites if site.name not in statistics]
    if unread:
        raise DataError(
            f"`ablation` and `order` need statistics of every site, but at {unread[0]} padding cannot be told from "
            'data; give examples without padding, name other sites (`scope`), or use "zero" and "random".'
        )
    ablations = Ablations(graph, sites, plan, chosen, perturbation=ablation, order=order, statistics=statistics)
    for batch in ablated(graph, data, ablations) if sites else ():
        ablations.look(batch, graph.run(batch).output)
    if ablations.untouched.task is not None:
        _check(chosen, plan, examples, THRESHOLD[ablations.untouched.task])
    for batch in ablated(graph, data, ablations) if sites and ablations.reason is None else ():
        ablations.run(batch)
    return answer(ablations)


def _sites(graph: Graph, scope: str | Sequence[str]) -> tuple[Site, ...]:
    if isinstance(scope, str):
        if scope not in ("inner", "paper"):
            raise InputError(f'`scope` must be "inner", "paper" or a list of site names, got {scope!r}.')
        return inner_sites(graph) if scope == "inner" else trunk_sites(graph)
    return tuple(graph.site(name) for name in scope)


def _check(chosen: int, plan: Plan, examples: int | None, threshold: float) -> None:
    """Refuse what cannot show an agreement.

    Raises:
        DataError: too few select examples, or fewer than were asked for.
    """
    needed = fewest_trials(threshold)
    if chosen < needed:
        named = "data" if examples is None or plan.sizes["select"] < needed else "examples"
        raise DataError(
            f"`{named}` must give at least {needed} select examples to show an agreement of {threshold}, got {chosen} "
            f"(of {plan.examples:,} in all); give about {4 * needed} examples or more."
        )
