"""Tables as data: which rows, in which batches, with which labels; for every kind of file that holds one."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from netcaliper.specs.datasets.columns import Batcher, Columns, TableOptions, find_columns, labels_of
from netcaliper.specs.datasets.preprocessing import Preprocessing
from netcaliper.specs.datasets.stream import Stream, check_batch_size
from netcaliper.specs.datasets.tokens import Reader
from netcaliper.specs.extra import import_extra
from netcaliper.zoo.data import Split, chosen, train_part


@runtime_checkable
class Table(Protocol):
    """Rows that are read from disk in ascending order."""

    @property
    def schema(self) -> Any:
        """Names and types of the columns, as pyarrow has them."""
        ...

    def __len__(self) -> int: ...

    def column(self, name: str) -> Any:
        """Return one whole column."""
        ...

    def scan(self, rows: Int[np.ndarray, " n"], columns: tuple[str, ...]) -> Iterator[Any]:
        """Go through the given rows, as pyarrow tables of any size."""
        ...


def table_data(
    parts: Mapping[str, Table],
    split: Split,
    *,
    options: TableOptions,
    reader: Reader,
    preprocessing: Callable[[], Preprocessing],
    batch_size: int,
    name: str,
) -> Stream:
    """Return the batches of a table.

    Args:
        parts: ``train`` and ``test``, or ``all``.
        split: the part; of a table without parts, ``train`` and ``test`` are a fixed 3 : 1 split.
        options: which columns and examples.
        reader: what is known of the network.
        preprocessing: says what is done to images, asked only if there are any.
        batch_size: rows a batch.
        name: of the table, in messages.

    Raises:
        SpecError: a named column is not there, or the model's tokenizer cannot be loaded.
        DataError: the columns cannot be read, or more examples are asked for than there are.
    """
    check_batch_size(batch_size)
    tables = list(parts.values())
    columns = find_columns(tables[0].schema, options, reader, name)
    for other in tables[1:]:
        find_columns(other.schema, options, reader, name)
    y = None
    if columns.label is not None:
        y = np.concatenate([labels_of(table.column(columns.label), columns, name) for table in tables])
    sizes = [len(table) for table in tables]
    classes = y if y is not None and y.dtype.kind == "i" else None
    if "test" in parts:
        train = np.arange(sum(sizes)) < len(parts["train"])
    else:
        train = train_part(sum(sizes), classes, split, options)
    rows, labels = chosen(classes, train, split, options)
    if labels is None and y is not None:
        labels = y[rows]
    batcher = Batcher(columns, options, reader, preprocessing, name)

    def read() -> Iterator[Any]:
        done = 0
        for table in _regrouped(_scanned(tables, sizes, rows, columns), batch_size):
            now = slice(done, done + table.num_rows)
            done = now.stop
            yield batcher.batch(table, rows[now].tolist(), None if labels is None else labels[now])

    return Stream(len(rows), batch_size, read, batcher.prepared)


def _scanned(tables: list[Table], sizes: list[int], rows: Int[np.ndarray, " n"], columns: Columns) -> Iterator[Any]:
    start = 0
    for table, size in zip(tables, sizes, strict=True):
        low, high = np.searchsorted(rows, (start, start + size))
        if high > low:
            yield from table.scan(rows[low:high] - start, columns.inputs)
        start += size


def _regrouped(pieces: Iterator[Any], size: int) -> Iterator[Any]:
    """Bring pieces of tables to one number of rows; the last one may be smaller."""
    pyarrow = import_extra("pyarrow", "parquet", "a table")
    held: Any = None
    for piece in pieces:
        held = piece if held is None else pyarrow.concat_tables([held, piece])
        while held.num_rows >= size:
            yield held.slice(0, size)
            held = held.slice(size)
    if held is not None and held.num_rows:
        yield held
