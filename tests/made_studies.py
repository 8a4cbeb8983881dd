"""Cells and tables of studies that nobody trained, with what is planted in them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import pandas as pd

from netcaliper.reading.study import StudyCell
from netcaliper.study.claims.rows import Rows, rows_of

Number = Callable[..., Mapping[str, Any]]


def made_cells(
    family: str = "mlp", kind: Any = "train", status: str = "done", **axes: Sequence[Any]
) -> list[StudyCell]:
    """Return one cell for every point of the product of the axes."""
    points = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    return [
        StudyCell(
            name=hashlib.sha256(f"{family}{point}".encode()).hexdigest()[:16],
            kind=kind,
            family=family,
            columns=point,
            status=status,  # pyright: ignore[reportArgumentType]
        )
        for point in points
    ]


def made_table(cells: Sequence[StudyCell], number: Number, epochs: Sequence[int] = (1,)) -> Rows:
    """Return the rows of the cells that are done; ``number`` is called with the columns of a cell (and the epoch)."""
    return rows_of(made_frame(cells, number, epochs))


def made_frame(cells: Sequence[StudyCell], number: Number, epochs: Sequence[int] = (1,)) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"cell": cell.name, "kind": cell.kind, "family": cell.family, **cell.columns}
            | {"epoch": epoch, "final": epoch == epochs[-1]}
            | dict(number(**cell.columns, **({"epoch": epoch} if len(epochs) > 1 else {})))
            for cell in cells
            if cell.status == "done"
            for epoch in epochs
        ]
    )
