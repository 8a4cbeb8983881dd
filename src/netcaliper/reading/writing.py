"""How a reading becomes a folder of three files: whole or not at all, the same bytes every time, never pickled.

Readings of units, of layers and of linearizations are stored alike; ``format`` in ``reading.json`` says which it is.

- ``reading.json``: everything except arrays and timings; sorted keys, so that equal readings are equal bytes.
- ``arrays.safetensors``: the arrays, keys as in ``netcaliper.reading.schema.ReadingRecord`` and
  ``netcaliper.reading.layers.LayersRecord`` and ``netcaliper.reading.linearization.Point``.
- ``cost.json``: seconds and passes, apart, because they differ from run to run.

``reading.json`` carries the SHA-256 of the arrays: half of one reading beside half of another is noticed.
"""

import errno
import hashlib
import json
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.numpy
from pydantic import BaseModel, ValidationError

from netcaliper.errors import CorruptReading, InputError, NewerSchema, OutputExists, ReadingError
from netcaliper.reading.kinds import FORMATS, AnyRecord, kind_of

T = TypeVar("T", bound=BaseModel)

RECORD, ARRAYS, COST = "reading.json", "arrays.safetensors", "cost.json"


def save(reading: AnyRecord, folder: str | PathLike[str], *, replace: bool = False) -> Path:
    """Write a reading to a folder, all or nothing.

    The files are written to a temporary folder beside the target, flushed to disk, and renamed. Two readings that
    differ only in cost leave byte-identical ``reading.json`` and ``arrays.safetensors``.

    Args:
        reading: the record to write.
        folder: where; parents are made. It must not exist, unless ``replace``.
        replace: replace a folder that holds a reading (or nothing). Other files in it, such as a page, are kept.

    Returns:
        The folder as a ``Path``.

    Raises:
        OutputExists: ``folder`` exists and ``replace`` is false, or it holds something that is not a reading.
        ReadingError: the disk refused (full, read-only, ...); what was there before is untouched.
        InputError: the reading contradicts itself (an array that fits nothing in it, a partition that does not add up).
    """
    target = Path(folder)
    problem = kind_of(reading).contradiction(reading)
    if problem:
        raise InputError(f"`reading` cannot be written: {problem}.")
    try:
        check_target(target, replace=replace)
    except OSError as error:
        raise _refused(target, error) from error
    return write_folder(target, _files(reading))


def write_folder(target: Path, files: Mapping[str, bytes]) -> Path:
    """Write files to a folder, all or nothing: aside, flushed to disk, and renamed.

    Args:
        target: the folder; parents are made. If it exists, files in it that have other names are kept: whether it may
            be replaced is for the caller to check.
        files: content by name.

    Returns:
        The folder.

    Raises:
        ReadingError: the disk refused; what was there before is untouched.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        aside.mkdir()
    except OSError as error:
        raise _refused(target, error) from error
    try:
        for name, content in files.items():
            _write(aside / name, content)
        _sync_folder(aside)
        _move(aside, target, files)
        _sync_folder(target.parent)
    except OSError as error:
        raise _refused(target, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _files(reading: AnyRecord) -> dict[str, bytes]:
    """Serialize a reading; every step is deterministic."""
    arrays = safetensors.numpy.save({key: np.ascontiguousarray(reading.arrays[key]) for key in sorted(reading.arrays)})
    record = reading.model_dump(mode="python")
    record |= {"format": kind_of(reading).format, "arrays_sha256": hashlib.sha256(arrays).hexdigest()}
    return {RECORD: json_bytes(record), ARRAYS: arrays, COST: json_bytes(reading.cost.model_dump(mode="python"))}


def json_bytes(value: Any) -> bytes:
    """Write JSON with sorted keys, shortest round-trip floats and a final newline; no NaN literal, which JSON lacks."""
    text = json.dumps(_finite(value), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    # A lone surrogate has no UTF-8 form; its backslash form is a valid JSON escape of the same character.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _finite(value: Any) -> Any:
    """Replace non-finite floats by the words that pydantic reads back as floats."""
    match value:
        case dict():
            return {key: _finite(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_finite(entry) for entry in value]
        case float() if math.isnan(value):
            return "NaN"
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case float():
            return float(value)  # a NumPy float64 prints its type otherwise
    return value


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    """Make a rename durable; systems that cannot open a folder do not need it."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_target(target: Path, *, replace: bool) -> None:
    """Refuse to overwrite: anything without ``replace``, anything but a reading with it."""
    if not os.path.lexists(target):
        return
    if not replace:
        raise OutputExists(
            f"`folder` must not exist yet, but {target} does; choose another folder, or pass replace=True "
            "(--replace on the command line) to replace the reading in it."
        )
    if target.is_symlink() or not target.is_dir():
        raise OutputExists(f"`folder` {target} is not a folder, so it is not replaced; choose another one.")
    names = {entry.name for entry in target.iterdir()}
    if names and RECORD not in names:
        raise OutputExists(
            f"`folder` {target} holds {len(names)} entries and no {RECORD}: it is not a reading, so it is not "
            "replaced; choose another folder."
        )
    if names and read_json(target, RECORD, missing_ok=True).get("format") not in tuple(FORMATS):
        raise OutputExists(
            f"`folder` {target} holds a {RECORD} that netcaliper did not write, so it is not replaced; "
            "choose another folder."
        )


def _move(aside: Path, target: Path, written: Mapping[str, bytes]) -> None:
    """Rename the finished folder into place; the old one steps aside first and its other files move along."""
    if not target.exists():
        os.rename(aside, target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent)) / "reading"
    moved: list[str] = []
    try:
        os.rename(target, old)
        for entry in sorted(old.iterdir()):
            if entry.name not in written:
                os.rename(entry, aside / entry.name)
                moved.append(entry.name)
        os.rename(aside, target)
    except BaseException:
        if old.exists() and not target.exists():
            for name in moved:
                os.rename(aside / name, old / name)
            os.rename(old, target)
        old.parent.rmdir()
        raise
    # Only our own files are left in the old folder: they are the only ones that are ever deleted. The new reading
    # is in place by now, so what cannot be tidied up is no failure.
    with suppress(OSError):
        for name in written:
            (old / name).unlink(missing_ok=True)
        old.rmdir()
        old.parent.rmdir()


def read_json(source: Path, name: str, *, missing_ok: bool = False) -> dict[str, Any]:
    """Read one JSON object of a folder; ``CorruptReading`` names the file and what is wrong with it."""
    try:
        content = json.loads(read_file(source, name).decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError, CorruptReading) as error:
        if missing_ok:
            return {}
        if isinstance(error, CorruptReading):
            raise
        raise corrupt(source, name, f"it is not JSON ({error})") from error
    if not isinstance(content, dict):
        if missing_ok:
            return {}
        raise corrupt(source, name, f"it holds a {type(content).__name__} where an object is expected")
    return content


def read_record(kind: type[T], folder: Path, name: str, format: str, newest: int, again: str) -> T:
    """Open a record that is one JSON file with its ``format`` and ``schema_version``.

    Args:
        kind: of the record.
        folder: that holds the file.
        name: of the file.
        format: what the file must say it is.
        newest: version that can be read.
        again: how a record of a later version is made again with this one, in words.

    Raises:
        CorruptReading: the file is missing, damaged, or something else.
        NewerSchema: a later netcaliper wrote it.
    """
    fields = read_json(folder, name)
    if fields.pop("format", None) != format:
        raise corrupt(folder, name, f"it is not a {format} (`format` is missing or another)")
    version = fields.get("schema_version")
    if isinstance(version, int) and version > newest:
        raise NewerSchema(
            f"{folder / name} has schema version {version}, and this netcaliper reads up to {newest}; update "
            f"netcaliper (pip install --upgrade netcaliper), or {again}."
        )
    try:
        # In JSON's own terms, so that numbers of the wrong kind are errors and tuples are lists.
        return kind.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        raise corrupt(folder, name, first_problem(error)) from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def read_file(source: Path, name: str) -> bytes:
    """Read one file of a folder; a missing one is a ``CorruptReading``."""
    path = source / name
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise corrupt(source, name, "the file is missing") from error
    except OSError as error:
        raise ReadingError(f"{path} cannot be read: {error.strerror or error}; check its permissions.") from error


def corrupt(source: Path, name: str, why: str) -> CorruptReading:
    """Make the error that names a damaged file and why."""
    return CorruptReading(f"{source / name} is damaged or not part of a reading: {why}. Make it again to replace it.")


def first_problem(error: ValidationError) -> str:
    """Say where a record breaks the schema and how, in one line."""
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"]) or "the record"
    return f"`{place}`: {problem['msg']}"


def _refused(target: Path, error: OSError) -> ReadingError:
    remedies = {
        errno.ENOSPC: "free some space or choose another disk",
        errno.EDQUOT: "free some of your quota or choose another disk",
        errno.EROFS: "choose a disk that can be written",
        errno.EACCES: "check the permissions of the parent folder, or choose another one",
        errno.EPERM: "check the permissions of the parent folder, or choose another one",
        errno.ENOTDIR: "a part of the path is a file; choose another folder",
        errno.ENAMETOOLONG: "choose a shorter name",
    }
    remedy = remedies.get(error.errno or 0, "check the path and the disk")
    return ReadingError(
        f"`folder` {target} could not be written: {error.strerror or error}; nothing was changed there; "
        f"{remedy}, then save again."
    )
