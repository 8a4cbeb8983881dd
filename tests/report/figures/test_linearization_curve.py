"""Quality against how much bends."""

import pytest

import linearization_readings as made
from netcaliper.report.figures.linearization_curve import NEAR, draw
from readings import there


def rows(figure):
    """Return the rows of the points: those that carry a training's name."""
    found = {}
    for layer in figure.spec()["layer"]:
        for row in layer["data"].get("values", []):
            if "name" in row:
                found[row["name"]] = row
    return found


def test_nothing_is_drawn_where_no_training_has_a_quality():
    assert draw(made.coreless()) == ()


def test_one_point_a_training_with_its_interval_and_all_three_places():
    reading = made.swept()
    (figure,) = draw(reading)
    found = rows(figure)
    judged = [point for point in reading.points if point.verify is not None]
    assert list(found) == [point.name for point in judged]
    for point in judged:
        row, verify = found[point.name], there(point.verify)
        assert (row["y"], row["low"], row["high"]) == pytest.approx((verify.value, verify.low, verify.high), abs=1e-5)
        assert row["length"] == pytest.approx(point.lengths.normalized, abs=1e-5)
        assert row.get("calls") == point.calls
        if point.kind != "shallow":
            assert row["share"] == pytest.approx(point.share, abs=1e-5)
    assert found["shallow 1"]["share"] == pytest.approx(1 / 3, abs=1e-3)
    assert found["learned, omega 0.03"]["status"].startswith("collapsed: the accuracy")
    assert "1 training without a quality" in figure.caption


def switches(figure):
    return {found["name"]: found["bind"]["options"] for found in figure.spec()["params"] if "bind" in found}


def test_the_switch_offers_what_there_is():
    (figure,) = draw(made.swept())
    assert switches(figure) == {"across": ["length", "share", "calls"], "range": ["near", "all"]}
    (bare,) = draw(made.bare())
    assert switches(bare) == {}
    assert bare.spec()["params"][0]["value"] == "share"


def test_near_the_reference_until_all_is_asked_for():
    (figure,) = draw(made.swept())
    bottom = figure.spec()["layer"][0]["encoding"]["y"]["scale"]["domainMin"]["expr"]
    near = float(bottom.split(":")[1])
    assert made.REFERENCE - (NEAR + 1) * 0.01 < near < made.REFERENCE - 0.02
    assert "Below the chart until you show all: 3 trainings" in figure.caption


def test_the_core_is_ringed_and_its_crossing_lies_between_it_and_the_next():
    reading = made.swept()
    (figure,) = draw(reading)
    (crossing,) = (
        row for layer in figure.spec()["layer"] for row in layer["data"]["values"] if row.get("words") == "core"
        if layer["mark"]["type"] == "rule"
    )  # fmt: skip
    core, here, smaller = there(reading.core), reading.points[made.CORE], reading.points[made.CORE + 1]
    assert crossing["share"] == core.share
    assert crossing["length"] == core.path_length
    assert there(smaller.calls) < crossing["calls"] < there(here.calls)
    ring = [layer for layer in figure.spec()["layer"] if layer["mark"].get("style") == "twin"]
    assert [row["name"] for row in ring[0]["data"]["values"]] == [here.name]


def test_an_accuracy_is_in_percent_and_another_quality_is_not():
    formats = []
    for make in (made.swept, made.translated):
        (figure,) = draw(make())
        axes = [layer["encoding"]["y"]["axis"] for layer in figure.spec()["layer"] if "y" in layer["encoding"]
                and "axis" in layer["encoding"]["y"]]  # fmt: skip
        formats.append(axes[0]["format"])
    assert formats[0].endswith("%")
    assert not formats[1].endswith("%")
    assert "Dashed: 0.5 lower" in draw(made.translated())[0].caption
