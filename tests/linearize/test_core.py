"""The core network, by hand."""

import pytest

from netcaliper.linearize.core import core
from netcaliper.reading.linearization import Lengths, Point, Quality


def point(share, quality, kind="learned", status="ok"):
    name = f"{kind} {share} {quality}"
    facts = {"kind": kind, "name": name, "seed": 0, "epochs": 1, "parameters": 1, "units": 100, "status": status}
    if quality is None:
        return Point(**facts)
    return Point(
        **facts,
        active=round(100 * share),
        share=share,
        effective_width=10 * share if share else None,
        lengths=Lengths(normalized=4 * share),
        select=Quality(value=quality),
    )


REFERENCE = point(1.0, 0.90, "unbent")


def test_numbers_are_read_where_the_curve_crosses_the_margin():
    found = core([REFERENCE, point(0.6, 0.91), point(0.4, 0.90), point(0.2, 0.88)], 0.01)
    assert found is not None
    assert (found.point, found.next) == (2, 3)
    assert found.share == pytest.approx(0.3)
    assert found.path_length == pytest.approx(1.2)
    assert found.effective_width == pytest.approx(3.0)


def test_without_a_worse_point_the_numbers_are_upper_bounds():
    found = core([REFERENCE, point(0.4, 0.895)], 0.01)
    assert found is not None
    assert (found.point, found.next, found.share) == (1, None, 0.4)


def test_the_reference_itself_may_be_the_core():
    found = core([REFERENCE, point(0.5, 0.80)], 0.01)
    assert found is not None
    assert (found.point, found.next) == (0, 1)
    assert found.share == pytest.approx(0.95)
    alone = core([REFERENCE], 0.01)
    assert alone is not None
    assert (alone.share, alone.next) == (1.0, None)


def test_a_dip_on_the_way_does_not_end_the_search():
    found = core([REFERENCE, point(0.6, 0.85), point(0.3, 0.90)], 0.01)
    assert found is not None
    assert found.point == 2


def test_baselines_and_what_diverged_are_no_core():
    others = [point(0.1, 0.99, "random"), point(0.1, 0.99, "shallow"), point(0.1, None, status="diverged")]
    found = core([REFERENCE, *others], 0.01)
    assert found is not None
    assert found.point == 0


def test_all_linear_may_be_enough():
    found = core([REFERENCE, point(0.0, 0.90)], 0.01)
    assert found is not None
    assert (found.share, found.effective_width) == (0.0, None)


@pytest.mark.parametrize("reference", [point(1.0, 0.1, "unbent", "collapsed"), point(1.0, None, "unbent", "diverged")])
def test_no_core_without_a_reference(reference):
    assert core([reference, point(0.5, 0.9)], 0.01) is None
