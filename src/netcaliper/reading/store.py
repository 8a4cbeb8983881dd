"""Readings on disk: ``save`` and ``load``.

What the folder looks like and how it is written is in ``netcaliper.reading.writing``; here it is read back, and what
is missing, damaged, contradictory or from a later version is refused by name.
"""

import hashlib
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors
import safetensors.numpy
from pydantic import ValidationError

from netcaliper.errors import CorruptReading, InputError, NewerSchema
from netcaliper.reading.kinds import FORMATS, LAYERS, LINEARIZATION, UNITS
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.linearization_reading import LinearizationReading
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import Cost
from netcaliper.reading.shrinking import ShrinkReading
from netcaliper.reading.shrinking_folder import holds_shrinking, read_shrinking
from netcaliper.reading.writing import (
    ARRAYS,
    COST,
    RECORD,
    corrupt,
    first_problem,
    read_file,
    read_json,
    save,
)

__all__ = ["load", "load_as", "save"]

AnyReading = Reading | LayersReading | LinearizationReading | ShrinkReading
OPENED: dict[str, type[Reading | LayersReading | LinearizationReading]] = {
    UNITS.format: Reading,
    LAYERS.format: LayersReading,
    LINEARIZATION.format: LinearizationReading,
}
"""What a folder of each format is opened as."""

R = TypeVar("R", Reading, LayersReading, LinearizationReading)

ENVELOPE = frozenset({"format", "arrays_sha256"})
"""Keys of ``reading.json`` that describe the folder, not the reading."""


def load(folder: str | PathLike[str]) -> AnyReading:
    """Open a reading that ``save`` wrote.

    It is one of units (``nc.measure``), of layers (``nc.layers``, ``nc.compare``), of a linearization
    (``nc.linearize``), or the plan and the proof of a shrunk network (``nc.shrink``).

    Args:
        folder: the folder of the reading.

    Returns:
        The record, with its arrays and cost.

    Raises:
        CorruptReading: a file is missing, damaged or does not fit the others; the message names it.
        NewerSchema: a later netcaliper wrote it.
        ReadingError: the disk refused to read.
    """
    source = Path(folder)
    if not source.is_dir():
        what = "is a file" if source.exists() else "does not exist"
        raise CorruptReading(
            f"`folder` must be a folder with {RECORD} in it, but {source} {what}; "
            "give the folder that `netcaliper measure --out` or `reading.save` wrote."
        )
    if holds_shrinking(source):
        return read_shrinking(source)
    record = read_json(source, RECORD)
    version = record.get("schema_version")
    kind = FORMATS.get(str(record.get("format")))
    if kind is None or not isinstance(version, int) or isinstance(version, bool):
        raise corrupt(source, RECORD, f"it is not a {UNITS.format} (`format` or `schema_version` is missing)")
    if version > kind.version:
        raise NewerSchema(
            f"{source / RECORD} has schema version {version}, and this netcaliper reads up to {kind.version}; "
            "update netcaliper (pip install --upgrade netcaliper), or measure again with this one."
        )
    arrays = _arrays(source, record.get("arrays_sha256"))
    cost = read_json(source, COST)
    fields = {key: value for key, value in record.items() if key not in ENVELOPE}
    for key in ("arrays", "cost"):
        if key in fields:
            raise corrupt(source, RECORD, f"`{key}` does not belong into this file")
    try:
        parsed_cost = Cost.model_validate(cost)
    except ValidationError as error:
        raise corrupt(source, COST, first_problem(error)) from error
    try:
        reading = OPENED[kind.format].model_validate({**fields, "arrays": arrays, "cost": parsed_cost})
    except ValidationError as error:
        raise corrupt(source, RECORD, first_problem(error)) from error
    problem = kind.contradiction(reading)
    if problem:
        raise corrupt(source, ARRAYS if problem.startswith("array") else RECORD, problem)
    return reading


def load_as(kind: type[R], folder: str | PathLike[str]) -> R:
    """Open a reading of one kind, for what cannot be done with the other.

    Args:
        kind: ``Reading`` (of units), ``LayersReading`` or ``LinearizationReading``.
        folder: the folder of the reading.

    Returns:
        The record.

    Raises:
        InputError: the folder holds a reading of another kind.
        CorruptReading, NewerSchema, ReadingError: as in ``load``.
    """
    reading = load(folder)
    if not isinstance(reading, kind):
        words = {
            Reading: "units (from `netcaliper measure`)",
            LayersReading: "layers (from `netcaliper layers`)",
            LinearizationReading: "a linearization (from `netcaliper linearize`)",
            ShrinkReading: "a shrunk network (from `netcaliper shrink`)",
        }
        raise InputError(
            f"`folder` must hold a reading of {words[kind]}, but {folder} holds one of {words[type(reading)]}; "
            "give another folder."
        )
    return reading


def _arrays(source: Path, expected: Any) -> dict[str, np.ndarray]:
    content = read_file(source, ARRAYS)
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise corrupt(
            source, ARRAYS, f"its SHA-256 {found[:12]}... is not the {str(expected)[:12]}... that {RECORD} names"
        )
    try:
        return safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise corrupt(source, ARRAYS, f"it is not a safetensors file ({error})") from error
