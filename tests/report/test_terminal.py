"""The table in a terminal: equal to the golden copy, never too wide, no word cut, no escape codes from a name.

Accept a changed table with ``NETCALIPER_ACCEPT_GOLDEN=1 pytest tests/report/test_terminal.py`` and look at it.
"""

import io
import os
from pathlib import Path

import pytest

import readings
from netcaliper.report.terminal import render, shorten, show

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("width", [80, 120, 160])
@pytest.mark.parametrize("name", ["small", "whole"])
def test_golden(name, width):
    path = GOLDEN / f"{name}_{width}.txt"
    text = render({"small": readings.small, "whole": readings.whole}[name](), width=width)
    if os.environ.get("NETCALIPER_ACCEPT_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [40, 60, 80, 99, 100, 120, 139, 140, 200])
@pytest.mark.parametrize(
    "reading", [readings.small(), readings.wide(24), readings.whole()], ids=["small", "wide", "whole"]
)
def test_no_line_is_wider_than_the_window(reading, width):
    text = render(reading, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert text.endswith("\n")


@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_words_of_a_verdict_are_never_cut(width):
    words = set(" ".join(render(readings.small(), width=width).split()).replace(";", " ").split())
    assert {"combinations", "copies", "remove", "never", "active"} <= words


def heads(reading, width):
    """The heads of the table."""
    return next(line.split() for line in render(reading, width=width).splitlines() if line.startswith("site "))


def test_a_wider_window_shows_more_and_never_less():
    before = set()
    for width in range(40, 220, 4):
        now = set(heads(readings.whole(), width))
        assert before <= now
        before = now
    assert {
        "twin",
        "absorb.",
        "prunable",
        "dead",
        "const.",
        "copies",
        "comb.",
        "on",
        "off",
        "linear",
        "redundant",
    } < now


def test_what_the_twin_needs_stands_beside_needed():
    for width in (60, 100, 160):
        shown = heads(readings.whole(), width)
        assert shown[shown.index("needed") + 1] == "twin"
    assert "twin" not in heads(readings.small(), 200)
    assert "absorb." not in heads(readings.small(), 200)


def test_the_twin_has_its_line_and_its_warnings():
    reading = readings.whole(lopsided=True)
    text = render(reading, width=160)
    assert "Twin (untrained, seed 1): needed 383, prunable undefined, redundant 37.0 %." in text
    assert "  twin: network: prunable: undefined: one class holds 93.0%" in text


def test_every_site_has_a_row():
    text = render(readings.wide(30), width=120)
    for site in readings.wide(30).sites:
        assert f"{site.name} " in text


def test_names_cannot_move_the_cursor_or_set_styles():
    reading = readings.assemble((readings.site("a\x1b[2J\n[bold red]b[/]"),))
    text = render(reading, width=120)
    assert "\x1b" not in text
    assert "a\ufffd[2J\ufffd[bold red]b[/]" in text


def test_a_long_name_keeps_its_end():
    assert shorten("head.deep.hidden_layers.12.activation", 22) == "head.de….12.activation"
    assert shorten("short", 22) == "short"
    for most in range(4, 40):
        assert len(shorten("x" * 50, most)) == most


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_color_only_on_a_terminal():
    plain, terminal = io.StringIO(), Terminal()
    show(readings.small(), plain, width=120)
    show(readings.small(), terminal, width=120)
    assert "\x1b[" not in plain.getvalue()
    assert "\x1b[" in terminal.getvalue()


def test_a_stream_without_unicode_gets_question_marks():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    show(readings.small(), stream, width=80)
    stream.flush()
    assert b"conv1.relu" in raw.getvalue()


def test_a_reading_without_sites():
    assert "0 units on paper" in render(readings.assemble(()), width=80)
