"""A study in a terminal: its claims with their verdicts, and what is missing, whatever the width."""

from io import TextIOBase

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from netcaliper.reading.numerals import MISSING
from netcaliper.reading.study import StudyReading, Verdict
from netcaliper.reading.study_headline import computed, headline, warnings
from netcaliper.report.study_tables import ClaimRow, claim_rows
from netcaliper.report.terminal import listed, print_to
from netcaliper.report.text import NARROWEST, draw, printable

STYLES: dict[Verdict, str] = {"holds": "green", "contradicted": "red", "undecided": "yellow"}
WIDE, WIDER = 84, 112
"""Columns of a terminal from which there is room for the threshold and n, and for the twin and the paper."""


def render(reading: StudyReading, *, width: int = 100, color: bool = False) -> str:
    """Render the claims as text.

    Args:
        reading: of the study.
        width: columns of the terminal; at least 40 are used. The fewer, the fewer columns of the table are shown.
        color: with terminal escapes; plain text otherwise.

    Returns:
        Lines of at most ``width`` characters, the last one ended.
    """
    return draw(_everything(reading, max(width, NARROWEST)), width=width, color=color)


def show(reading: StudyReading, stream: TextIOBase | None = None, *, width: int | None = None) -> None:
    """Print the claims: in color and as wide as the window on a terminal, plain otherwise.

    Args:
        reading: of the study.
        stream: where; standard output if not given.
        width: columns; the terminal's, or 100 where there is none.
    """
    print_to(stream, width, lambda columns, color: render(reading, width=columns, color=color))


def _everything(reading: StudyReading, width: int) -> Group:
    rows = claim_rows(reading)
    return Group(
        Text(printable(headline(reading)), style="bold"),
        Text(printable(computed(reading))),
        Text(),
        *([_table(rows, width)] if rows else []),
        Text(),
        *listed("Warnings", [printable(warning) for warning in warnings(reading)], "yellow"),
    )


def _table(rows: list[ClaimRow], width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold", pad_edge=False)
    table.add_column("verdict", no_wrap=True)
    table.add_column("claim", ratio=1, overflow="fold")
    for head in ["effect", *(["claimed", "n"] if width >= WIDE else [])]:
        table.add_column(head, no_wrap=True)
    further = width >= WIDER
    for head in ["beside the twin", "paper"] if further else []:
        table.add_column(head, overflow="fold")
    for row in rows:
        effect = [row.effect, *([] if row.interval == MISSING else [row.interval]), *([row.unit] if row.unit else [])]
        claim = Text(printable(row.sentence))
        if row.reason:
            claim.append(f"\n{printable(row.reason)}", style="yellow")
        if row.revised:
            claim.append(f"\n† {printable(row.revised)}", style="dim")
        table.add_row(
            Text(f"{row.mark} {row.verdict}", style=STYLES[row.verdict]),
            claim,
            Text("\n".join(map(printable, effect))),
            *([Text(row.threshold), Text(row.seeds)] if width >= WIDE else []),
            *([Text(row.twin), Text(printable(row.paper))] if further else []),
        )
    return table
