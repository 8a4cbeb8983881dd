"""What is printed is what was meant: no markup read from names, no escape codes, JSON that parses."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from netcaliper.cli.printing import note, say, say_json
from netcaliper.report.text import printable


class Terminal(io.StringIO):
    def isatty(self):
        return True


def said(*parts, stream=None):
    stream = stream or io.StringIO()
    say(*parts, stream=stream)
    return stream.getvalue()


def test_brackets_are_not_markup():
    assert said("[bold]x[/bold] [/]", Text("[red]y")) == "[bold]x[/bold] [/]\n[red]y\n"


def test_a_long_path_stays_in_one_piece():
    path = "a/" * 200
    assert path in said(f"page: {path}")


def test_color_only_on_a_terminal():
    assert "\x1b" in said(Text("x", style="bold"), stream=Terminal())
    assert "\x1b" not in said(Text("x", style="bold"))


def test_a_stream_that_knows_only_ascii_gets_ascii():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    say("5 × 5 – é", stream=stream)
    assert raw.getvalue() == b"5 ? 5 ? ?\n"


def test_a_note_goes_to_standard_error(capsys):
    note("hello")
    assert capsys.readouterr() == ("", "hello\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_has_no_word_for_what_is_not_finite(value, capsys):
    say_json({"a": [value, (1.5,)]})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {"a": [None, [1.5]]}


@given(st.text())
def test_printable_leaves_no_control_character(text):
    assert all(letter.isprintable() for letter in printable(text))
    assert len(printable(text)) == len(text)
