"""The folder of a cell: what it was asked, what it left, and how far it is.

::

    cell.json       what it is; written first
    cell.lock       held while a process works on it; a killed process gives it back
    started.json    who has begun it, for the how-manieth time
    progress.json   how far it is, in a share and words
    rows.json       what it leaves in the table, without its columns
    cost.json       seconds and attempts, apart, so that two runs leave the same rows
    DONE            SHA-256 of rows.json; written last
    FAILED.json     instead of DONE: the error and its traceback

Beside them lies what the cell keeps: checkpoints, readings, arrays.
"""

import hashlib
import json
import math
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from netcaliper import __version__
from netcaliper.errors import CorruptReading, ReadingError
from netcaliper.reading.whole_file import write_whole
from netcaliper.study.cell import CELL_VERSION
from netcaliper.study.task import Task

CELL, LOCK, STARTED, PROGRESS = "cell.json", "cell.lock", "started.json", "progress.json"
ROWS, COST, DONE, FAILED = "rows.json", "cost.json", "DONE", "FAILED.json"
CELLS = "cells"


@dataclass(frozen=True)
class State:
    """How far a cell is.

    Attributes:
        status: ``"begun"`` is a cell that nobody works on now, and that goes on from what it left.
        words: what it does now, or why it failed.
        share: of its work that is done, from 0 to 1.
    """

    status: Literal["done", "failed", "running", "begun", "missing"]
    words: str = ""
    share: float = 0.0


def cell_folder(root: Path, name: str) -> Path:
    """Return where a cell lies in the folder of a study."""
    return root / CELLS / name


def is_done(folder: Path) -> bool:
    """Tell whether a cell is done."""
    return (folder / DONE).is_file()


def state_of(folder: Path) -> State:
    """Return how far a cell is."""
    if is_done(folder):
        return State("done", share=1.0)
    failed = _facts(folder / FAILED)
    if failed is not None:
        return State("failed", str(failed.get("error", "")))
    if not (folder / STARTED).is_file():
        return State("missing")
    progress = _facts(folder / PROGRESS) or {}
    words, share = str(progress.get("words", "")), float(progress.get("done", 0.0))
    try:
        with FileLock(folder / LOCK, timeout=0):
            pass
    except Timeout:
        return State("running", words, share)
    except OSError:
        return State("begun", words, share)  # a folder that only others may write
    # It may have ended since the first look.
    return State("done", share=1.0) if is_done(folder) else State("begun", words, share)


def failure_of(folder: Path) -> Mapping[str, Any] | None:
    """Return why a cell failed (``error``, ``traceback``, ``attempts``, ``died``); ``None`` if it did not."""
    return None if is_done(folder) else _facts(folder / FAILED)


def attempts_of(folder: Path) -> int:
    """Return how often a cell that is not done has been begun."""
    return int((_facts(folder / STARTED) or {}).get("attempts", 0))


def was_begun(folder: Path, token: str) -> bool:
    """Tell whether a cell was last begun by a task with this token, and has not ended."""
    started = _facts(folder / STARTED) or {}
    return not is_done(folder) and not (folder / FAILED).is_file() and started.get("token") == token


def check_version(folder: Path) -> None:
    """Refuse a cell that another version of the schema left.

    Raises:
        ReadingError: it is of another version, or its ``cell.json`` is damaged.
    """
    if not (folder / CELL).is_file():
        return
    facts = _facts(folder / CELL)
    if facts is None:
        raise CorruptReading(f"{folder / CELL} is damaged; remove {folder}, and the next run computes the cell again.")
    if facts.get("schema") != CELL_VERSION:
        raise ReadingError(
            f"{folder} is a cell of schema {facts.get('schema')}, written by netcaliper {facts.get('netcaliper')}; "
            f"this one reads schema {CELL_VERSION}: remove the folder to compute the cell again, or name a new folder "
            "with -o."
        )


def begin(folder: Path, task: Task) -> int:
    """Write what a cell is and that it has been begun.

    Returns:
        The number of this attempt.
    """
    check_version(folder)
    if not (folder / CELL).is_file():
        about = {
            "schema": CELL_VERSION,
            "netcaliper": __version__,
            "kind": task.kind,
            "family": task.family,
            "columns": dict(task.columns),
            "configuration": task.configuration,
            "needs": list(task.needs),
        }
        _write(folder / CELL, about)
    attempts = attempts_of(folder) + 1
    process = {"pid": os.getpid(), "parent": os.getppid(), "host": socket.gethostname()}
    _write(folder / STARTED, {"attempts": attempts, **process, "token": task.token})
    return attempts


def finish(folder: Path, rows: Sequence[Mapping[str, Any]], cost: Mapping[str, Any]) -> None:
    """Write what a cell leaves; ``DONE`` last."""
    content = _bytes([{key: _plain(key, value) for key, value in row.items()} for row in rows])
    write_whole(folder / ROWS, content)
    _write(folder / COST, cost)
    write_whole(folder / DONE, hashlib.sha256(content).hexdigest().encode() + b"\n")
    for name in (STARTED, PROGRESS):
        (folder / name).unlink(missing_ok=True)


def fail(folder: Path, error: str, traceback: str, *, attempts: int, died: bool = False) -> None:
    """Write why a cell failed; ``died``: its process did, and the next run tries it again unasked."""
    _write(folder / FAILED, {"error": error, "attempts": attempts, "died": died, "traceback": traceback})
    (folder / PROGRESS).unlink(missing_ok=True)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a cell that is done.

    Raises:
        ReadingError: they are not what ``DONE`` says, or of another version of the schema.
    """
    check_version(folder)
    try:
        content = (folder / ROWS).read_bytes()
        same = hashlib.sha256(content).hexdigest() == (folder / DONE).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ReadingError(f"{folder} cannot be read: {error.strerror or error}; check its permissions.") from error
    if not same:
        raise CorruptReading(
            f"{folder / ROWS} is not what {DONE} beside it says, so it was changed or damaged; remove {folder}, and "
            "the next run computes the cell again."
        )
    return json.loads(content)


def _plain(key: str, value: Any) -> Any:
    """Return a scalar as JSON knows it; what is not finite is missing."""
    value = value.item() if hasattr(value, "item") else value
    if not (value is None or isinstance(value, bool | int | float | str)):
        raise TypeError(f"column {key!r} of a row is a {type(value).__name__}, not a number or a word")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _facts(file: Path) -> dict[str, Any] | None:
    """Return the object that a file holds; ``None`` if there is none (a reader may be beside a writer)."""
    with suppress(OSError, ValueError):
        facts = json.loads(file.read_bytes())
        return facts if isinstance(facts, dict) else None
    return None


def _write(file: Path, content: Any) -> None:
    write_whole(file, _bytes(content))


def _bytes(content: Any) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
