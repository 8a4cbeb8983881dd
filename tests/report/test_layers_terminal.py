"""A reading of layers in a terminal, however narrow."""

from io import StringIO

import pytest

import layers_readings
from netcaliper.report.layers_terminal import render, show

MADE = (layers_readings.one, layers_readings.several, layers_readings.groups, layers_readings.bare)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("make", MADE)
def test_no_line_is_wider_than_the_terminal(make, width):
    assert max(map(len, render(make(), width=width).splitlines())) <= width


def test_what_it_says():
    said = " ".join(render(layers_readings.one(), width=200).split())
    for words in (
        "resnet38: 13 layers, 9 of them distinct",
        "untrained 13 9 8",
        "12 (30 %)",
        "minibatch debiased linear CKA: 2,048 examples",
        "aux.head (resnet38, untrained): never runs",
        "Warnings: the last batch had 2 examples",
    ):
        assert words in said, words
    said = " ".join(render(layers_readings.groups(), width=120).split())
    assert said.count("the same accuracy within 1.0 points") == 1
    for words in ("Better in wide: class 9 (-7.0 points)", "Not tested: superclass dogs", "and 3 more rows"):
        assert words in said, words


def test_the_fewest_columns_are_the_most_important_ones():
    text = render(layers_readings.one(), width=40)
    assert "distinct" in text
    assert "compared" not in text


def test_names_cannot_move_the_cursor():
    reading = layers_readings.one()
    network = reading.networks[0].model_copy(update={"name": "a\x1b[2Jb\nc"})
    text = render(reading.model_copy(update={"networks": (network,)}), width=100)
    assert "\x1b" not in text
    assert "a\ufffd[2Jb\ufffdc" in text


def test_a_stream_that_is_no_terminal_gets_plain_text():
    out = StringIO()
    show(layers_readings.bare(), out)
    assert out.getvalue() == render(layers_readings.bare(), width=100)
