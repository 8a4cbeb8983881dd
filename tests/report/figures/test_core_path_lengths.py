"""How long the paths are."""

import numpy as np
import pytest

import linearization_readings as made
from charts import values
from netcaliper.report.figures.core_path_lengths import CORE, REFERENCE, draw


def test_nothing_is_drawn_without_histograms():
    assert draw(made.bare()) == ()
    assert draw(made.coreless()) == ()


def test_the_chances_of_either_network():
    reading = made.swept()
    (figure,) = draw(reading)
    rows = values(figure)
    for whose, place in ((REFERENCE, 0), (CORE, made.CORE)):
        histogram = reading.array(place, "histogram")
        assert histogram is not None
        mine = {row["length"]: row["y"] for row in rows if row["whose"] == whose}
        for length, chance in mine.items():
            assert chance == pytest.approx(histogram[length], abs=1e-5)
        assert sum(mine.values()) == pytest.approx(1, abs=1e-3)
    assert "11.00 bending units on average at the reference, 2.95 at the core network" in figure.caption


def test_the_axis_ends_with_the_longest_path_that_is_walked():
    reading = made.swept()
    key = f"point/{made.CORE}/histogram"
    arrays = {"point/0/histogram": np.array([0.5, 0.5, 0.0, 0.0]), key: np.array([1.0, 0.0, 0.0, 0.0])}
    (figure,) = draw(reading.model_copy(update={"arrays": arrays}))
    assert figure.spec()["encoding"]["x"]["scale"]["domain"] == [-0.6, 1.6]
