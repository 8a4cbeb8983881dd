"""The kinds of records that a folder can hold: told apart by ``format`` in ``reading.json``, stored in one way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from netcaliper.reading import contradiction, layers_contradiction, linearization_contradiction
from netcaliper.reading.layers import LAYERS_VERSION, LayersRecord
from netcaliper.reading.linearization import LINEARIZATION_VERSION, LinearizationRecord
from netcaliper.reading.schema import SCHEMA_VERSION, ReadingRecord

AnyRecord = ReadingRecord | LayersRecord | LinearizationRecord


@dataclass(frozen=True)
class Kind:
    """One kind of record.

    Attributes:
        format: what ``reading.json`` calls it.
        record: its class.
        version: of its schema, the newest that this netcaliper reads.
        contradiction: returns the first way in which a record does not fit together, in words.
    """

    format: str
    record: type[AnyRecord]
    version: int
    contradiction: Callable[[Any], str | None]


UNITS = Kind("netcaliper reading", ReadingRecord, SCHEMA_VERSION, contradiction.contradiction)
LAYERS = Kind("netcaliper layers", LayersRecord, LAYERS_VERSION, layers_contradiction.contradiction)
LINEARIZATION = Kind(
    "netcaliper linearization", LinearizationRecord, LINEARIZATION_VERSION, linearization_contradiction.contradiction
)
FORMATS = {kind.format: kind for kind in (UNITS, LAYERS, LINEARIZATION)}


def kind_of(record: AnyRecord) -> Kind:
    """Return the kind of a record."""
    return next(kind for kind in FORMATS.values() if isinstance(record, kind.record))
