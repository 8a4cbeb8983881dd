"""A reading in a terminal: one row a site and a verdict in words, whatever the width of the window."""

import shutil
import sys
from io import TextIOBase

from rich import box
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from netcaliper.reading.numerals import count, percent, plural
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import SiteReading
from netcaliper.reading.verdicts import headline, network_verdict, verdict
from netcaliper.report.text import NARROWEST, draw, printable

NARROW, MEDIUM = 100, 140
MOST_WARNINGS = 8


def render(reading: Reading, *, width: int = 100, color: bool = False) -> str:
    """Render the table as text.

    Args:
        reading: the record.
        width: columns of the terminal; at least 40 are used. Below 100 only the columns that matter most are shown.
        color: with terminal escapes; plain text otherwise.

    Returns:
        Lines of at most ``width`` characters, the last one ended.
    """
    return draw(_everything(reading, max(width, NARROWEST)), width=width, color=color)


def show(reading: Reading, stream: TextIOBase | None = None, *, width: int | None = None) -> None:
    """Print the table: in color and as wide as the window on a terminal, plain otherwise.

    Args:
        reading: the record.
        stream: where; standard output if not given.
        width: columns; the terminal's, or 100 where there is none.
    """
    out = sys.stdout if stream is None else stream
    terminal = bool(getattr(out, "isatty", lambda: False)())
    columns = width or (shutil.get_terminal_size((100, 24)).columns if terminal else 100)
    text = render(reading, width=columns, color=terminal)
    encoding = getattr(out, "encoding", None) or "utf-8"
    out.write(text.encode(encoding, "replace").decode(encoding))


def shorten(name: str, most: int) -> str:
    """Cut a name to ``most`` characters with an ellipsis; its end, which tells layers apart, keeps two thirds."""
    if len(name) <= most:
        return name
    head = (most - 1) // 3
    return f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"


def _everything(reading: Reading, width: int) -> Group:
    network = reading.network
    parts = [
        Text(headline(reading), style="bold"),
        Text(network_verdict(reading)),
        Text(),
        _table(reading, width),
        Text(),
    ]
    line = [f"{count(network.parameters)} parameters", f"{count(network.macs)} multiply-adds"]
    if network.redundant is not None:
        line.append(f"redundant {percent(network.redundant.value)}")
    if network.prunable is not None:
        line.append(f"prunable {percent(network.prunable.value)}")
    if network.agreement is not None:
        line.append(f"agreement {percent(network.agreement)}")
    parts.append(Text("Network: " + ", ".join(line) + "."))
    parts += _listed(
        "Not read", [f"{printable(item.name)}: {printable(item.reason)}" for item in reading.skipped], "yellow"
    )
    refused = [f"{printable(site.name)}: {printable(site.refused)}" for site in reading.sites if site.refused]
    parts += _listed("Consumers not resolved", refused, "yellow")
    parts += _listed("Warnings", [printable(warning) for warning in reading.warnings], "yellow")
    return Group(*parts)


def _table(reading: Reading, width: int) -> Table:
    narrow, medium = width < NARROW, width < MEDIUM
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold", pad_edge=False)
    # The verdict wraps at words; a name that is too long loses its middle. Nothing else is ever shortened.
    most = max(width // 3, 12) if narrow else 34
    table.add_column("site", no_wrap=True)
    if not narrow:
        table.add_column("op", no_wrap=True, overflow="ellipsis", style="dim", max_width=10)
    table.add_column("units", justify="right", no_wrap=True)
    if not narrow:
        for name in ("dead", "const.", "copies", "comb."):
            table.add_column(name, justify="right", no_wrap=True)
    table.add_column("needed", justify="right", no_wrap=True)
    if not medium:
        for name in ("on", "off", "linear", "redundant"):
            table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", ratio=1, overflow="fold")
    for site in reading.sites:
        cells = [Text(shorten(printable(site.name), most))]
        if not narrow:
            cells.append(Text(printable(site.op)))
        cells.append(Text(count(site.units)))
        if not narrow:
            cells += [Text(count(number)) for number in (site.dead, site.constant, site.duplicate, site.dependent)]
        cells.append(Text(count(site.needed)))
        if not medium:
            cells += [Text(count(site.always_on)), Text(count(site.always_off))]
            cells += [Text(percent(share.value if share else None)) for share in (site.linear_zone, site.redundant)]
        cells.append(Text(printable(verdict(site)), style=_style(site)))
        table.add_row(*cells)
    return table


def _listed(title: str, lines: list[str], style: str) -> list[Text | Padding]:
    if not lines:
        return []
    left = len(lines) - MOST_WARNINGS
    shown = lines[:MOST_WARNINGS] + ([f"and {plural(left, 'more line')}"] if left > 0 else [])
    return [Text(f"{title}:", style=style), *(Padding(Text(line), (0, 0, 0, 2)) for line in shown)]


def _style(site: SiteReading) -> str:
    if site.needed is None:
        return "yellow"
    return "" if site.needed == site.units else "cyan"
