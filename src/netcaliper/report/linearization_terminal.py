"""A linearization in a terminal: how much must bend and every training, whatever the width of the window."""

from io import TextIOBase

from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from netcaliper.reading.linearization import LinearizationRecord
from netcaliper.reading.linearization_headline import all_warnings, headline, lead
from netcaliper.reading.numerals import count, decimal, percent, plural
from netcaliper.report.layers_terminal import drawn
from netcaliper.report.linearization_tables import failures, margin_words, points_table
from netcaliper.report.terminal import listed, print_to
from netcaliper.report.text import NARROWEST, draw, printable

MOST_ROWS = 40


def render(record: LinearizationRecord, *, width: int = 100, color: bool = False) -> str:
    """Render the table and sentences as text.

    Args:
        record: the record.
        width: columns of the terminal; at least 40 are used. The fewer, the fewer columns of the table are shown.
        color: with terminal escapes; plain text otherwise.

    Returns:
        Lines of at most ``width`` characters, the last one ended.
    """
    return draw(_everything(record, max(width, NARROWEST)), width=width, color=color)


def show(record: LinearizationRecord, stream: TextIOBase | None = None, *, width: int | None = None) -> None:
    """Print the linearization: in color and as wide as the window on a terminal, plain otherwise.

    Args:
        record: the record.
        stream: where; standard output if not given.
        width: columns; the terminal's, or 100 where there is none.
    """
    print_to(stream, width, lambda columns, color: render(record, width=columns, color=color))


def _everything(record: LinearizationRecord, width: int) -> Group:
    parts: list[Text | RichTable] = [
        Text(printable(headline(record)), style="bold"),
        Text(printable(lead(record))),
        Text(),
        *drawn(points_table(record), width, MOST_ROWS),
    ]
    core = _core(record)
    if core:
        parts += [Text(), Text(printable(core))]
    skipped = [f"{printable(item.name)}: {printable(item.reason)}" for item in record.skipped]
    left_out = [f"{printable(item.name)}: {printable(item.reason)}" for item in record.left_out]
    failed = [printable(line) for line in failures(record)]
    known = "\n".join(failures(record))
    warnings = [printable(found) for found in all_warnings(record) if found.rstrip(".") not in known]
    return Group(
        *parts,
        *listed("Not as they should be", failed, "yellow"),
        *listed("Left as they are", skipped, "yellow"),
        *listed("Not trained", left_out, "yellow"),
        *listed("Warnings", warnings, "yellow"),
    )


def _core(record: LinearizationRecord) -> str:
    """Say which training the core network is, and where it becomes worse."""
    core = record.core
    if core is None:
        return ""
    point = record.points[core.point]
    said = f"Core: “{point.name}”, {count(point.active)} of {plural(point.units, 'unit')} bend"
    if core.next is None:
        return f"{said}; no smaller network was tried."
    crossing = f"{percent(core.share)} of the units"
    if core.path_length is not None:
        crossing += f" (path length {decimal(core.path_length)})"
    smaller = record.points[core.next].name
    return f"{said}; between it and “{smaller}” select examples lose {margin_words(record, core)} at {crossing}."
