"""Needed at an agreement: the fewest units, over one common tau, with which the network still agrees with itself.

*Needed* allows every consumer the same small loss and says what the network then makes of it. Here it is the other way
round: the agreement is given, and tau is the largest one (the same for all sites) at which it is reached, with all
removed units of all sites replaced at once. The path of every site is eliminated once; at a smaller tau the units that
go are a start of it. Tau is found on select examples and confirmed on verify examples, which see nothing else. Beside
it as many random units of every site go, and all consumers are fitted again in the same way.

A tau passes if the one-sided 95 % Clopper-Pearson lower bound of the agreement is at least the target, on select as on
verify examples. Both must then be enough for that bound to get there if no prediction differs at all (99 for .97). A
regression has no such bound: there the agreement itself must reach the target.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from netcaliper.errors import InputError
from netcaliper.feed.examples import chosen_examples
from netcaliper.feed.outputs import MAJORITY
from netcaliper.feed.ranks import ALONE, Ranks
from netcaliper.measure.needed import NeededStates
from netcaliper.measure.needed_answer import Needed
from netcaliper.measure.replacement import Agreement, Remembered, Variant, compare
from netcaliper.reading.schema import NeededAt
from netcaliper.stats.intervals import fewest_trials
from netcaliper.stats.sampling import SELECT

TARGET = 0.97
REACH = 0.5
"""Largest tau that is tried; ``NeededStates`` must go on to it."""

TAUS = np.geomspace(1e-6, REACH, 255)
"""What bisection chooses from, in 8 steps."""

SEEDS = 3

_CHOSEN = "needed at the agreement"


@dataclass(frozen=True)
class ChosenTau:
    """What was chosen on select examples, and is not touched again.

    Attributes:
        target: the agreement asked for.
        tau: the largest one that passed.
        removed: by judged site the units that go.
    """

    target: float
    tau: float
    removed: Mapping[str, Bool[np.ndarray, " units"]]


def select_tau(
    states: NeededStates,
    data: Iterable[Any],
    answers: Sequence[Needed],
    target: float = TARGET,
    ranks: Ranks = ALONE,
) -> ChosenTau | str:
    """Find the largest tau at which the network agrees with itself on the select examples.

    Bisection over ``TAUS``: should agreement not fall with tau everywhere, what is found passes and the next tau does
    not. Reads the data about nine times, but runs select examples only.

    Args:
        states: with ``reach=REACH``.
        data: any re-iterable of batches.
        answers: of ``states.judge`` for every site.
        target: the agreement asked for, in (0, 1).
        ranks: the processes that share the batches; all make the same choice.

    Returns:
        The choice, or why there is none, in words.

    Raises:
        InputError: a target outside (0, 1), or states that stop before ``REACH``.
    """
    if not 0 < target < 1:
        raise InputError(f"`target` must lie in (0, 1), got {target}; the default is {TARGET}.")
    if states.reach != REACH:
        raise InputError(f"`states` must reach {REACH}, got {states.reach}; make them with `reach=REACH`.")
    judged = [answer for answer in answers if answer.order is not None]
    if not judged:
        return "no site was judged"
    wanted = states.plan.split == SELECT
    untouched = Remembered(states.graph)
    first = untouched.predict(0, next(chosen_examples(states.graph, data, wanted)))
    if isinstance(first, str):
        return first
    few = _too_few(states, target) if first.task != "regression" else None
    if few is not None:
        return few
    passed: dict[tuple[int, ...], bool] = {}
    low, high = -1, len(TAUS)
    while high - low > 1:
        middle = (low + high) // 2
        removed = _removed(judged, middle)
        counts = tuple(int(gone.sum()) for gone in removed.values())
        if counts not in passed:
            examples = chosen_examples(states.graph, data, wanted)
            found = compare(states.graph, examples, {_CHOSEN: states.refitted(removed)}, untouched, ranks)
            if isinstance(found, str):
                return found
            largest = found[_CHOSEN].largest_class
            if largest is not None and largest > MAJORITY:
                return f"one class holds {100 * largest:.0f} % of the predictions, so that to agree says nothing"
            passed[counts] = found[_CHOSEN].meets(target)
        low, high = (middle, high) if passed[counts] else (low, middle)
    if low < 0:
        return f"not even tau = {TAUS[0]:.0e} leaves an agreement of {target:g} on the select examples"
    return ChosenTau(target, float(TAUS[low]), _removed(judged, low))


def _too_few(states: NeededStates, target: float) -> str | None:
    """Say that there are too few examples for the bound to reach the target, if so."""
    need = fewest_trials(target)
    for part in ("select", "verify"):
        if states.plan.sizes[part] < need:
            return (
                f"the 95 % lower bound reaches {target:g} with {need:,} {part} examples at least, and there are "
                f"{states.plan.sizes[part]:,}: give about {4 * need:,} examples or more in all"
            )
    return None


def _removed(judged: Sequence[Needed], tau: int) -> dict[str, Bool[np.ndarray, " units"]]:
    """Return the units that go at a tau of the grid, by site."""
    return {answer.site: answer.removed(float(TAUS[tau])) for answer in judged}


def variants(states: NeededStates, chosen: ChosenTau) -> dict[str, Variant]:
    """Return what is run on the verify examples: the choice, and random units in the same numbers for every seed."""
    found: dict[str, Variant] = {_CHOSEN: states.refitted(chosen.removed)}
    for seed in range(SEEDS):
        gone = {}
        for number, (site, removed) in enumerate(chosen.removed.items()):
            rng = np.random.default_rng([states.plan.seed % 2**64, seed, number])
            gone[site] = np.isin(np.arange(len(removed)), rng.permutation(len(removed))[: removed.sum()])
        found[_random(seed)] = states.refitted(gone)
    return found


def _random(seed: int) -> str:
    return f"as many random units, seed {seed}"


def needed_at(chosen: ChosenTau | str, found: Mapping[str, Agreement] | str | None, target: float = TARGET) -> NeededAt:
    """Return the record.

    Args:
        chosen: from ``select_tau``.
        found: what ``compare`` says of ``variants`` on the verify examples (it may hold others as well); not read if
            nothing was chosen.
        target: the agreement asked for.
    """
    if isinstance(chosen, str):
        return NeededAt(target=target, reason=chosen)
    if not isinstance(found, Mapping):
        return NeededAt(target=target, reason=found)
    best, others = found[_CHOSEN], [found[_random(seed)] for seed in range(SEEDS)]
    mean, low, high = best.advantage(others)
    by_site = {site: int((~gone).sum()) for site, gone in chosen.removed.items()}
    return NeededAt(
        target=chosen.target,
        tau=chosen.tau,
        units=sum(by_site.values()),
        units_before=sum(len(gone) for gone in chosen.removed.values()),
        by_site=by_site,
        agreement=best.value,
        agreement_low=best.low,
        met=best.meets(chosen.target),
        examples=best.examples,
        random=tuple(other.value for other in others),
        advantage=mean,
        advantage_low=low,
        advantage_high=high,
    )
