"""A shrunk network in a terminal: what is smaller, what it costs, and what stays as it is."""

from io import TextIOBase

from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from netcaliper.reading.shrinking import ShrinkReading
from netcaliper.reading.shrinking_headline import all_warnings, headline, kept, lead
from netcaliper.report.layers_terminal import drawn
from netcaliper.report.shrinking_tables import baselines_table, sites_table, sizes_table, steps_table, where
from netcaliper.report.terminal import listed, print_to
from netcaliper.report.text import NARROWEST, draw, printable

MOST_ROWS = 40


def render(reading: ShrinkReading, *, width: int = 100, color: bool = False) -> str:
    """Render the tables and sentences as text.

    Args:
        reading: the plan and the proof.
        width: columns of the terminal; at least 40 are used. The fewer, the fewer columns of the tables are shown.
        color: with terminal escapes; plain text otherwise.

    Returns:
        Lines of at most ``width`` characters, the last one ended.
    """
    return draw(_everything(reading, max(width, NARROWEST)), width=width, color=color)


def show(reading: ShrinkReading, stream: TextIOBase | None = None, *, width: int | None = None) -> None:
    """Print the shrunk network: in color and as wide as the window on a terminal, plain otherwise.

    Args:
        reading: the plan and the proof.
        stream: where; standard output if not given.
        width: columns; the terminal's, or 100 where there is none.
    """
    print_to(stream, width, lambda columns, color: render(reading, width=columns, color=color))


def _everything(reading: ShrinkReading, width: int) -> Group:
    parts: list[Text | RichTable] = [
        Text(printable(headline(reading)), style="bold"),
        Text(printable(lead(reading))),
    ]
    for table in (sizes_table(reading), baselines_table(reading), sites_table(reading), steps_table(reading)):
        if table is not None:
            parts += [Text(), Text(table.title, style="bold"), *drawn(table, width, MOST_ROWS)]
    undone = [
        f"{step.number} ({step.kind}, {where(step)}) {step.status}: {step.reason or step.why}"
        for step in reading.plan.steps
        if step.status != "kept"
    ]
    stays = [f"{item.what}: {item.why}" for item in reading.plan.refused]
    return Group(
        *parts,
        Text(),
        Text(f"{kept(reading.plan)}."),
        *listed("Steps that were not kept", [printable(line) for line in undone], "yellow"),
        *listed("Stays as it is", [printable(line) for line in stays], "yellow"),
        *listed("Warnings", [printable(warning) for warning in all_warnings(reading)], "yellow"),
    )
