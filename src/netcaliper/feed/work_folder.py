"""A folder that keeps the finished pieces of a long measurement, so that an interrupted one goes on from them.

``work.json`` says what the work is; every piece is one safetensors file with its arrays and, in the metadata, a JSON
record. Each file is written aside and moved into place: it is there whole or not at all.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from netcaliper.errors import CorruptReading, InputError, ReadingError
from netcaliper.reading.whole_file import write_whole

_ABOUT = "work.json"


class WorkFolder:
    """Pieces by name.

    Args:
        path: the folder; it is made if needed.
        about: plain JSON facts that all pieces depend on.

    Raises:
        InputError: the folder holds pieces of other work, or files that are none.
        ReadingError: it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], about: Mapping[str, Any]) -> None:
        self.path = Path(path)
        about = json.loads(json.dumps(dict(about)))
        file = self.path / _ABOUT
        if file.is_file():
            self._compare(about, file)
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise InputError(
                f"`state` must be a folder of an interrupted measurement or a new one, got {str(self.path)!r} without "
                f"a {_ABOUT}; choose another."
            )
        else:
            self._write(file, json.dumps(about, indent=1, sort_keys=True).encode())

    def _compare(self, about: Mapping[str, Any], file: Path) -> None:
        """Refuse facts that differ from those of the folder."""
        try:
            then = json.loads(file.read_text(encoding="utf-8"))
            names = sorted(about.keys() | then.keys())
        except (ValueError, AttributeError) as error:
            raise CorruptReading(
                f"{str(file)!r} is damaged ({error}); delete {str(self.path)!r} and begin anew."
            ) from error
        for name in names:
            if about.get(name) != then.get(name):
                raise InputError(
                    f"`state` {str(self.path)!r} belongs to other work: its {name} is {then.get(name)!r}, here it is "
                    f"{about.get(name)!r}; go on with what it was begun with, or name a new folder."
                )

    def holds(self, name: str) -> bool:
        """Tell whether a piece is there."""
        return self._file(name).is_file()

    def get(self, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the arrays and the record of a piece.

        Raises:
            CorruptReading: it is damaged.
        """
        file = self._file(name)
        try:
            with safe_open(file, framework="np") as stream:
                record = json.loads((stream.metadata() or {})["record"])
                return {key: stream.get_tensor(key) for key in stream.keys()}, record  # noqa: SIM118 (it is no mapping)
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise CorruptReading(
                f"{str(file)!r} is damaged ({error}); delete it, and it will be made again."
            ) from error

    def put(self, name: str, arrays: Mapping[str, np.ndarray], record: Mapping[str, Any]) -> None:
        """Write a piece.

        Raises:
            ReadingError: the disk refuses.
        """
        plain = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
        self._write(self._file(name), safetensors.numpy.save(plain, {"record": json.dumps(dict(record))}))

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.safetensors"

    def _write(self, file: Path, content: bytes) -> None:
        try:
            write_whole(file, content)
        except OSError as error:
            with suppress(OSError):  # a folder that holds something stays
                self.path.rmdir()
            raise ReadingError(
                f"`state` {str(self.path)!r} cannot be written: {error.strerror or error}; free some space or name "
                "another folder; what is in it already is used again."
            ) from error
