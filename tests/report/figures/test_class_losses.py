"""Who loses."""

import numpy as np
import pytest

import linearization_readings as made
from charts import values
from netcaliper.report.figures.class_losses import CORE, MOST_CLASSES, REFERENCE, draw


def test_nothing_is_drawn_without_classes():
    assert draw(made.coreless()) == ()
    assert draw(made.translated()) == ()


def test_two_accuracies_a_class_the_worst_on_top():
    reading = made.swept()
    (figure,) = draw(reading)
    rows = values(figure)
    assert len(rows) == 2 * made.CLASSES
    top = {row["whose"]: row for row in rows[:2]}
    for whose, place in ((REFERENCE, 0), (CORE, made.CORE)):
        accuracy = reading.array(place, "class_accuracy")
        assert accuracy is not None
        assert top[whose]["class"] == "class 3"
        assert top[whose]["y"] == pytest.approx(accuracy[3], abs=1e-4)
        assert top[whose]["low"] < top[whose]["y"] < top[whose]["high"]
    assert "class 3, -2.0 points. 8 of 10 lose" in figure.caption


def test_without_counts_there_are_no_intervals_and_that_is_said():
    reading = made.swept()
    arrays = {key: array for key, array in reading.arrays.items() if "class_examples" not in key}
    (figure,) = draw(reading.model_copy(update={"arrays": arrays}))
    assert all(row["low"] == row["y"] == row["high"] for row in values(figure))
    assert "No intervals" in figure.caption


def test_of_many_classes_the_first_ones():
    rng = np.random.default_rng(0)
    reading = made.swept()
    keys = ("point/0/class_accuracy", f"point/{made.CORE}/class_accuracy")
    many = {key: rng.uniform(0.5, 1, 200) for key in keys} | {"point/0/class_examples": np.full(200, 20)}
    (figure,) = draw(reading.model_copy(update={"arrays": reading.arrays | many}))
    assert len(values(figure)) == 2 * MOST_CLASSES
    assert f"The first {MOST_CLASSES} are drawn" in figure.caption
