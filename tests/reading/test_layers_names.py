"""Labels are distinct, and the twin comes last."""

import layers_readings
from netcaliper.reading.layers_names import everyone, labels, twin_label


def test_networks_of_one_name_are_numbered():
    reading = layers_readings.several()
    assert labels(reading) == ("resnet38", "resnet26")
    same = tuple(network.model_copy(update={"name": "net"}) for network in reading.networks)
    assert labels(reading.model_copy(update={"networks": same})) == ("net #1", "net #2")


def test_the_twin_comes_last():
    reading = layers_readings.one()
    assert [(place, label) for place, label, _ in everyone(reading)] == [(0, "resnet38"), ("twin", "untrained")]
    assert twin_label(reading.model_copy(update={"twin_kind": "shuffled"})) == "shuffled"
