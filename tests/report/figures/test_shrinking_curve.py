"""Agreement against size."""

import pytest
import vl_convert

import shrinking_readings as made
from charts import values
from netcaliper.reading.shrinking import Target
from netcaliper.report import palette
from netcaliper.report.figures import draw_all
from netcaliper.report.figures.shrinking_curve import draw


def rows_of(reading):
    (figure,) = draw(reading)
    spec = figure.spec()
    layer = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "line")
    data = layer.get("data") or spec["data"]
    return data["values"] if "values" in data else spec["datasets"][data["name"]]


def test_every_network_is_a_point_at_its_share_of_parameters_and_of_multiply_adds():
    rows = rows_of(made.halved())
    assert [row["kind"] for row in rows].count("select") == 24
    (verify,) = (row for row in rows if row["kind"] == "verify")
    assert verify["parameters"] == pytest.approx(137_210 / made.PARAMETERS, abs=1e-5)
    assert verify["macs"] == pytest.approx(23_834_112 / made.MACS, abs=1e-5)
    assert (verify["y"], verify["low"]) == (0.9878, pytest.approx(0.985, abs=1e-3))
    (chosen,) = (row for row in rows if row["chosen"])
    assert chosen["y"] == pytest.approx(1 - 22 / made.SELECT)
    others = {row["kind"]: row["y"] for row in rows if row["kind"] not in ("select", "verify")}
    assert others == {"random": 0.31, "random_refitted": 0.944, "magnitude": 0.412, "magnitude_refitted": 0.951}
    assert {row["parameters"] for row in rows if row["kind"] in others} == {verify["parameters"]}
    assert {row["kind"] for row in rows} == set(palette.SHRUNK)


def test_what_is_far_below_is_shown_on_demand_and_counted():
    (figure,) = draw(made.halved())
    assert "Below the chart until you show all: 5 networks." in figure.caption
    assert {param["name"] for param in figure.spec()["params"]} == {"across", "range"}
    near = made.proof(baselines=())
    close = made.plan(curve=made.curve()[:18])
    (all_of_it,) = draw(made.halved().model_copy(update={"proof": near, "plan": close}))
    assert "Below" not in all_of_it.caption
    assert {param["name"] for param in all_of_it.spec()["params"]} == {"across"}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target(kind="agreement", value=0.99), "at least 99 % of the answers stay"),
        (Target(kind="macs", value=0.5), "at most 50 % of the multiply-adds"),
        (Target(kind="latency", value=0.5), None),
        (Target(kind="knee"), None),
    ],
)
def test_a_target_that_can_be_drawn_is_a_dashed_line(target, words):
    (figure,) = draw(made.halved().model_copy(update={"plan": made.plan(target=target)}))
    dashed = [layer for layer in figure.spec()["layer"] if "strokeDash" in layer["mark"]]
    assert len(dashed) == (words is not None)
    assert words is None or words in figure.caption
    assert vl_convert.vegalite_to_vega(figure.spec())["marks"]


def test_nothing_is_drawn_where_there_is_only_one_network():
    assert draw(made.bare()) == () == draw_all(made.untouched())


def test_every_layer_of_points_has_data():
    (figure,) = draw(made.halved())
    assert values(figure)
