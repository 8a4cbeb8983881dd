"""A linearization in a terminal, however narrow."""

from io import StringIO

import pytest

import linearization_readings as made
from netcaliper.report.linearization_terminal import render, show

MADE = (made.swept, made.bare, made.coreless, made.translated)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("make", MADE)
def test_no_line_is_wider_than_the_terminal(make, width):
    assert max(map(len, render(make(), width=width).splitlines())) <= width


def test_what_it_says():
    said = " ".join(render(made.swept(), width=200).split())
    for words in (
        "24.4 % of 720 units must bend",
        "learned, omega 0.002 (core) 33.1 % 90.5 % 2.95 89.3 to 91.6 % ok",
        "Core: “learned, omega 0.002”, 238 of 720 units bend; between it and “learned, omega 0.004” select examples "
        "lose 1 point at 24.4 % of the units (path length 2.19).",
        "learned, omega 0.3: diverged, `learning_rate` 0.01 makes the loss nan in epoch 3",
        "head.<b>gate: hand-written",
        "random, as many as 0.03: none of the units bend",
        "the loss was not finite",
    ):
        assert words in said, words
    assert "more row" not in said  # every training is seen


def test_without_a_core_or_without_a_smaller_network():
    assert "Core:" not in render(made.coreless())
    assert "no smaller network was tried" in " ".join(render(made.bare()).split())


def test_a_failure_is_said_once():
    reading = made.coreless()
    reason = f"unbent reference: diverged, {reading.points[0].reason}"
    text = render(reading.model_copy(update={"warnings": (reason + ".",)}), width=200)
    assert text.count("makes the loss nan") == 1


def test_names_cannot_move_the_cursor():
    reading = made.swept()
    point = reading.points[1].model_copy(update={"name": "a\x1b[2Jb\nc"})
    text = render(reading.model_copy(update={"points": (reading.points[0], point, *reading.points[2:])}))
    assert "\x1b" not in text
    assert "a\ufffd[2Jb\ufffdc" in text


def test_a_stream_that_is_no_terminal_gets_plain_text():
    out = StringIO()
    show(made.bare(), out)
    assert out.getvalue() == render(made.bare(), width=100)
