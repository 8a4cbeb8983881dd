"""The plan as a record of what was done."""

from typing import Any

import numpy as np
import pytest

from netcaliper.shrink.candidate import Candidate, Candidates
from netcaliper.shrink.descent import Place
from netcaliper.shrink.paths import UnitPath
from netcaliper.shrink.proof import gate
from netcaliper.shrink.record import curve_of, gates_of, refusals, sites_of, steps_of
from shrinking_digits import prepared


@pytest.fixture(scope="module")
def made() -> tuple[Candidates, Candidate]:
    known = prepared("cnn")
    paths = [UnitPath(d, np.arange(d.units - 1), np.linspace(0, 1, d.units)) for d in known.dimensions]
    candidates = Candidates(known.graph, known.exact, known.calls, paths, known.parts.calibrate, known.judge)
    candidates.at(Place((0, 0), 0.0, 300, 300))
    return candidates, candidates.at(Place((2, 3), 0.0, 200, 200))


def test_steps_are_numbered_and_name_what_goes(made):
    candidates, chosen = made
    exact: Any = candidates.exact
    steps = steps_of(candidates.graph, exact, chosen, gates_of(candidates, chosen), None)
    assert [step.number for step in steps] == [1, 2]
    assert [(step.kind, step.tier, step.removed) for step in steps] == [
        ("absorb", "approximate", (0, 1)), ("absorb", "approximate", (0, 1, 2)),
    ]  # fmt: skip
    assert all(step.gate == gate(chosen.judgment.agreement) for step in steps)


def test_sites_before_and_after(made):
    candidates, chosen = made
    expected = [
        (site.name, site.units, site.units - gone) for site, gone in zip(candidates.graph.sites, (2, 3), strict=True)
    ]
    found = sites_of(candidates.graph, chosen.removed, set())
    assert [(site.name, site.before, site.after) for site in found] == expected
    gone = sites_of(candidates.graph, chosen.removed, {candidates.graph.sites[1].node})
    assert [site.after for site in gone] == [expected[0][2], 0]


def test_the_curve_has_all_that_was_made(made):
    candidates, chosen = made
    curve = curve_of(candidates, chosen)
    assert [point.parameters for point in curve] == [300, 200]
    assert [point.chosen for point in curve] == [False, True]
    assert curve[0].agreement == 1


def test_refusals_are_named_once():
    found = refusals([("a", "x"), ("b", "y")], [("a", "z")])
    assert [(each.what, each.why) for each in found] == [("a", "z"), ("b", "y")]
