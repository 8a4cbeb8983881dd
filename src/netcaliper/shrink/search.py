"""The search: which network on the way down is made."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from netcaliper.measure.replacement import Agreement
from netcaliper.reading.shrinking import Target
from netcaliper.shrink.candidate import Candidate, Candidates
from netcaliper.shrink.descent import Place
from netcaliper.stats.intervals import clopper_pearson_lower

LOOKS = 150
"""Networks on the way that an agreement is looked for among; bisection makes about seven of them."""

CURVE = (0.9, 0.75, 0.6, 0.45, 0.3, 0.2, 0.1)
"""Shares of the parameters at which the trade-off is drawn where no target is given."""

BESIDE = 3
"""Networks larger than the one asked for that are made too, to draw the trade-off."""


@dataclass(frozen=True, eq=False)
class Choice:
    """What is made.

    Attributes:
        candidate: the network.
        met: whether it has what was asked for, on select examples.
        why: this one, in words.
    """

    candidate: Candidate
    met: bool
    why: str


def search(
    candidates: Candidates,
    way: Sequence[Place],
    whole: tuple[int, int],
    target: Target,
    time: Callable[[Candidate], float],
    verify: int,
) -> Choice:
    """Choose a network on the way.

    Args:
        candidates: makes them.
        way: from ``descend``.
        whole: parameters and multiply-adds of the original network.
        target: what is asked for.
        time: measures the time of a candidate over that of the original network.
        verify: number of verify examples.
    """
    if target.kind == "knee" or target.value is None:
        return _knee(candidates, way, whole)
    if target.kind == "agreement":
        return _agreeing(candidates, way, target.value, verify)
    if target.kind == "latency":
        return _fast(candidates, way, target.value, time)
    return _small(candidates, way, whole, target)


def likely_shown(agreement: Agreement, target: float, verify: int) -> bool:
    """Tell whether select examples show an agreement, and verify examples are likely to show it as well.

    With p on n select examples, p on the m verify examples is not expected to be lower than p by more than one standard
    deviation of the difference, ``sqrt(p (1 - p) (1 / n + 1 / m))``; its 95 % bound must then still reach the target.
    Without that, choosing the smallest network that just passes would pick the one that was luckiest.
    """
    if agreement.low is None or not agreement.meets(target):
        return agreement.meets(target)
    p = agreement.value
    lower = p - math.sqrt(p * (1 - p) * (1 / agreement.examples + 1 / verify))
    return clopper_pearson_lower(max(0, math.floor(lower * verify + 1e-9)), verify) >= target


def _agreeing(candidates: Candidates, way: Sequence[Place], agreement: float, verify: int) -> Choice:
    looked = _spread(way)
    found: Candidate | None = None
    low, high = -1, len(looked)
    while high - low > 1:
        middle = (low + high) // 2
        candidate = candidates.at(looked[middle])
        if likely_shown(candidate.judgment.agreement, agreement, verify):
            low, found = middle, candidate
        else:
            high = middle
    if found is None:
        found = candidates.at(way[0])
        met = found.judgment.agreement.meets(agreement)
        return Choice(found, met, "nothing more can go at this agreement than what the weights prove to be of no use")
    return Choice(
        found, True, f"the smallest of {len(looked)} networks on the way whose answers select examples show to agree "
        f"on {100 * agreement:g} % or more, and verify examples are likely to"
    )  # fmt: skip


def _spread(way: Sequence[Place]) -> list[Place]:
    """Return networks on the way, evenly spread over the logarithm of the loss that is expected."""
    losses = np.array([place.loss for place in way[1:]])
    if not len(losses):
        return []
    top = max(losses[-1], 1e-12)
    wanted = np.geomspace(max(losses[losses > 0].min(initial=top), 1e-5 * top), top, LOOKS)
    index = np.unique(np.searchsorted(losses, wanted).clip(max=len(losses) - 1))
    return [way[1 + i] for i in index]


def _small(candidates: Candidates, way: Sequence[Place], whole: tuple[int, int], target: Target) -> Choice:
    which = 0 if target.kind == "parameters" else 1
    assert target.value is not None

    def share(place: Place) -> float:
        return (place.parameters, place.macs)[which] / max(whole[which], 1)

    def at(limit: float) -> Place | None:
        return next((place for place in way if share(place) <= limit), None)

    place = at(target.value)
    what = "parameters" if which == 0 else "multiply-adds"
    for step in range(1, BESIDE + 1):
        larger = at(1 - (1 - target.value) * step / (BESIDE + 1))
        if larger is not None:
            candidates.at(larger)
    if place is None:
        last = candidates.at(way[-1])
        return Choice(
            last, False, f"no network on the way has so few {what}: the smallest has {100 * share(way[-1]):.1f} %"
        )
    found = candidates.at(place)
    return Choice(found, True, f"the first network on the way with at most {100 * target.value:g} % of the {what}")


def _fast(candidates: Candidates, way: Sequence[Place], limit: float, time: Callable[[Candidate], float]) -> Choice:
    looked = _spread(way)
    found: tuple[Candidate, float] | None = None
    slowest: tuple[Candidate, float] | None = None
    low, high = -1, len(looked)
    while high - low > 1:
        middle = (low + high) // 2
        candidate = candidates.at(looked[middle])
        ratio = time(candidate)
        slowest = min(slowest or (candidate, ratio), (candidate, ratio), key=lambda pair: pair[1])
        if ratio <= limit:
            high, found = middle, (candidate, ratio)
        else:
            low = middle
    if found is None:
        best, ratio = slowest or (candidates.at(way[0]), 1.0)
        return Choice(best, False, f"no network on the way is so fast: the fastest took {ratio:.2f} of the time")
    return Choice(
        found[0], True, f"the largest network that was measured to take at most {100 * limit:g} % of the time"
    )


def _knee(candidates: Candidates, way: Sequence[Place], whole: tuple[int, int]) -> Choice:
    """Return the network farthest from the line between both ends of the curve (Satopaa et al. 2011)."""
    places = [next((p for p in way if p.parameters <= share * whole[0]), None) for share in CURVE]
    made = [candidates.at(place) for place in dict.fromkeys([way[0], *(p for p in places if p is not None)])]
    saved = np.array([1 - c.place.parameters / max(whole[0], 1) for c in made])
    agreement = np.array([c.judgment.agreement.value for c in made])
    if len(made) < 2 or saved[-1] <= saved[0]:
        return Choice(made[0], True, "nothing more can go than what the weights prove to be of no use")
    line = agreement[0] + (agreement[-1] - agreement[0]) * (saved - saved[0]) / (saved[-1] - saved[0])
    knee = int(np.argmax(agreement - line))
    return Choice(
        made[knee], True, f"no target was given: the knee of the trade-off, the one of {len(made)} networks that lies "
        "farthest above the line from the largest to the smallest of them (agreement over parameters)"
    )  # fmt: skip
