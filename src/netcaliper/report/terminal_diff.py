"""What differs between two readings, in a terminal."""

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from netcaliper.reading.diff import Change, ReadingDiff
from netcaliper.reading.numerals import MISSING, count, percent, plural
from netcaliper.report.terminal import shorten
from netcaliper.report.text import NARROWEST, draw, printable

SHARES = frozenset(
    {"prunable", "redundant", "redundant_correlation", "linear_zone", "bending_share", "agreement", "agreement_low"}
)


def render_diff(found: ReadingDiff, *, width: int = 100, color: bool = False) -> str:
    """Render a difference as text: notes, one row a change, and the sites that came or went.

    Args:
        found: the difference.
        width: columns of the terminal; at least 40 are used.
        color: with terminal escapes; plain text otherwise.

    Returns:
        Lines of at most ``width`` characters, the last one ended.
    """
    return draw(_everything(found, max(width, NARROWEST)), width=width, color=color)


def _everything(found: ReadingDiff, width: int) -> Group:
    parts: list[Text | Table] = [Text(_summary(found), style="bold")]
    parts += [Text(f"Note: {printable(note)}.", style="yellow") for note in found.notes]
    if found.network or found.sites:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold", pad_edge=False)
        table.add_column("site", no_wrap=True)
        table.add_column("what", overflow="fold")
        for name in ("before", "after", "difference"):
            table.add_column(name, justify="right", overflow="fold")
        scopes = [("network", found.network), *((site.name, site.changes) for site in found.sites)]
        for name, changes in scopes:
            for index, change in enumerate(changes):
                label = shorten(printable(name), max(width // 3, 12)) if index == 0 else ""
                cells = (
                    label,
                    change.field,
                    _value(change, change.before),
                    _value(change, change.after),
                    _moved(change),
                )
                table.add_row(*(Text(cell) for cell in cells))
        parts += [Text(), table]
    parts += [Text(f"Only in the first: {printable(name)}") for name in found.removed]
    parts += [Text(f"Only in the second: {printable(name)}") for name in found.added]
    return Group(*parts)


def _summary(found: ReadingDiff) -> str:
    if found.same:
        return f"No difference at {plural(found.unchanged, 'site')}."
    said = [f"{plural(len(found.sites), 'site')} differ" if len(found.sites) != 1 else "1 site differs"]
    said.append(f"{count(found.unchanged)} do not" if found.unchanged != 1 else "1 does not")
    if found.removed or found.added:
        said.append(f"{count(len(found.removed))} gone, {count(len(found.added))} new")
    return f"{printable(found.before)} and {printable(found.after)}: {', '.join(said)}."


def _value(change: Change, value: float | int | str | None) -> str:
    if value is None:
        return MISSING
    if isinstance(value, str):
        return printable(value)
    return percent(value) if change.field in SHARES else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _moved(change: Change) -> str:
    """Write the difference with its sign; for shares in points, and whether the intervals leave it open."""
    if change.difference is None:
        return ""
    if change.field not in SHARES:
        return f"{change.difference:+,}" if isinstance(change.difference, int) else f"{change.difference:+.4g}"
    sure = {None: "", True: "", False: " (intervals overlap)"}[change.apart]
    return f"{100 * change.difference:+.1f} points{sure}"
