"""The folder of a linearization: what it was asked, what is trained, and what is finished; nothing is done twice.

::

    plan.json                       what was asked; a resumed run must ask the same
    plain/model.safetensors         the network after its plain epochs (early schedule)
    point-00/state/                 the running training, as ``netcaliper.fit.saving`` keeps it
    point-00/epochs.json            by epoch: bending units, whether the penalty was on
    point-00/last-good.safetensors  weights of the last epoch that had bending units and learned more than chance
    point-00/model.safetensors      the weights at the end
    point-00/arrays.safetensors     its arrays
    point-00/point.json             its record; written last: a point that has it is finished
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from netcaliper.errors import CorruptReading, InputError, OutputExists, ReadingError
from netcaliper.fit.saving import STATE_FILE, Saving
from netcaliper.reading.linearization import Point
from netcaliper.reading.whole_file import write_whole

PLAN, EPOCHS, POINT, ARRAYS = "plan.json", "epochs.json", "point.json", "arrays.safetensors"
MODEL, LAST_GOOD, STATE, PLAIN = "model.safetensors", "last-good.safetensors", "state", "plain"


class Work:
    """The folder, made or gone on with.

    Args:
        folder: where.
        asked: plain data that determine every training besides the data.
        resume: whether to go on with what is there.

    Raises:
        OutputExists: there is something and ``resume`` is false.
        InputError: there is nothing to resume, or something else was asked there.
        ReadingError: it cannot be written or read.
    """

    def __init__(self, folder: Path, asked: Mapping[str, Any], *, resume: bool) -> None:
        self.folder = folder
        plan = folder / PLAN
        if resume:
            if not plan.is_file():
                raise InputError(f"`resume`: there is no linearization in {folder}; start without it.")
            _check_same(folder, dict(asked), _read_json(plan))
            return
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputExists(
                f"`folder` {folder} already exists and is not overwritten; resume what is in it, or choose another one."
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReadingError(f"`folder` {folder} cannot be made: {error.strerror or error}.") from error
        write_json(plan, dict(asked))

    def place(self, point: int) -> Path:
        """Return the folder of a point."""
        return self.folder / f"point-{point:02d}"

    def saving(self, of: Path, context: Mapping[str, Any]) -> Saving:
        """Return where a training in ``of`` keeps its state; it goes on from there if there is one."""
        state = of / STATE
        return Saving(state, context=context, resume=(state / STATE_FILE).is_file())

    def finished(self, point: int) -> tuple[Point, dict[str, np.ndarray]] | None:
        """Return a finished point with its arrays, ``None`` if it is not finished."""
        place = self.place(point)
        if not (place / POINT).is_file():
            return None
        try:
            arrays = safetensors.numpy.load_file(place / ARRAYS)
            return Point.model_validate(_read_json(place / POINT)), arrays
        except (ValidationError, SafetensorError, OSError) as error:
            raise CorruptReading(f"{place} is damaged: {error}; remove it, and it is trained again.") from error

    def finish(self, point: int, record: Point, arrays: Mapping[str, np.ndarray]) -> None:
        """Write a finished point; of its running state only that of a training that diverged is kept."""
        place = self.place(point)
        place.mkdir(parents=True, exist_ok=True)
        safetensors.numpy.save_file(dict(arrays), place / ARRAYS)
        if record.status != "diverged":
            shutil.rmtree(place / STATE, ignore_errors=True)
        if record.status == "ok":
            (place / LAST_GOOD).unlink(missing_ok=True)
        write_json(place / POINT, record.model_dump(mode="json"))


def write_weights(file: Path, state: Mapping[str, Tensor]) -> None:
    """Write tensors by name, whole or not at all; tied ones get a copy each."""
    write(file, save({name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}))


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read tensors by name.

    Raises:
        CorruptReading: it is no such file.
    """
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise CorruptReading(f"{file} cannot be read as weights: {error}.") from error


def read_epochs(file: Path) -> list[dict[str, Any]]:
    """Return what is known of the epochs of a training that is gone on with, from the first one on."""
    return _read_json(file)["epochs"] if file.is_file() else []


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write plain data, whole or not at all."""
    write(file, json.dumps(content, indent=1, sort_keys=True).encode())


def write(file: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        ReadingError: the disk refused; what was there before is unchanged.
    """
    try:
        write_whole(file, content)
    except OSError as error:
        raise ReadingError(f"{file} cannot be written: {error.strerror or error}; free some space.") from error


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptReading(f"{file} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise CorruptReading(f"{file} cannot be read: it holds no object.")
    return content


def _check_same(folder: Path, now: dict[str, Any], then: dict[str, Any]) -> None:
    now = json.loads(json.dumps(now))
    for key in sorted(now.keys() | then.keys()):
        if now.get(key) != then.get(key):
            raise InputError(
                f"the linearization in {folder} has `{key}` = {then.get(key)!r}, this one {now.get(key)!r}; resume "
                "with what it was started with, or start anew elsewhere."
            )
