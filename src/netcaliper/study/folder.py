"""The folder of a study: a copy of its file, how it was asked for, and its cells.

::

    study.toml      the file that was last run here
    asked.json      its name and scale, where the data lie, and the command
    cells/NAME/     see ``netcaliper.study.cell_folder``
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from netcaliper import __version__
from netcaliper.errors import CorruptReading, InputError, OutputExists, ReadingError
from netcaliper.reading.whole_file import write_whole
from netcaliper.study.cell import CELL_VERSION
from netcaliper.study.file.schema import parse_study
from netcaliper.study.file.study import Study

FILE, ASKED = "study.toml", "asked.json"
COMPUTES = ("torch", "numpy", "scipy")


def versions() -> dict[str, str]:
    """Return versions of what computes, without importing it."""
    found = {}
    for name in COMPUTES:
        with suppress(PackageNotFoundError):  # a wheel for another place may carry another name
            found[name] = version(name)
    return found


@dataclass(frozen=True)
class Asked:
    """How a study was asked for.

    Attributes:
        name: of the file, without its ending.
        scale: of the study.
        folders: by name of a data set the folder that was given for it.
        command: that computes the whole of it.
        netcaliper: version that ran it last.
        versions: of what computed it last.
        schema: of its cells.
    """

    name: str
    scale: str
    folders: Mapping[str, str]
    command: Sequence[str]
    netcaliper: str = __version__
    versions: Mapping[str, str] = field(default_factory=versions)
    schema: int = CELL_VERSION


def asked_now(study: Study, path: Path, root: Path, folders: Mapping[str, str], *, large: bool = False) -> Asked:
    """Return how a study is asked for, with the command for all of it, whatever part this run computes in which way.

    Args:
        study: as it was loaded.
        path: its file.
        root: its folder.
        folders: by name of a data set the folder that was given for it.
        large: it is above the limit of its scale.
    """
    given = [part for name, folder in folders.items() for part in ("--folder", f"{name}={folder}")]
    command = ["netcaliper", "study", "run", str(path), "--scale", study.scale, "-o", str(root), *given]
    return Asked(study.name, study.scale, dict(folders), [*command, "--yes"] if large else command)


def prepare(root: Path, text: bytes, asked: Asked) -> None:
    """Make the folder of a study, or go on with one.

    Raises:
        OutputExists: it holds something else, or another study.
        ReadingError: it holds cells of another version, or cannot be written.
    """
    try:
        if root.is_dir():
            if (root / ASKED).exists():
                with suppress(CorruptReading):  # it is written again
                    _same(asked_of(root), asked, root)
            elif any(entry.name != FILE and not entry.name.endswith(".partial") for entry in root.iterdir()):
                raise OutputExists(f"{root} holds something that is no study, and nothing is mixed in; name another.")
        elif root.exists():
            raise OutputExists(f"{root} is a file; name a folder.")
        for name, content in ((FILE, text), (ASKED, (json.dumps(asdict(asked), indent=1) + "\n").encode())):
            if not ((root / name).is_file() and (root / name).read_bytes() == content):
                write_whole(root / name, content)
    except OSError as error:
        raise ReadingError(
            f"{root} cannot be written: {error.strerror or error}; make room or name another folder, then give the "
            "same command."
        ) from error


def _same(then: Asked, now: Asked, root: Path) -> None:
    _check_schema(then, root)
    if then.name != now.name:
        raise OutputExists(f"{root} is the folder of the study {then.name!r}, not of {now.name!r}; name another.")


def _check_schema(asked: Asked, root: Path) -> None:
    if asked.schema != CELL_VERSION:
        raise ReadingError(
            f"{root} holds cells of schema {asked.schema}, written by netcaliper {asked.netcaliper}; this one reads "
            f"and writes schema {CELL_VERSION}: name a new folder, or go on with that version."
        )


def asked_of(root: Path) -> Asked:
    """Return how the study in a folder was last asked for.

    Raises:
        InputError: it is not the folder of a study.
        CorruptReading: what it says of itself is damaged.
    """
    if not (root / ASKED).is_file():
        raise InputError(f"{root} is not the folder of a study: it has no {ASKED}; name what `study run -o` wrote.")
    try:
        return Asked(**json.loads((root / ASKED).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise CorruptReading(
            f"{root / ASKED} is damaged ({error}); give the command that ran the study again."
        ) from error


def open_study(root: Path) -> Study:
    """Return the study that was last run in a folder; torch is not needed for it.

    Raises:
        InputError: it is not the folder of a study.
        ReadingError: it holds cells of another version.
        CorruptReading: what it says of itself is damaged.
    """
    asked = asked_of(root)
    _check_schema(asked, root)
    try:
        text = (root / FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptReading(
            f"{root / FILE} is damaged ({error}); give the command that ran the study again."
        ) from error
    return parse_study(text, root / FILE, name=asked.name, scale=asked.scale, folders=asked.folders)
