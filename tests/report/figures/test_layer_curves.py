"""Curves over the layers."""

import layers_readings
from netcaliper.report.figures.layer_curves import draw


def drawn(reading):
    return {figure.name: figure.spec() for figure in draw(reading)}


def rows(spec, at):
    return spec["layer"][at]["data"]["values"]


def test_nothing_is_drawn_without_arrays():
    assert draw(layers_readings.bare().model_copy(update={"arrays": {}})) == ()


def test_shares_and_gaps():
    spec = drawn(layers_readings.one())["pc_share"]
    ours = [row for row in rows(spec, 1) if row["whose"] == "resnet38"]
    assert len(ours) == 40
    assert ours[3]["y"] is None
    assert "constant" in ours[3]["words"]
    assert ours[25]["y"] == 0.78
    assert rows(spec, 0) == [{"a": 19.5, "b": 31.5}]


def test_probes_have_intervals_kinds_and_saturation():
    spec = drawn(layers_readings.one())["probe"]
    ours = [row for row in rows(spec, 1) if row["whose"] == "resnet38"]
    assert len(ours) == 39
    assert all(row["low"] < row["y"] < row["high"] for row in ours)
    assert len({row["kind"] for row in ours}) == 2
    assert {row["x"] for row in rows(spec, 3)} == {22.0}


def test_networks_of_different_depth_share_relative_depth():
    spec = drawn(layers_readings.several())["probe"]
    assert max(row["x"] for row in rows(spec, 1)) == 1.0
    assert spec["layer"][1]["encoding"]["x"]["title"] == "relative depth"


def test_many_layers_are_drawn_as_pixels():
    assert drawn(layers_readings.deep(300))["probe"]["usermeta"] == {"renderer": "canvas"}
    assert "usermeta" not in drawn(layers_readings.one())["probe"]
