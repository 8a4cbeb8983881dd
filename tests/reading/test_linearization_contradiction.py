"""What does not fit together in a linearization is found, one by one."""

import numpy as np
import pytest

import linearization_readings as made
from netcaliper.reading.linearization_contradiction import contradiction


def changed(record, place, **fields):
    points = list(record.points)
    points[place] = points[place].model_copy(update=fields)
    return record.model_copy(update={"points": tuple(points)})


def with_array(record, key, array):
    return record.model_copy(update={"arrays": record.arrays | {key: array}})


@pytest.mark.parametrize("record", [made.swept(), made.bare(), made.coreless(), made.translated()])
def test_what_fits_together_passes(record):
    assert contradiction(record) is None


def test_the_reference_is_first_and_alone():
    record = made.swept()
    wanted = "the first point and no other must be the unbent reference"
    assert contradiction(record.model_copy(update={"points": record.points[1:]})) == wanted
    assert contradiction(changed(record, 1, kind="unbent")) == wanted
    assert contradiction(record.model_copy(update={"points": ()})) == wanted


def test_names_are_unique():
    record = made.swept()
    assert contradiction(changed(record, 1, name=record.points[0].name)) == "two points are named 'unbent reference'"
    twice = record.model_copy(update={"sites": (record.sites[0], *record.sites[:1], *record.sites[2:])})
    assert "two sites are named" in str(contradiction(twice))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"active": 10**6}, "point 2 has 1000000 bending units of 720"),
        ({"share": 0.99}, "point 2 has a share of 0.99"),
        ({"share": None}, "point 2 has a share of None"),
        ({"units": 3, "active": 1, "share": 1 / 3}, "point 2 has 3 units, and the sites have 720"),
        ({"like": 1, "kind": "random"}, "point 9 has as many bending units as point 2, which is no learned point"),
    ],
)
def test_counts_and_indices_agree(fields, words):
    assert words in str(contradiction(changed(made.swept(), 2, **fields)))


@pytest.mark.parametrize(("place", "words"), [(99, "and there are 20 points"), (8, "which is of kind 'random'")])
def test_the_core_is_a_point_of_the_sweep(place, words):
    record = made.swept()
    core = record.core
    assert core is not None
    assert words in str(contradiction(record.model_copy(update={"core": core.model_copy(update={"point": place})})))


@pytest.mark.parametrize(
    ("key", "array", "words"),
    [
        ("point/1/alpha", np.zeros(720), "is not of the form"),
        ("point/99/curve", np.zeros(13), "belongs to point 99"),
        ("point/1/active", np.zeros(720), "booleans are expected"),
        ("point/1/class_examples", np.zeros(10), "integers are expected"),
        ("point/1/loss", np.zeros(5), "has shape (5,), expected is (13,)"),
        ("point/1/alphas", np.zeros((2, 3)), "has shape (2, 3), expected is (720,)"),
        ("point/18/alphas", np.zeros(240), "belongs to another network"),
        ("point/1/active", np.zeros(720, bool), "holds 0 bending units"),
        ("point/1/alphas", np.zeros(720), "is exactly 1 elsewhere"),
    ],
)
def test_arrays_fit_their_point(key, array, words):
    assert words in str(contradiction(with_array(made.swept(), key, array)))
