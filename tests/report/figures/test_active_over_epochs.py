"""The share of units that bend, epoch by epoch."""

import numpy as np
import pytest

import linearization_readings as made
from netcaliper.report.figures.active_over_epochs import draw


def lines(figure):
    spec = figure.spec()
    layer = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "line")
    return layer.get("data", spec.get("data"))["values"]


def test_nothing_is_drawn_without_a_penalty():
    assert draw(made.coreless()) == ()
    assert draw(made.bare()) == ()


def test_every_line_starts_with_all_units_and_ends_at_what_the_training_kept():
    reading = made.swept()
    (figure,) = draw(reading)
    rows = lines(figure)
    for point in reading.points:
        mine = [row for row in rows if row["name"] == point.name]
        if not point.penalized or point.status == "diverged":
            assert not mine
            continue
        assert [row["x"] for row in mine] == list(range(made.EPOCHS + 1))
        assert mine[0]["y"] == 1
        assert mine[-1]["y"] == pytest.approx(point.share, abs=0.02)
    assert "Dashed: the penalty ends there" in figure.caption


def test_one_penalty_needs_no_legend_and_gaps_are_not_drawn():
    reading = made.swept()
    curve = np.array([0.9, np.nan, 0.5])
    one = reading.model_copy(update={"arrays": {f"point/{made.CORE}/curve": curve}})
    (figure,) = draw(one)
    assert [(row["x"], row["y"]) for row in lines(figure)] == [(0, 1.0), (1, 0.9), (3, 0.5)]
    assert "Dashed" not in figure.caption  # all of its epochs had the penalty
