"""Every index points at something, every array has its place and shape."""

from typing import Any

import numpy as np
import pytest

import layers_readings
from netcaliper.reading.layers_contradiction import contradiction
from netcaliper.reading.layers_reading import LayersReading


def changed(reading: LayersReading, **network: Any) -> LayersReading:
    first = reading.networks[0].model_copy(update=network)
    return reading.model_copy(update={"networks": (first, *reading.networks[1:])})


def with_array(reading: LayersReading, key: str, array: np.ndarray) -> LayersReading:
    return reading.model_copy(update={"arrays": reading.arrays | {key: array}})


@pytest.mark.parametrize(
    "make", [layers_readings.one, layers_readings.several, layers_readings.groups, layers_readings.bare]
)
def test_what_fits_together_passes(make):
    assert contradiction(make()) is None


def part(name: str, **update: Any):
    """Change a part of the first network."""

    def change(reading: LayersReading) -> LayersReading:
        return changed(reading, **{name: getattr(reading.networks[0], name).model_copy(update=update)})

    return change


def moved_block(reading: LayersReading) -> LayersReading:
    return changed(reading, blocks=(reading.networks[0].blocks[0].model_copy(update={"last": 40}),))


def doubled_layer(reading: LayersReading) -> LayersReading:
    layers = reading.networks[0].layers
    return changed(reading, layers=(*layers[:-1], layers[0]))


def lost_residual_block(reading: LayersReading) -> LayersReading:
    deletion = reading.networks[0].deletion
    assert deletion is not None
    block = deletion.blocks[0].model_copy(update={"layer": 77})
    return changed(reading, deletion=deletion.model_copy(update={"blocks": (block, *deletion.blocks[1:])}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.model_copy(update={"networks": ()}), "no network"),
        (lambda r: r.model_copy(update={"twin_kind": None}), "go together"),
        (lambda r: r.model_copy(update={"networks": r.networks * 2}), "a twin beside 2 networks"),
        (moved_block, "from layer 20 to 40"),
        (doubled_layer, "two layers of network 0 are named 'input'"),
        (lost_residual_block, "is layer 77"),
        (part("dominant", layer=-1), "`dominant.layer` of network 0 is layer -1"),
        (part("probing", saturation=40), "`probing.saturation` of network 0 is layer 40"),
        (part("probing", penalty={99: 1.0}), "key 99"),
        (lambda r: changed(r, deletion=None), "holds deletions"),
    ],
)
def test_one_network(change, words):
    found = contradiction(change(layers_readings.one()))
    assert found is not None
    assert words in found


@pytest.mark.parametrize(
    ("key", "array", "words"),
    [
        ("0/cka", np.zeros((40, 39)), "[40, 40] is expected"),
        ("0/probe", np.zeros(41), "[40] is expected"),
        ("0/pc_scores", np.zeros((40, 63)), "[40, 64] is expected"),
        ("0/pc_share", np.zeros(40), "[40, any] is expected"),
        ("0/drop_random", np.zeros((3, 2)), "[any, 12] is expected"),
        ("0/drop_leave_one_out_low", np.zeros(5), "[12] is expected"),
        ("1/cka", np.zeros((40, 40)), "network 1, and there are 1"),
        ("cross/0/cka", np.zeros((40, 40)), "crossing 0"),
        ("group/0/right", np.zeros(3), "group 0"),
        ("sites/0/cka", np.zeros(3), "is not of the form"),
        ("../cka", np.zeros(3), "is not of the form"),
        ("0/cka", np.array(["a"]), "only numbers"),
        ("images", np.zeros((6, 8, 8, 3)), "bytes [m, height, width, 3]"),
        ("images", np.zeros((6, 8, 8, 4), np.uint8), "bytes [m, height, width, 3]"),
        ("images", np.zeros((6, 0, 8, 3), np.uint8), "bytes [m, height, width, 3]"),
        ("images", np.zeros((5, 8, 8, 3), np.uint8), "5 pictures, and 6"),
    ],
)
def test_arrays_have_their_place_shape_and_type(key, array, words):
    found = contradiction(with_array(layers_readings.one(), key, array))
    assert found is not None
    assert found.startswith("array")
    assert words in found


def test_pictures_that_are_missing():
    reading = layers_readings.one()
    arrays = {key: array for key, array in reading.arrays.items() if key != "images"}
    assert "6 examples are pictured" in str(contradiction(reading.model_copy(update={"arrays": arrays})))


def test_an_array_of_a_twin_needs_a_twin():
    reading = layers_readings.one().model_copy(update={"twin": None, "twin_kind": None})
    assert "belongs to a twin" in str(contradiction(reading))


def test_several_networks():
    reading = layers_readings.several()
    crossing, agreement = reading.crossings[0], reading.agreements[0]
    for update, words in (
        ({"crossings": (crossing.model_copy(update={"second": 2}),)}, "a crossing names network 2"),
        ({"crossings": (crossing.model_copy(update={"best": crossing.best[1:]}),)}, "best matches"),
        ({"crossings": (crossing.model_copy(update={"best": (28, *crossing.best[1:])}),)}, "best matches"),
        ({"agreements": (agreement.model_copy(update={"first": -1}),)}, "an agreement names network -1"),
    ):
        assert words.replace("an agreement", "agreement") in str(contradiction(reading.model_copy(update=update)))
    assert "[40, 28] is expected" in str(contradiction(with_array(reading, "cross/0/cka", np.zeros((28, 40)))))


def test_groups():
    reading = layers_readings.groups()
    group, difference = reading.groups[0], reading.differences[0]
    assert "group 'deep' names network 6" in str(
        contradiction(
            reading.model_copy(update={"groups": (group.model_copy(update={"networks": (6,)}), reading.groups[1])})
        )
    )
    assert "names group 'narrow'" in str(
        contradiction(reading.model_copy(update={"differences": (difference.model_copy(update={"second": "narrow"}),)}))
    )
    assert "10 and 2048 examples" in str(contradiction(with_array(reading, "group/0/right", np.zeros(10))))
