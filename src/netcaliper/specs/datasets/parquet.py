"""``parquet:FILE``, a folder of shards, or a pattern: tables that are read row group by row group."""

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from netcaliper.errors import DataError, SpecError
from netcaliper.specs.datasets.imagefolder import HELD_OUT, TRAIN
from netcaliper.specs.extra import first_line, import_extra
from netcaliper.specs.nearest import existing

_PART = re.compile(rf"({'|'.join((TRAIN, *HELD_OUT))})(?![A-Za-z])")
_ROWS = 256  # decoded at a time; with images of some hundred kB, tens of MB


@dataclass(frozen=True)
class ParquetTable:
    """Rows of several files, one after the other.

    Attributes:
        files: in this order.
        schema: of the first file, which the others share.
        sizes: rows of each file.
    """

    files: tuple[Path, ...]
    schema: Any
    sizes: tuple[int, ...]

    def __len__(self) -> int:
        return sum(self.sizes)

    def column(self, name: str) -> Any:
        """Return one whole column."""
        pyarrow = import_extra("pyarrow", "parquet", "`parquet:`")
        return pyarrow.concat_tables([_read(file).read([name]) for file in self.files]).column(name)

    def scan(self, rows: Int[np.ndarray, " n"], columns: tuple[str, ...]) -> Iterator[Any]:
        """Go through rows, given in ascending order; row groups that hold none of them are not read."""
        pyarrow = import_extra("pyarrow", "parquet", "`parquet:`")
        for file, start in zip(self.files, accumulate(self.sizes, initial=0), strict=False):
            opened = _read(file)
            groups = [opened.metadata.row_group(n).num_rows for n in range(opened.metadata.num_row_groups)]
            for number, (first, count) in enumerate(zip(accumulate(groups, initial=start), groups, strict=False)):
                if not len(_within(rows, first, count)):
                    continue
                done = first
                for piece in opened.iter_batches(_ROWS, row_groups=[number], columns=list(columns)):
                    wanted = _within(rows, done, piece.num_rows)
                    if len(wanted):
                        yield pyarrow.Table.from_batches([piece]).take(wanted)
                    done += piece.num_rows


def parquet_parts(path: str) -> dict[str, ParquetTable]:
    """Return the tables that a path or pattern stands for: ``train`` and ``test``, or ``all`` where there are no parts.

    Files (or folders) whose names begin with ``train`` and with ``test``, ``val``, ``valid`` or ``validation`` are
    these two parts; of several held-out ones the first in this order counts.

    Raises:
        SpecError: there is no such file, or one cannot be read.
        DataError: the files differ in their columns, or hold no row.
    """
    import_extra("pyarrow.parquet", "parquet", "`parquet:`")
    files = _files(path)
    named: dict[str, list[Path]] = {}
    for file in files:
        named.setdefault(_part_of(file, path), []).append(file)
    held_out = [name for name in HELD_OUT if name in named]
    if TRAIN not in named or not held_out or "" in named:
        return {"all": _table(files)}
    return {"train": _table(named[TRAIN]), "test": _table(named[held_out[0]])}


def _files(path: str) -> list[Path]:
    if not Path(path).exists() and any(sign in path for sign in "*?["):
        files = sorted(Path(found) for found in glob.glob(path, recursive=True) if Path(found).is_file())
        if not files:
            raise SpecError(f"`parquet`: no file fits the pattern {path!r}; check the path.")
        return files
    if Path(path).is_dir():
        files = sorted(file for file in Path(path).rglob("*.parquet") if file.is_file())
        if not files:
            raise SpecError(f"`parquet`: the folder {path!r} holds no file *.parquet; name the folder that does.")
        return files
    return [existing(Path(path), "parquet", folder=False)]


def _part_of(file: Path, path: str) -> str:
    """Return the part that a file's name or the folders between it and the given path say."""
    names = [file.name]
    if file.is_relative_to(path):
        names = list(file.relative_to(path).parts)
    return next((found[1] for name in names if (found := _PART.match(name))), "")


def _table(files: list[Path]) -> ParquetTable:
    opened = [_read(file) for file in files]
    first = opened[0].schema_arrow
    for file, other in zip(files[1:], opened[1:], strict=True):
        if set(other.schema_arrow.names) != set(first.names):
            odd = sorted(set(other.schema_arrow.names) ^ set(first.names))
            raise DataError(
                f"`parquet`: {files[0].name!r} and {file.name!r} differ in the column {odd[0]!r}; name files of one "
                "table."
            )
    sizes = tuple(one.metadata.num_rows for one in opened)
    if sum(sizes) == 0:
        raise DataError(f"`parquet`: {files[0].name!r} holds no row; name a file with examples.")
    return ParquetTable(tuple(files), first, sizes)


def _read(file: Path) -> Any:
    parquet = import_extra("pyarrow.parquet", "parquet", "`parquet:`")
    try:
        return parquet.ParquetFile(file)
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueError and its kin
        raise SpecError(f"`parquet`: {file.name!r} cannot be read as a parquet file: {first_line(error)}") from error


def _within(rows: Int[np.ndarray, " n"], first: int, count: int) -> Int[np.ndarray, " m"]:
    """Return which of ``count`` rows from ``first`` on are wanted, counted from 0."""
    low, high = np.searchsorted(rows, (first, first + count))
    return rows[low:high] - first
