"""``netcaliper diff``: what differs between two readings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from netcaliper.cli.options import Json
from netcaliper.cli.printing import say, say_json
from netcaliper.reading.numerals import MISSING, percent, plural
from netcaliper.report.text import printable

if TYPE_CHECKING:
    from netcaliper.reading.diff import Change, ReadingDiff

MOST_SITES = 200
WHOLE_NETWORK = "network"


def diff(
    a: Annotated[Path, typer.Argument(help="Folder of the reading before.", metavar="A")],
    b: Annotated[Path, typer.Argument(help="Folder of the reading after.", metavar="B")],
    as_json: Json = False,
) -> None:
    """Compare two readings, site by site.

    A note says what makes the two hard to compare: other data, another seed, another mode.
    """
    from netcaliper.reading.diff import diff as compare
    from netcaliper.reading.reading import Reading
    from netcaliper.reading.store import load_as

    found = compare(load_as(Reading, a), load_as(Reading, b))
    if as_json:
        say_json(found.model_dump(mode="python"))
    else:
        _show(found)


def _show(found: "ReadingDiff") -> None:
    before, after = printable(found.before), printable(found.after)
    say(Text(before if before == after else f"{before} -> {after}", style="bold"))
    for line in found.notes:
        say(Padding(Text(f"note: {printable(line)}", style="yellow"), (0, 0, 0, 2)))
    if found.same:
        say("", f"No difference in what was measured, at {plural(found.unchanged, 'site')}.")
        return
    if found.network or found.sites:
        say("", _table(found))
    for title, names in (("Only in A", found.removed), ("Only in B", found.added)):
        if names:
            say("", Text(f"{title}: {printable(', '.join(names))}"))
    say("", f"{plural(len(found.sites), 'site')} changed, {found.unchanged:,} unchanged.")
    if len(found.sites) > MOST_SITES:
        say(f"The table shows the first {MOST_SITES}; --json has them all.")


def _table(found: "ReadingDiff") -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold", pad_edge=False)
    table.add_column("site", overflow="fold")
    table.add_column("", no_wrap=True)
    for name in ("A", "B"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("difference", justify="right", no_wrap=True)
    table.add_column("intervals", no_wrap=True)
    rows = [(WHOLE_NETWORK, found.network)] if found.network else []
    rows += [(site.name, site.changes) for site in found.sites[:MOST_SITES]]
    for number, (name, changes) in enumerate(rows):
        for first, change in enumerate(changes):
            table.add_row(Text("" if first else printable(name), style="bold"), *_cells(change))
        if number < len(rows) - 1:
            table.add_section()
    return table


def _cells(change: "Change") -> list[Text]:
    apart = {True: "apart", False: "overlap", None: ""}[change.apart]
    values = [_value(change.before), _value(change.after)]
    if isinstance(change.difference, float):
        moved = f"{100 * change.difference:+.1f} points" if _is_share(change) else f"{change.difference:+.4g}"
    else:
        moved = "" if change.difference is None else f"{change.difference:+,}"
    if _is_share(change):
        values = [percent(value) if isinstance(value, float) else MISSING for value in (change.before, change.after)]
    return [Text(change.field.replace("_", " ")), *map(Text, values), Text(moved), Text(apart, style="dim")]


def _is_share(change: "Change") -> bool:
    from netcaliper.reading.diff import SHARES

    return change.field in SHARES


def _value(value: int | float | str | None) -> str:
    match value:
        case None:
            return MISSING
        case float():
            return f"{value:.4g}"
        case int():
            return f"{value:,}"
    return printable(value)
