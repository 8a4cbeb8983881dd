"""A reading of layers in a notebook cell: every word escaped, long lists cut."""

import layers_readings
from netcaliper.reading.layers_notebook import to_html


def test_every_word_is_escaped():
    reading = layers_readings.one()
    network = reading.networks[0].model_copy(update={"name": layers_readings.HOSTILE})
    text = to_html(reading.model_copy(update={"networks": (network,)}))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "4</td>" in text


def test_many_networks_are_cut():
    text = to_html(layers_readings.groups(seeds=32))
    assert text.count("<tr>") == 61
    assert "and 4 more networks" in text
