"""A reading in a terminal: one row a site and a verdict in words, whatever the width of the window."""

import shutil
import sys
from collections.abc import Callable, Sequence
from io import TextIOBase

from rich import box
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from netcaliper.reading.headline import headline, network_verdict, twin_name
from netcaliper.reading.left_open import all_warnings, undefined
from netcaliper.reading.numerals import MISSING, count, percent, plural
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import NetworkReading, PathLengths, Share, SiteReading
from netcaliper.reading.verdicts import verdict
from netcaliper.report.text import NARROWEST, draw, printable

LONGEST_NAME, LONGEST_OP = 34, 10
GAP = 2
MOST_WARNINGS = 8


def render(reading: Reading, *, width: int = 100, color: bool = False) -> str:
    """Render the table as text.

    Args:
        reading: the record.
        width: columns of the terminal; at least 40 are used. The fewer, the fewer columns of the table are shown.
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
    print_to(stream, width, lambda columns, color: render(reading, width=columns, color=color))


def print_to(stream: TextIOBase | None, width: int | None, rendered: Callable[[int, bool], str]) -> None:
    """Print what is rendered for a number of columns, with color or without, as a stream can take it."""
    out = sys.stdout if stream is None else stream
    terminal = bool(getattr(out, "isatty", lambda: False)())
    columns = width or (shutil.get_terminal_size((100, 24)).columns if terminal else 100)
    text = rendered(columns, terminal)
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
    size = [f"{count(network.parameters)} parameters", f"{count(network.macs)} multiply-adds"]
    parts.append(Text(f"Network: {', '.join(size + _shares(network, reading.warnings))}."))
    if network.paths is not None:
        parts.append(Text(_lengths(network, network.paths)))
    if reading.twin is not None:
        name = f"Twin ({twin_name(reading.twin)}, seed {reading.twin.seed})"
        needed = [f"needed {count(reading.twin.network.needed_units)}"]
        parts.append(Text(f"{name}: {', '.join(needed + _shares(reading.twin.network, reading.twin.warnings))}."))
    parts += listed(
        "Not read", [f"{printable(item.name)}: {printable(item.reason)}" for item in reading.skipped], "yellow"
    )
    refused = [f"{printable(site.name)}: {printable(site.refused)}" for site in reading.sites if site.refused]
    parts += listed("Consumers not resolved", refused, "yellow")
    parts += listed("Warnings", [printable(warning) for warning in all_warnings(reading)], "yellow")
    return Group(*parts)


Cell = Callable[[SiteReading, SiteReading | None], str]


def _count(field: str) -> Cell:
    return lambda site, _: count(getattr(site, field))


def _share(field: str) -> Cell:
    def cell(site: SiteReading, _: SiteReading | None) -> str:
        share: Share | None = getattr(site, field)
        return percent(share.value if share else None)

    return cell


COLUMNS: dict[str, Cell] = {
    "op": lambda site, _: shorten(printable(site.op), LONGEST_OP),
    "units": _count("units"),
    "dead": _count("dead"),
    "const.": _count("constant"),
    "copies": _count("duplicate"),
    "comb.": _count("dependent"),
    "absorb.": _count("absorbable"),
    "needed": _count("needed"),
    "twin": lambda _, twin: count(twin.needed if twin else None),
    "prunable": _share("prunable"),
    "on": _count("always_on"),
    "off": _count("always_off"),
    "linear": _share("linear_zone"),
    "redundant": _share("redundant"),
}
"""What stands between the name and the verdict, from left to right; ``twin`` is what the untrained twin needs."""

BY_IMPORTANCE = (
    (0, ("units", "needed")),
    (20, ("twin",)),
    (32, ("absorb.",)),
    (32, ("prunable",)),
    (32, ("op",)),
    (32, ("dead", "const.", "copies", "comb.")),
    (32, ("redundant",)),
    (32, ("linear",)),
    (32, ("on", "off")),
)
"""Columns that are shown together, as long as so many characters are left for the verdict. Those in which nothing was
measured never are."""


def _table(reading: Reading, width: int) -> Table:
    twins = reading.twin.sites if reading.twin else (None,) * len(reading.sites)
    # The verdict wraps at words; a name that is too long loses its middle. Nothing else is ever shortened.
    names = [shorten(printable(site.name), min(max(width // 3, 12), LONGEST_NAME)) for site in reading.sites]
    cells = {
        name: [cell(site, twin) for site, twin in zip(reading.sites, twins, strict=True)]
        for name, cell in COLUMNS.items()
    }
    shown: set[str] = set()
    room = width - max(map(len, ["site", *names])) - GAP
    for least, group in BY_IMPORTANCE:
        measured = [name for name in group if not least or set(cells[name]) - {MISSING}]
        room -= sum(max(map(len, [name, *cells[name]])) + GAP for name in measured)
        if least and room < least:
            break
        shown.update(measured)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold", pad_edge=False)
    table.add_column("site", no_wrap=True)
    for name in (name for name in COLUMNS if name in shown):
        table.add_column(name, justify="left" if name == "op" else "right", no_wrap=True, style="dim" * (name == "op"))
    table.add_column("verdict", ratio=1, overflow="fold")
    for index, site in enumerate(reading.sites):
        row = [names[index], *(cells[name][index] for name in COLUMNS if name in shown)]
        table.add_row(*map(Text, row), Text(printable(verdict(site)), style=_style(site)))
    return table


def _shares(network: NetworkReading, warnings: Sequence[str]) -> list[str]:
    """List the shares of a network's row that were measured."""
    listed = [
        (label, None if share is None else share.value)
        for label, share in (("prunable", network.prunable), ("redundant", network.redundant))
    ]
    found = [f"{label} {percent(value)}" for label, value in [*listed, ("agreement", network.agreement)] if value]
    if undefined(warnings):
        found.insert(0, "prunable undefined")
    return found


def _lengths(network: NetworkReading, paths: PathLengths) -> str:
    """Say how many nonlinear units lie on the paths, on the data and on paper."""
    paper = None if paths.nominal_normalized is None else f"{paths.nominal_normalized:.2f} on paper"
    if network.path_length is None or network.path_length_normalized is None:
        open_ = f"not on the data: {printable((paths.reason or MISSING).rstrip('.'))}"
        return f"Path length: {open_ if paper is None else f'{paper}; {open_}'}."
    said = f"Path length: {network.path_length_normalized:.2f} nonlinear units on a random walk from input to output"
    return f"{said} ({paper}), {network.path_length:.2f} if every path weighs the same."


def listed(title: str, lines: list[str], style: str) -> list[Text | Padding]:
    """Put lines under a title, the first eight of them; nothing if there are none."""
    if not lines:
        return []
    left = len(lines) - MOST_WARNINGS
    shown = lines[:MOST_WARNINGS] + ([f"and {plural(left, 'more line')}"] if left > 0 else [])
    return [Text(f"{title}:", style=style), *(Padding(Text(line), (0, 0, 0, 2)) for line in shown)]


def _style(site: SiteReading) -> str:
    if site.needed is None:
        return "yellow"
    return "" if site.needed == site.units else "cyan"
