"""The frame around the work on one cell, in whatever process does it."""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any

from filelock import FileLock, Timeout

from netcaliper.errors import NetcaliperError
from netcaliper.study.cell_folder import (
    LOCK,
    PROGRESS,
    attempts_of,
    begin,
    cell_folder,
    fail,
    failure_of,
    finish,
    is_done,
)
from netcaliper.study.place import Place
from netcaliper.study.progress import Progress
from netcaliper.study.task import Outcome, Task

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (*FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EIO)
"""Errors of a disk that the next cell would meet, too."""


def do_cell(task: Task) -> Outcome:
    """Compute a cell unless it is done, has failed, or another process works on it.

    Whatever goes wrong in it becomes an outcome; only ``KeyboardInterrupt`` is passed on. What the cell has left on
    the disk by then, it goes on from.
    """
    folder = cell_folder(Path(task.root), task.name)
    started = monotonic()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK, timeout=0):
            return _locked(task, folder, started)
    except Timeout:
        return Outcome(task.name, "elsewhere")
    except Exception as error:
        return Outcome(task.name, "stopped", seconds=monotonic() - started, error=_words(error))


def _locked(task: Task, folder: Path, started: float) -> Outcome:
    """Compute a cell whose lock is held; what it raises is a folder that cannot be used."""
    if is_done(folder):
        return Outcome(task.name, "done", found=True)
    failure = failure_of(folder)
    if failure is not None:
        return Outcome(task.name, "failed", error=str(failure.get("error", "")))
    attempts = begin(folder, task)
    try:
        rows = _rows(task, folder)
        seconds = monotonic() - started
        finish(folder, rows, {"seconds": seconds, "attempts": attempts})
    except (Exception, SystemExit) as error:
        words = _words(error)
        if _stops(error, Path(task.root)):
            return Outcome(task.name, "stopped", seconds=monotonic() - started, error=words)
        fail(folder, words, "".join(traceback.format_exception(error)), attempts=attempts)
        return Outcome(task.name, "failed", seconds=monotonic() - started, error=words)
    return Outcome(task.name, "done", seconds=seconds)


def lost(task: Task, words: str) -> Outcome:
    """Write of a cell that its processes died; they have left no word of their own."""
    folder = cell_folder(Path(task.root), task.name)
    try:
        fail(folder, words, "", attempts=attempts_of(folder), died=True)
    except OSError as error:
        return Outcome(task.name, "stopped", error=_words(error))
    return Outcome(task.name, "failed", error=words)


def _rows(task: Task, folder: Path) -> list[dict[str, Any]]:
    """Call what computes the rows, with as many threads as the task says."""
    module, _, function = task.runner.partition(":")
    run_cell: Callable[..., list[dict[str, Any]]] = getattr(import_module(module), function)
    place = Place(
        folder=folder,
        needs=tuple(cell_folder(Path(task.root), name) for name in task.needs),
        folders=task.folders,
        tell=Progress(folder / PROGRESS),
    )
    # The environment of a worker says it already; a worker of a cluster may have loaded torch before.
    torch = sys.modules.get("torch") if task.threads else None
    if torch is None:
        return run_cell(task.kind, task.configuration, place)
    before = torch.get_num_threads()
    torch.set_num_threads(task.threads)
    try:
        return run_cell(task.kind, task.configuration, place)
    finally:
        torch.set_num_threads(before)


def _stops(error: BaseException, root: Path) -> bool:
    """Tell whether an error is the disk's, so that the next cell would meet it, too."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and (seen.errno in FULL or (seen.errno in REFUSED and _below(seen, root))):
            return True
        # safetensors and torch put what the disk said into a message.
        if os.strerror(errno.ENOSPC) in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _below(error: OSError, root: Path) -> bool:
    """Tell whether an error is about a file of the study, not about the data that a cell reads."""
    return error.filename is None or Path(os.fsdecode(error.filename)).absolute().is_relative_to(root.absolute())


def _words(error: BaseException) -> str:
    """Return an error in one line; of those that are raised on purpose the message says it all."""
    text = " ".join(str(error).split())
    return text if isinstance(error, NetcaliperError) and text else f"{type(error).__name__}: {text}".rstrip(": ")
