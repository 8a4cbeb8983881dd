"""A reading of layers in a terminal: how deep the networks really are, and how they differ, whatever the width."""

from io import TextIOBase

from rich import box
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from netcaliper.reading.layers_headline import (
    IN_HEADLINE,
    all_warnings,
    class_words,
    difference_sentence,
    estimator_line,
    favored,
    headline,
    lead,
)
from netcaliper.reading.layers_names import everyone
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.numerals import plural, points
from netcaliper.report.layers_tables import Table, tables, without_value
from netcaliper.report.terminal import GAP, listed, print_to, shorten
from netcaliper.report.text import NARROWEST, draw, printable

LONGEST_NAME = 30
MOST_ROWS = 12


def render(reading: LayersReading, *, width: int = 100, color: bool = False) -> str:
    """Render the tables and sentences as text.

    Args:
        reading: the record.
        width: columns of the terminal; at least 40 are used. The fewer, the fewer columns of the tables are shown.
        color: with terminal escapes; plain text otherwise.

    Returns:
        Lines of at most ``width`` characters, the last one ended.
    """
    return draw(_everything(reading, max(width, NARROWEST)), width=width, color=color)


def show(reading: LayersReading, stream: TextIOBase | None = None, *, width: int | None = None) -> None:
    """Print the reading: in color and as wide as the window on a terminal, plain otherwise.

    Args:
        reading: the record.
        stream: where; standard output if not given.
        width: columns; the terminal's, or 100 where there is none.
    """
    print_to(stream, width, lambda columns, color: render(reading, width=columns, color=color))


def _everything(reading: LayersReading, width: int) -> Group:
    parts: list[Text | RichTable] = [Text(printable(headline(reading)), style="bold"), Text(printable(lead(reading)))]
    for table in tables(reading):
        parts += [Text(), Text(table.title, style="bold"), *drawn(table, width)]
    for number, difference in enumerate(reading.differences):
        parts.append(Text())
        if number >= IN_HEADLINE:
            parts.append(Text(printable(difference_sentence(difference))))
        words = class_words(difference)
        if words:
            parts.append(Text(f"{words[:1].upper()}{words[1:]}."))
        for name, found in zip((difference.first, difference.second), favored(difference), strict=True):
            if found:
                best = ", ".join(f"{one.name} ({points(one.difference)} points)" for one in found)
                parts.append(Text(printable(f"Better in {name}: {best}.")))
        parts += [Text(printable(f"Not tested: {reason}."), style="yellow") for reason in difference.reasons]
    several = len(everyone(reading)) > 1
    parts += [Text(), Text(printable(estimator_line(reading.estimator)), style="dim")]
    gaps = [
        printable(
            f"{found['name']} ({found['whose']}): {found['reason']}"
            if several
            else f"{found['name']}: {found['reason']}"
        )
        for found in without_value(reading)
    ]
    return Group(
        *parts,
        *listed("Without a value", gaps, "yellow"),
        *listed("Warnings", [printable(warning) for warning in all_warnings(reading)], "yellow"),
    )


def drawn(table: Table, width: int, most: int = MOST_ROWS) -> list[Text | RichTable]:
    """Draw a table with as many columns as fit; names lose their middle, numbers are never shortened.

    Args:
        table: of text.
        width: columns of the terminal.
        most: rows that are shown.

    Returns:
        The table, and how many rows it leaves out.
    """
    rows = table.rows[:most]
    longest = min(max(width // (table.words + 2), 10), LONGEST_NAME)
    cells = [
        [shorten(printable(cell), longest) if k < table.words else printable(cell) for k, cell in enumerate(row)]
        for row in rows
    ]
    sizes = [max(len(head), *(len(row[k]) for row in cells)) + GAP for k, head in enumerate(table.heads)]
    shown = len(sizes)
    while shown > table.words + 1 and sum(sizes[:shown]) > width:
        shown -= 1
    table_of_text = RichTable(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold", pad_edge=False
    )
    for k, head in enumerate(table.heads[:shown]):
        table_of_text.add_column(Text(printable(head)), justify="left" if k < table.words else "right", no_wrap=True)
    for row in cells:
        table_of_text.add_row(*map(Text, row[:shown]))
    parts: list[Text | RichTable] = [table_of_text]
    left = len(table.rows) - len(rows)
    if left:
        parts.append(Text(f"and {plural(left, 'more row')}", style="dim"))
    return parts
