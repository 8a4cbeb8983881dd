"""The cost is always said; the bar is drawn on a terminal and nowhere else."""

import io

from rich.console import Console

from netcaliper.cli.progress import reading_bar


def drawn(*, terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    with reading_bar(console) as show:
        show("reading 75 examples ([red]0.75 forward passes)", 0, 100)
        show("reading", 50, 100)
        show("judging a.very.long.name[/].of.a.layer.in.some.network", 100, 100)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_without_a_terminal_only_the_cost_is_said(capsys):
    assert drawn(terminal=False) == ""
    assert capsys.readouterr() == ("", "cost: reading 75 examples ([red]0.75 forward passes)\n")


def test_a_terminal_sees_the_cost_and_a_bar(capsys):
    text = drawn(terminal=True)
    assert "cost: reading 75 examples ([red]0.75 forward passes)" in text
    assert "judging a.very.long.name[" in text
    assert "100%" in text
    assert capsys.readouterr() == ("", "")
