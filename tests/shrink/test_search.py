"""Which network on the way is made, with candidates whose agreement is known."""

from typing import Any

import numpy as np
import pytest

from netcaliper.measure.replacement import Agreement
from netcaliper.reading.shrinking import Target
from netcaliper.shrink.candidate import Candidate, Candidates
from netcaliper.shrink.descent import Place
from netcaliper.shrink.judge import Judgment
from netcaliper.shrink.search import Choice, likely_shown, search

EXAMPLES = 4000


def agreement(share: float, examples: int = EXAMPLES) -> Agreement:
    each = (np.arange(examples) < round(share * examples)).astype(float)
    return Agreement("classification", each, 1.0, 0.1)


class Made(Candidates):
    """Networks whose answers agree as a function of the parameters."""

    def __init__(self, agrees) -> None:
        self.agrees, self.asked = agrees, list[Place]()

    def at(self, place: Place) -> Candidate:
        self.asked.append(place)
        judgment = Judgment(agreement(self.agrees(place.parameters)), 0.0)
        return Candidate(place, {}, (), {}, judgment, {}, {})


WAY = [Place((n,), 1e-4 * 1.1**n * (n > 0), 1000 - 9 * n, 10_000 - 90 * n) for n in range(101)]


def chosen(candidates: Candidates, kind: Any, value: float | None = None, time=None, way=WAY) -> Choice:
    return search(candidates, way, (1000, 10_000), Target(kind=kind, value=value), time or (lambda _: 1.0), EXAMPLES)


def test_the_smallest_that_agrees_is_found():
    candidates = Made(lambda parameters: min(1.0, 0.9 + parameters / 5000))  # 0.98 at 400
    found = chosen(candidates, "agreement", 0.97)
    assert found.met
    assert found.candidate.judgment.agreement.meets(0.97)
    passing = [p for p in WAY if likely_shown(agreement(candidates.agrees(p.parameters)), 0.97, EXAMPLES)]
    assert 0 <= found.candidate.place.parameters - passing[-1].parameters <= 20
    assert len(candidates.asked) <= 8


def test_an_agreement_out_of_reach_is_said():
    found = chosen(Made(lambda _: 0.5), "agreement", 0.97)
    assert not found.met
    assert found.candidate.place == WAY[0]
    assert chosen(Made(lambda parameters: float(parameters == 1000)), "agreement", 0.97).met


def test_the_choice_leaves_room_for_chance():
    """0.9741 of 4,000 shows 0.97 by a hair; on other examples it would fail half the time."""
    share = next(n / 4000 for n in range(3880, 4000) if agreement(n / 4000).meets(0.97))
    assert not likely_shown(agreement(share), 0.97, EXAMPLES)
    assert likely_shown(agreement(share + 0.01), 0.97, EXAMPLES)
    assert not likely_shown(agreement(share + 0.01), 0.97, 50)  # so few examples show nothing


@pytest.mark.parametrize(("kind", "which"), [("parameters", 0), ("macs", 1)])
def test_a_size_is_the_first_one_on_the_way(kind, which):
    found = chosen(Made(lambda _: 0.8), kind, 0.5)
    size = (found.candidate.place.parameters, found.candidate.place.macs)[which]
    assert found.met
    assert size == max(s for s in ((p.parameters, p.macs)[which] for p in WAY) if s <= 0.5 * (1000, 10_000)[which])


def test_a_size_out_of_reach_is_said():
    found = chosen(Made(lambda _: 0.8), "parameters", 0.05)
    assert not found.met
    assert found.candidate.place == WAY[-1]
    assert "10.0 %" in found.why


def test_a_latency_is_measured():
    found = chosen(Made(lambda _: 1.0), "latency", 0.7, lambda c: c.place.parameters / 1000)
    assert found.met
    assert 0.6 < found.candidate.place.parameters / 1000 <= 0.7
    found = chosen(Made(lambda _: 1.0), "latency", 0.7, lambda c: 0.9 + c.place.parameters / 10_000)
    assert not found.met
    assert "the fastest took 0.9" in found.why


def test_the_knee_of_a_curve_with_one():
    """Nothing is lost down to 450 parameters, then everything quickly."""
    found = chosen(Made(lambda parameters: 1.0 if parameters >= 440 else parameters / 440), "knee")
    assert found.met
    assert found.candidate.place.parameters == pytest.approx(450, abs=9)


def test_where_nothing_can_go_the_first_network_stays():
    for kind, value in (("knee", None), ("agreement", 0.9)):
        found = chosen(Made(lambda _: 1.0), kind, value, way=WAY[:1])
        assert found.candidate.place == WAY[0]
        assert "nothing more can go" in found.why
    assert not chosen(Made(lambda _: 1.0), "latency", 0.5, way=WAY[:1]).met
