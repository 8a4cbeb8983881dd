"""What the columns of a table are to a network: images, text, tokens or features, and labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from netcaliper.errors import DataError, SpecError
from netcaliper.specs.datasets.imagefolder import ImageOptions
from netcaliper.specs.datasets.images import Images
from netcaliper.specs.datasets.preprocessing import Preprocessing
from netcaliper.specs.datasets.tokens import TOKENS, Reader, Tokenizer, token_batch
from netcaliper.specs.extra import import_extra
from netcaliper.zoo.config import Count

LABELS = ("label", "labels", "target", "targets", "y", "class")
"""Names by which a column of labels is found without being named."""

_ANY = "images, text, `input_ids` or numbers"
_NEEDS = {"image": "text or `input_ids`", "text": "images"}  # by what the network cannot read
_INDEX = "__index_level_"  # what pandas calls an index that it writes


class TableOptions(ImageOptions):
    """What a table can be asked for.

    Attributes:
        image: column of encoded images.
        text: column of text; of an encoder-decoder, the source.
        text_pair: column of the second part of a text; of an encoder-decoder, the target.
        features: columns of numbers that make up one input vector.
        label: column of labels; ``False`` reads none.
        length: most tokens of an example; longer ones are cut.
        tokenizer: folder or name of a tokenizer, in place of the model's.
    """

    image: str | None = None
    text: str | None = None
    text_pair: str | None = None
    features: tuple[str, ...] | None = None
    label: str | Literal[False] | None = None
    length: Count | None = None
    tokenizer: str | None = None


@dataclass(frozen=True)
class Columns:
    """Which columns are read, as what.

    Attributes:
        kind: of the inputs.
        inputs: names of the columns; for text the text and, if there is one, its pair.
        label: name of the column of labels, if there is one.
    """

    kind: Literal["image", "text", "tokens", "features"]
    inputs: tuple[str, ...]
    label: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that are read."""
        return self.inputs if self.label is None else (*self.inputs, self.label)


def find_columns(schema: Any, options: TableOptions, reader: Reader, name: str) -> Columns:
    """Return what the columns of a table are, as the options say, or as only one reading is possible.

    Token ids go before images, images before text, text before numbers; images are left out for a network that reads
    tokens, and text for one that reads pixels. Labels are found by their name alone: one of
    ``LABELS``, or ending in ``_label``.

    Args:
        schema: of pyarrow.
        options: that may name columns.
        reader: what is known of the network.
        name: of the table, in messages.

    Raises:
        SpecError: a named column is not there or is of another kind.
        DataError: nothing can be read, or several columns could be meant; the message lists them.
    """
    kinds = {field.name: _kind(field.type) for field in schema if not field.name.startswith(_INDEX)}
    label = _label(kinds, options, name)
    left = {column: kind for column, kind in kinds.items() if column != label}
    for option, kind in (("image", "image"), ("text", "text"), ("text_pair", "text")):
        _check_named(kinds, getattr(options, option), option, kind, name)
    for column in options.features or ():
        _check_named(kinds, column, "features", "number", name)
    if options.text_pair is not None and options.text is None:
        raise SpecError(f"{name}: `text_pair` is the second part of `text`, which is not given; give both.")
    named = [option for option in ("image", "text", "features") if getattr(options, option) is not None]
    if len(named) > 1:
        raise SpecError(f"{name}: `{named[0]}` and `{named[1]}` are both given; name the columns of one kind of input.")

    if options.image is not None:
        return Columns("image", (options.image,), label)
    if options.text is not None:
        pair = () if options.text_pair is None else (options.text_pair,)
        return Columns("text", (options.text, *pair), label)
    if options.features is not None:
        return Columns("features", options.features, label)
    tokens = tuple(column for column in kinds if kinds[column] == "tokens" and column in TOKENS)
    if "input_ids" in tokens:
        return Columns("tokens", tokens, None if label in tokens else label)
    foreign = {"input_ids": "image", "pixel_values": "text"}.get(reader.main_input or "")
    by_kind = {kind: [c for c in left if left[c] == kind and kind != foreign] for kind in ("image", "text", "number")}
    for kind in ("image", "text"):
        if len(by_kind[kind]) > 1:
            pair = " (and `text_pair`)" if kind == "text" else ""
            raise DataError(
                f"{name} has several columns of {kind}s: {_quoted(by_kind[kind])}; name the one to read, e.g. "
                f"({kind}={by_kind[kind][0]!r}){pair}."
            )
    if by_kind["image"]:
        return Columns("image", (by_kind["image"][0],), label)
    if by_kind["text"] and by_kind["number"] and reader.tokenizer is None and options.tokenizer is None:
        raise DataError(
            f"{name} has text in {_quoted(by_kind['text'])} and numbers in {_quoted(by_kind['number'])}, and the model "
            "names no tokenizer; name the columns of numbers to read, e.g. "
            f"(features=[{by_kind['number'][0]!r}]), or a tokenizer for the text."
        )
    if by_kind["text"]:
        return Columns("text", (by_kind["text"][0],), label)
    if by_kind["number"]:
        return Columns("features", tuple(by_kind["number"]), label)
    listed = ", ".join(f"`{column}` ({kind})" for column, kind in kinds.items()) or "none"
    raise DataError(
        f"{name} has no column that the network can read; it needs {_NEEDS.get(foreign or '', _ANY)}. "
        f"Its columns: {listed}."
    )


class Batcher:
    """Turns rows of a table into batches.

    Attributes:
        prepared: what is done to the rows, in words.
    """

    def __init__(
        self,
        columns: Columns,
        options: TableOptions,
        reader: Reader,
        preprocessing: Callable[[], Preprocessing],
        name: str,
    ) -> None:
        self.columns = columns
        self._reader, self._name, self._length = reader, name, options.length
        self._padding = reader.padding
        if columns.kind == "image":
            self._images = Images(preprocessing(), name)
            self.prepared = self._images.preprocessing.words
        elif columns.kind == "text":
            if reader.decodes and len(columns.inputs) == 1:
                raise SpecError(
                    f"{name}: the network is an encoder-decoder and reads a target beside the source; name its column, "
                    "e.g. (text='source', text_pair='target')."
                )
            self._tokenizer = Tokenizer(reader, options.length, options.tokenizer, name)
            self._padding = self._tokenizer.padding
            self.prepared = f"{' and '.join(columns.inputs)}, at most {self._tokenizer.length} tokens"
        elif columns.kind == "tokens":
            self.prepared = "tokens" if options.length is None else f"at most {options.length} tokens"
        else:
            self.prepared = f"{len(columns.inputs)} features"

    def batch(self, table: Any, rows: Sequence[int], labels: Shaped[np.ndarray, " n"] | None) -> Any:
        """Return the inputs of a pyarrow table with their labels.

        Args:
            table: the rows of this batch.
            rows: their numbers, in messages.
            labels: their labels.

        Raises:
            DataError: a value is missing or cannot be read; the message names its row.
        """
        values = {column: self._column(table, column, rows) for column in self.columns.inputs}
        y = None if labels is None else torch.from_numpy(np.ascontiguousarray(labels))
        kind = self.columns.kind
        if kind == "image":
            (column,) = self.columns.inputs
            found = zip(values[column], rows, strict=True)
            x = self._images.batch([(self._bytes(v, column, row), self._where(column, row)) for v, row in found])
            return x if y is None else (x, y)
        if kind == "features":
            x = torch.tensor(np.column_stack([np.asarray(v, dtype=np.float64) for v in values.values()])).float()
            return x if y is None else (x, y)
        return self._tokens(values, y)

    def _tokens(self, values: dict[str, list[Any]], y: Tensor | None) -> dict[str, Tensor]:
        if self.columns.kind == "tokens":
            lists = {key: [list(row)[: self._length] for row in value] for key, value in values.items()}
        elif self._reader.decodes:
            source, target = self.columns.inputs
            lists = self._tokenizer(values[source]) | {"labels": self._tokenizer.targets(values[target])}
        else:
            lists = self._tokenizer(*(values[column] for column in self.columns.inputs))
        batch = token_batch(lists, self._reader, self._padding, self._name)
        return batch if y is None or "labels" in batch else batch | {"labels": y}

    def _column(self, table: Any, column: str, rows: Sequence[int]) -> list[Any]:
        values = table.column(column).to_pylist()
        missing = next((row for row, value in zip(rows, values, strict=True) if value is None), None)
        if missing is not None:
            raise DataError(f"{self._where(column, missing)} is empty; leave such rows out.")
        return values

    def _bytes(self, value: Any, column: str, row: int) -> bytes:
        content = value.get("bytes") if isinstance(value, dict) else value
        if content is None:
            raise DataError(
                f"{self._where(column, row)} holds no bytes, only the path {value.get('path')!r}; write the images "
                "into the table, or give their folder as `imagefolder:FOLDER`."
            )
        return bytes(content)

    def _where(self, column: str, row: int) -> str:
        return f"{column!r} in row {row} of {self._name}"


def labels_of(column: Any, columns: Columns, name: str) -> Shaped[np.ndarray, " N"]:
    """Return a column of labels: whole numbers from 0 on as int64, other numbers (a regression) as float32.

    Raises:
        DataError: a label is missing, not a number, not finite or negative.
    """
    if column.null_count:
        raise DataError(f"{name}: `{columns.label}` is empty in {column.null_count} rows; leave such rows out.")
    y = np.asarray(column.to_numpy())
    if y.dtype.kind in "iu":
        if len(y) and y.min() < 0:
            raise DataError(
                f"{name}: `{columns.label}` holds {int(y.min())}; labels are whole numbers from 0 on. Where -1 means "
                "that there is no label, give (label=False)."
            )
        return y.astype(np.int64)
    if y.dtype.kind == "b":
        return y.astype(np.int64)
    if y.dtype.kind == "f" and np.isfinite(y).all():
        return y.astype(np.float32)
    raise DataError(
        f"{name}: `{columns.label}` holds {column.type}, labels must be finite numbers, classes 0, 1, ...; renumber "
        "them, or give (label=False)."
    )


def _label(kinds: dict[str, str], options: TableOptions, name: str) -> str | None:
    if options.label is False:
        return None
    if options.label is not None:
        if options.label not in kinds:
            raise SpecError(_missing(kinds, options.label, "label", name))
        return options.label
    found = [c for c in kinds if c in LABELS or c.endswith("_label")]
    if len(found) > 1:
        raise DataError(
            f"{name} has several columns of labels: {_quoted(found)}; name the one to read, e.g. (label={found[0]!r}), "
            "or none with (label=False)."
        )
    return found[0] if found else None


def _check_named(kinds: dict[str, str], column: str | None, option: str, kind: str, name: str) -> None:
    if column is None:
        return
    if column not in kinds:
        raise SpecError(_missing(kinds, column, option, name))
    if kinds[column] != kind:
        fitting = [c for c in kinds if kinds[c] == kind]
        hint = f"columns of {kind}s: {_quoted(fitting)}." if fitting else f"there is no column of {kind}s."
        raise SpecError(f"{name}: `{option}` = {column!r} is a column of kind {kinds[column]}; {hint}")


def _missing(kinds: dict[str, str], column: str, option: str, name: str) -> str:
    near = get_close_matches(column, kinds, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{name}: `{option}` names the column {column!r}, which is not there; {hint}Columns: {_quoted(kinds)}."


def _quoted(names: Any) -> str:
    return ", ".join(map(repr, names)) or "none"


def _kind(kind: Any) -> str:
    """Return what a type of pyarrow holds: image, text, tokens, number, or its own name."""
    types = import_extra("pyarrow.types", "parquet", "a table")
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind):
        return "text"
    if types.is_binary(kind) or types.is_large_binary(kind):
        return "image"
    if types.is_struct(kind) and any(field.name == "bytes" for field in kind):
        return "image"
    if (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)) and types.is_integer(
        kind.value_type
    ):
        return "tokens"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return "number"
    return str(kind)
