"""Two groups, example by example."""

import numpy as np

import layers_readings
from netcaliper.report.figures.example_scatter import draw


def test_every_example_is_counted_once_where_its_shares_are():
    reading = layers_readings.groups()
    (figure,) = draw(reading)
    rows = figure.spec()["layer"][0]["data"]["values"]
    assert sum(row["examples"] for row in rows) == 2048
    a, b = (reading.arrays[f"group/{k}/right"] for k in (0, 1))
    for row in rows:
        x, y = (row["x"] + row["x2"]) / 2, (row["y"] + row["y2"]) / 2
        assert row["examples"] == int((np.isclose(a, x, atol=1e-3) & np.isclose(b, y, atol=1e-3)).sum())
    assert "2,048 examples" in figure.caption


def test_many_networks_are_binned():
    (figure,) = draw(layers_readings.groups(seeds=50))
    rows = figure.spec()["layer"][0]["data"]["values"]
    assert len(rows) <= 21 * 21
    assert sum(row["examples"] for row in rows) == 2048


def test_nothing_is_drawn_without_the_shares():
    assert draw(layers_readings.groups().model_copy(update={"arrays": {}})) == ()
    assert draw(layers_readings.one()) == ()
