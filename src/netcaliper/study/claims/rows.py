"""The table of a study as plain rows: what is missing is absent, and numbers are Python's."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]

TWIN = "twin_"
"""Begins the columns of the untrained twin."""
NOTE = "_note"
"""Ends the columns that say why a reader has no number."""


@dataclass(frozen=True)
class Rows:
    """All rows of a study.

    Attributes:
        rows: by column the value; gaps are absent.
        columns: of the table, also those that have nothing but gaps.
    """

    rows: Sequence[Row]
    columns: tuple[str, ...]


def rows_of(table: "pd.DataFrame") -> Rows:
    """Return the rows of a table; whole floats in columns of axes are what pandas makes of integers beside gaps."""
    columns = tuple(str(column) for column in table.columns)
    values = [table[column].tolist() for column in table.columns]
    rows = [
        {column: _plain(value) for column, value in zip(columns, row, strict=True) if not _is_gap(value)}
        for row in zip(*values, strict=True)
    ]
    return Rows(rows, columns)


def label_of(value: Any) -> str:
    """Write a value of a column; a whole number that pandas made a float is one again."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def by_value(rows: Sequence[Row], column: str) -> dict[str, list[Row]]:
    """Part rows by the values of a column, in order of the values; rows without one are left out."""
    values = {label_of(row[column]): row[column] for row in rows if column in row}
    found: dict[str, list[Row]] = {label: [] for label in sorted(values, key=lambda label: order_of(values[label]))}
    for row in rows:
        if column in row:
            found[label_of(row[column])].append(row)
    return found


def order_of(value: Any) -> tuple[int, float, str]:
    """Return what values are sorted by: numbers by size, then text by the alphabet, gaps last."""
    if isinstance(value, int | float):
        return 0, float(value), ""
    return (2, 0.0, "") if value is None else (1, 0.0, str(value))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _is_gap(value: Any) -> bool:
    """Tell whether a value is missing: ``None``, NaN, or pandas' own word for it."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType"
