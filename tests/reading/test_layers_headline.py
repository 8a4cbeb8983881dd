"""What a reading of layers says in sentences."""

import math

import layers_readings
from netcaliper.reading.layers_headline import (
    all_warnings,
    class_words,
    equivalence_words,
    estimator_line,
    favored,
    headline,
    lead,
    spread_words,
)


def test_one_network():
    reading = layers_readings.one()
    assert headline(reading) == (
        "resnet38: 13 layers, 9 of them distinct; a linear classifier needs only the first 8; "
        "4 of 10 residual blocks can go."
    )
    assert lead(reading).startswith("Layers 20 to 31 of 40 are nearly the same")
    assert "Untrained, the same network" in lead(reading)


def test_a_sentence_in_the_record_is_taken_as_it_is():
    reading = layers_readings.bare()
    network = reading.networks[0]
    told = network.model_copy(update={"depth": network.depth.model_copy(update={"sentence": "as deep as it looks."})})
    assert headline(reading.model_copy(update={"networks": (told,)})) == "mlp: as deep as it looks."


def test_without_a_block_that_is_said():
    assert "No block structure" in lead(layers_readings.bare())


def test_several_networks():
    reading = layers_readings.several()
    assert headline(reading) == "resnet38 and resnet26 give the same answer on 87.1 % of 2,048 examples."
    assert lead(reading).startswith("1 of 2 networks have a block structure.")
    assert headline(reading.model_copy(update={"agreements": ()})) == "2 networks: resnet38, resnet26."
    many = layers_readings.groups().model_copy(update={"differences": ()})
    assert headline(many) == "6 networks: two of them give the same answer on 85.0 % to 89.8 % of 2,048 examples."


def test_groups():
    reading = layers_readings.groups()
    assert headline(reading) == (
        "deep against wide: the same accuracy within 1.0 points (difference +0.21 points, 90 % interval -0.20 to "
        "+0.62); on single examples they differ more than seeds alone explain (standard deviation 21.0 points, 15.0 "
        "by chance)."
    )
    (difference,) = reading.differences
    assert difference.equivalence is not None
    assert difference.spread is not None
    failed = difference.equivalence.model_copy(update={"equivalent": False, "high": 1.4})
    assert equivalence_words(difference.model_copy(update={"equivalence": failed})).startswith("not shown to have")
    for low, words in ((-0.02, "no more than"), (math.nan, "too few networks for an interval")):
        spread = difference.spread.model_copy(update={"low": low})
        assert words in spread_words(difference.model_copy(update={"spread": spread}))
    nothing = difference.model_copy(update={"equivalence": None, "spread": None, "classes": ()})
    assert headline(reading.model_copy(update={"differences": (nothing,)})).endswith("nothing could be tested.")
    assert class_words(nothing) == ""


def test_classes():
    (difference,) = layers_readings.groups().differences
    assert class_words(difference).startswith("1 of 10 classes differ at 5 % for all together (Holm), 2 at a false")
    first, second = favored(difference)
    assert [found.name for found in first] == ["<b>cat</b>", "class 1"]
    assert [found.name for found in second] == ["class 9", "class 8", "class 7"]


def test_the_estimator_in_one_line():
    assert estimator_line(layers_readings.one().estimator) == (
        "minibatch debiased linear CKA: 2,048 examples, 8 batches of 256, 4 passes; features: flatten; precision: "
        "float32; layers: every operation; 64 examples held."
    )


def test_a_warning_of_many_networks_is_said_once():
    (warning,) = all_warnings(layers_readings.groups())
    assert warning.startswith("6 networks: 1 % of the examples")
    assert all_warnings(layers_readings.one())[1].startswith("resnet38: 1 %")
