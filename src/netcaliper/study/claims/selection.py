"""Which cells and which rows conditions select, and which condition selects nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from netcaliper.reading.numerals import plural
from netcaliper.reading.study import StudyCell
from netcaliper.study.claims.claim_schema import ANY, Span
from netcaliper.study.claims.rows import Row, Rows, label_of, order_of

MOST_VALUES = 6
ENDS = {"smallest": min, "largest": max}
"""What stands for an end of an axis, so that a claim reads the same at every scale."""
FINAL = "final"


@dataclass(frozen=True)
class Selected:
    """What conditions select.

    Attributes:
        cells: of the grid, computed or not.
        rows: of the table.
        problem: why there is no row, in words.
        outside: how many rows a span left out, in words.
    """

    cells: tuple[StudyCell, ...]
    rows: Sequence[Row]
    problem: str | None = None
    outside: tuple[str, ...] = ()


def select(where: Mapping[str, Any], table: Rows, cells: Sequence[StudyCell], *, every_epoch: bool = False) -> Selected:
    """Return the cells and the rows that meet conditions.

    Conditions on what the study file says of cells (their kind, family and axes) part the grid, so that cells are
    found that are not computed yet; all others part the rows.

    Args:
        where: by column a value, a list of them, a span of numbers, ``"any"`` for no condition, ``"smallest"`` or
            ``"largest"`` for the end of an axis of numbers; of ``epoch`` also ``"final"``. Numbers are equal as
            numbers, and a gap equals nothing.
        table: rows with ``cell`` and ``final``.
        cells: of the study.
        every_epoch: also rows that are not final. So it is where ``where`` names ``epoch``.
    """
    where = {column: wanted for column, wanted in where.items() if wanted != ANY}
    facts = [(cell, {"cell": cell.name, "kind": cell.kind, "family": cell.family, **cell.columns}) for cell in cells]
    of_cells = list(dict.fromkeys(column for _, fact in facts for column in fact))
    met: list[str] = []
    of_grid: dict[str, Any] = {}
    # The largest is that of the cells that meet everything else, whatever the order of the conditions.
    for column in sorted((column for column in where if column in of_cells), key=lambda column: _is_end(where[column])):
        wanted = _found_end(where[column], [fact.get(column) for _, fact in facts])
        kept = [(cell, fact) for cell, fact in facts if _meets(fact.get(column), wanted)]
        if not kept:
            return Selected((), (), _nothing(column, wanted, [fact for _, fact in facts], "cell", met))
        facts = kept
        of_grid[column] = wanted
        met.append(condition(column, wanted))
    found = tuple(cell for cell, _ in facts)
    if not found:
        return Selected((), (), "the study has no cells")

    # One cell may stand in several families, so the name alone does not say which rows are meant.
    names = {(cell.name, cell.family) for cell in found}
    rows = [
        row
        for row in table.rows
        if (row.get("cell"), row.get("family")) in names
        and all(_meets(row.get(column), wanted) for column, wanted in of_grid.items())
    ]
    if not rows:
        return Selected(found, (), _not_there(found))
    if not every_epoch and "epoch" not in where:
        rows = [row for row in rows if row.get("final")]
        if not rows:
            return Selected(found, (), "no final row is among them")
    outside: list[str] = []
    for column in (column for column in where if column not in of_cells):
        if column not in table.columns:
            return Selected(found, (), no_column(column, [*table.columns, *of_cells]))
        if column == "epoch" and where[column] == FINAL:
            left = [row for row in rows if row.get("final")]
        else:
            left = [row for row in rows if _meets(row.get(column), where[column])]
        if not left:
            return Selected(found, (), _nothing(column, where[column], rows, "row", met))
        if isinstance(where[column], Span) and len(left) < len(rows):
            outside.append(
                f"{len(rows) - len(left)} of {plural(len(rows), 'row')} without {condition(column, where[column])}"
            )
        rows = left
        met.append(condition(column, where[column]))
    return Selected(found, rows, outside=tuple(outside))


def _is_end(wanted: Any) -> bool:
    return isinstance(wanted, str) and wanted in ENDS


def _found_end(wanted: Any, values: Sequence[Any]) -> Any:
    """Return the value that ``"smallest"`` or ``"largest"`` means; what a label or anything else says, stays."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return ENDS[wanted](numbers) if _is_end(wanted) and wanted not in values and numbers else wanted


def condition(column: str, wanted: Any) -> str:
    """Write a condition, e.g. ``labels = true`` or ``blocks above 0``."""
    if isinstance(wanted, Span):
        return f"{column} {wanted}"
    return f"{column} = {' or '.join(map(str, wanted)) if isinstance(wanted, list) else wanted}"


def no_column(column: str, known: Iterable[str]) -> str:
    """Say that there is no such column, and which one may be meant."""
    close = get_close_matches(column, sorted(set(known)), n=1)
    return f"there is no column `{column}`" + (f" (is it `{close[0]}`?)" if close else "")


def _meets(value: Any, wanted: Any) -> bool:
    """Tell whether a value is the one that is wanted, or one of them; 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(wanted, Span):
        return value in wanted
    several = wanted if isinstance(wanted, list) else [wanted]
    return any(isinstance(value, bool) == isinstance(one, bool) and value == one for one in several)


def _not_there(cells: Sequence[StudyCell]) -> str:
    failed = sum(cell.status == "failed" for cell in cells)
    words = "the only cell is" if len(cells) == 1 else f"none of the {len(cells)} cells is"
    return f"{words} done" if len(cells) > 1 else f"{words} {'failed' if failed else 'not done yet'}"


def _nothing(column: str, wanted: Any, rows: Sequence[Row], what: str, met: Sequence[str]) -> str:
    """Say which condition nothing meets, and what there is."""
    values = [label_of(value) for value in sorted({row[column] for row in rows if column in row}, key=order_of)]
    shown = ", ".join(values[:MOST_VALUES]) + (", ..." if len(values) > MOST_VALUES else "")
    among = f" among those with {' and '.join(met)}" if met else ""
    has = f"there {'is' if len(values) == 1 else 'are'} {shown}" if values else f"none has a `{column}`"
    return f"no {what} has {condition(column, wanted)}{among}: {has}"
