"""A shrunk network in a terminal, however narrow."""

from io import StringIO

import pytest

import shrinking_readings as made
from netcaliper.report.shrinking_terminal import render, show


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("make", [made.halved, made.proved, made.bare, made.untouched])
def test_no_line_is_wider_than_the_terminal(make, width):
    assert max(map(len, render(make(), width=width).splitlines())) <= width


def test_what_it_says():
    said = " ".join(render(made.halved(), width=200).split())
    for words in (
        "49.6 % fewer parameters",
        "time of 64 examples 41.2 ms 30.5 ms 74.0 % 71.0 to 78.0 %",
        "layer1.0.relu1 8 16 50.0 % 8",
        "9 steps: 7 kept, 1 rolled back, 1 refused.",
        "6 (drop block, layer1.1) rolled back: the agreement 91.5 % is below the tolerance 98.0 %",
        "fc.<b>out: its units are the answers of the network",
    ):
        assert words in said, words
    assert "The target is not met" in " ".join(render(made.bare()).split())


def test_a_hostile_name_cannot_move_the_cursor():
    plan = made.plan(model="net\x1b[2J\nwork")
    assert "\x1b" not in render(made.halved().model_copy(update={"plan": plan}))


def test_it_is_printed_to_a_stream():
    stream = StringIO()
    show(made.bare(), stream, width=60)
    assert stream.getvalue() == render(made.bare(), width=60)
