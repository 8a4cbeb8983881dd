"""Axes of a grid: the column that each leaves in the table, its values, and what a value sets."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from typing import Any

Scalar = bool | int | float | str

SEED = "seed"
TAKEN = ("cell", "kind", "family", "epoch", "final")
"""Columns that every table has."""

_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHAPES = (
    '`width = ["arguments.width", [1, 2]]` (a path and its values) or '
    '`labels = { true = {}, random = { "options.random_labels" = true } }` (names, and what each sets)'
)


@dataclass(frozen=True)
class Axis:
    """One direction of a grid.

    Attributes:
        column: of the table.
        values: by value of the column what it sets: by dotted path a value.
    """

    column: str
    values: tuple[tuple[Scalar, Mapping[str, Any]], ...]


@dataclass(frozen=True)
class Point:
    """One point of a product of axes: the values of its columns, and all that it sets."""

    columns: Mapping[str, Scalar]
    settings: Mapping[str, Any]


def read_axis(column: str, written: Any) -> Axis:
    """Read an axis of a study file.

    Raises:
        ValueError: it is empty, of no known shape, or names a value twice; the message has the remedy.
    """
    if _COLUMN.fullmatch(column) is None or column in TAKEN:
        raise ValueError(
            f"{column!r} cannot be a column; use letters, digits and _, and none of {', '.join(TAKEN)}, which every "
            "table has"
        )
    values: list[tuple[Scalar, Mapping[str, Any]]]
    match written:
        case [] | [_, []] | {} if not written or isinstance(written, list):
            raise ValueError(f"the axis `{column}` is empty, and so would be the grid; give it values, or leave it out")
        case list() if column == SEED:
            if not all(
                isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 for value in written
            ):
                raise ValueError(f"`seed` must be a list of whole numbers from 0 to 2^31 - 1, got {written!r}")
            values = [(value, {}) for value in written]
        case [str() as path, list() as given]:
            if not all(isinstance(value, Scalar) for value in given):
                raise ValueError(
                    f"the axis `{column}` has values that are no numbers or words; name them: "
                    f'`{column} = {{ 32 = {{ "{path}" = [32] }} }}`'
                )
            values = [(value, {path: value}) for value in given]
        case dict() if column != SEED and all(isinstance(settings, dict) for settings in written.values()):
            values = [(_number(label), settings) for label, settings in written.items()]
        case _:
            form = "`seed = [0, 1, 2]`" if column == SEED else _SHAPES
            raise ValueError(f"the axis `{column}` cannot be read; write {form}")
    names = [label for label, _ in values]
    twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if twice is not None:
        raise ValueError(f"the axis `{column}` has the value {twice!r} twice; name it once")
    return Axis(column, tuple(values))


def _number(label: str) -> Scalar:
    """Return the number that a label writes, or the label."""
    for read in (int, float):
        try:
            number = read(label)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
    return label


def points(axes: Sequence[Axis]) -> Iterator[Point]:
    """Go through the product of axes, the last one fastest."""
    for chosen in product(*(axis.values for axis in axes)):
        columns = {axis.column: value for axis, (value, _) in zip(axes, chosen, strict=True)}
        settings = {path: value for _, settings in chosen for path, value in settings.items()}
        yield Point(columns, settings)


def placed(table: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a table in which every dotted path of ``settings`` has its value.

    Raises:
        ValueError: a path leads through something that is no table.
    """
    copy: dict[str, Any] = deepcopy(dict(table))
    for path, value in settings.items():
        *above, last = path.split(".")
        inner = copy
        for part in above:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ValueError(f"the path {path!r} leads through `{part}`, which is no table; name a key of a table")
        inner[last] = deepcopy(value)
    return copy
