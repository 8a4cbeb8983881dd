"""Text for a terminal: as wide as asked, nothing taken for markup, nothing that moves the cursor."""

from rich.table import Table

from netcaliper.report.text import NARROWEST, draw, printable


def test_plain_text_has_no_trailing_spaces_and_keeps_brackets():
    assert draw("a [red]name[/red]   ", "", "b", width=60, color=False) == "a [red]name[/red]\n\nb\n"


def test_tables_fit_the_width_and_sentences_are_not_broken():
    table = Table("one", "two")
    table.add_row("x" * 200, "y")
    lines = draw(table, "word " * 60 + "/a/path", width=10, color=False).splitlines()
    assert max(map(len, lines[:-1])) <= NARROWEST
    assert lines[-1].endswith("/a/path")


def test_color_is_an_escape_and_names_hold_none():
    table = Table("head", header_style="bold")
    assert "\x1b[" in draw(table, width=60, color=True)
    assert "\x1b" not in draw(table, width=60, color=False)
    assert printable("layer\x1b[31m\n1") == "layer\ufffd[31m\ufffd1"
