"""The one table of a study: the rows of all its cells that are done, in a fixed order."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from netcaliper.errors import InputError, OutputExists, ReadingError
from netcaliper.reading.whole_file import write_whole
from netcaliper.specs.extra import import_extra
from netcaliper.study.cell import Cell
from netcaliper.study.cell_folder import cell_folder, is_done, rows_of
from netcaliper.study.file.grid import cells
from netcaliper.study.file.study import Study

FIRST = ("cell", "kind", "family")
ENDINGS = (".parquet", ".csv")


def table(study: Study, root: Path) -> pd.DataFrame:
    """Return a row for every cell that is done and every epoch that was read.

    Columns: ``cell``, ``kind``, ``family``, those of the axes in the order of the study, ``epoch``, ``final``, then
    what the readers left, in the order in which it first occurs; an axis hides a reader's column of the same name, in
    every family. Rows stand in the order of ``netcaliper.study.file.grid.cells``.
    Times are not in it: two runs leave the same table.

    Raises:
        ReadingError: a cell is damaged or of another version.
    """
    return _framed(cells(study), root)


def _framed(asked: Iterable[Cell], root: Path) -> pd.DataFrame:
    asked = list(asked)
    axes = dict.fromkeys(column for cell in asked for column in cell.columns)
    rows: list[dict[str, Any]] = []
    kept: dict[str, list[dict[str, Any]]] = {}
    for cell in asked:
        folder = cell_folder(root, cell.name)
        if cell.name not in kept:
            kept[cell.name] = rows_of(folder) if is_done(folder) else []
        about = {"cell": cell.name, "kind": cell.kind, "family": cell.family, **cell.columns}
        # A column has one meaning in all rows: what a reader leaves under the name of an axis is not in the table.
        rows += [{key: value for key, value in row.items() if key not in axes} | about for row in kept[cell.name]]
    read = dict.fromkeys(key for row in rows for key in row)
    columns = [*FIRST, *axes, "epoch", "final", *read]
    return pd.DataFrame({column: _series([row.get(column) for row in rows]) for column in dict.fromkeys(columns)})


def _series(values: list[Any]) -> pd.Series:
    """Return a column: whole numbers and truth values stay what they are, with pandas' NA where one is missing."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean" if None in values else "bool")
    if kinds == {int}:
        return pd.Series(values, dtype="Int64" if None in values else "int64")
    if kinds and kinds <= {int, float}:
        return pd.Series(values, dtype="float64")
    return pd.Series(values, dtype=object)


def export(frame: pd.DataFrame, file: Path, *, replace: bool = False) -> None:
    """Write a table as parquet or CSV, by the ending of the file; the same table gives the same bytes.

    In parquet a column of numbers and words becomes one of words.

    Raises:
        InputError: the ending is another.
        SpecError: the extra for parquet is not installed.
        OutputExists: the file is there.
        ReadingError: it cannot be written.
    """
    if file.suffix not in ENDINGS:
        raise InputError(f"`--out` must end in {' or '.join(ENDINGS)}, got {str(file)!r}.")
    if file.exists() and not replace:
        raise OutputExists(f"{file} already exists and is not overwritten; choose another file, or give --replace.")
    stream = BytesIO()
    if file.suffix == ".csv":
        stream.write(frame.to_csv(index=False, lineterminator="\n").encode())
    else:
        import_extra("pyarrow", "parquet", f"`--out` = {file.name!r} (a .csv does not)")
        _uniform(frame).to_parquet(stream, engine="pyarrow", index=False)
    try:
        write_whole(file, stream.getvalue())
    except OSError as error:
        raise ReadingError(f"{file} cannot be written: {error.strerror or error}; choose another place.") from error


def _uniform(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table without columns of several types, which parquet does not have."""

    def words(column: pd.Series) -> pd.Series:
        if column.dtype != object or {type(value) for value in column if value is not None} <= {str}:
            return column
        return column.map(lambda value: None if value is None else str(value))

    return pd.DataFrame({column: words(series) for column, series in frame.items()})
