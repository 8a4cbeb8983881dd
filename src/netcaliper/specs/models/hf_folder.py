"""The files of a transformers model: a folder that is there, or one one that is fetched from the hub."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from netcaliper.errors import SpecError
from netcaliper.specs.models.hub import fetched

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")
# What the model, its tokenizer and its processor need besides weights; never code.
_SMALL = ("*.json", "*.txt", "*.model")


def local_folder(spec: str, name: str, revision: Any, weights: tuple[str, ...]) -> tuple[Path, str]:
    """Return where the files of a model lie, and what to call it.

    Args:
        spec: the whole spec, for messages.
        name: a folder, or the name of a repository.
        revision: branch, tag or commit of a repository.
        weights: names of files with weights, which may be in shards; none for an untrained model.

    Raises:
        SpecError: there is neither; the message says what was looked for and what to do.
    """
    path = Path(name).expanduser()
    if name and path.is_dir():
        if revision is not None:
            raise SpecError(f"{spec!r}: `revision` = {revision!r} is for repositories, {name!r} is a folder.")
        if not (path / "config.json").is_file():
            raise SpecError(f"{spec!r}: the folder {name!r} is no transformers model: it has no config.json.")
        return path, path.resolve().name
    if _REPOSITORY.fullmatch(name) is None:
        raise SpecError(f"{spec!r}: there is no folder {name!r}, and it is no name of a repository (`owner/name`).")
    if revision is not None and not isinstance(revision, str):
        raise SpecError(f"{spec!r}: `revision` must be a string in quotes, got {revision!r}.")
    instead = "give a local folder"
    patterns = _patterns(weights)
    return fetched(spec, name, patterns, extra="transformers", revision=revision, instead=instead), name


def _patterns(weights: tuple[str, ...]) -> Iterator[str]:
    yield from _SMALL
    for file in weights:
        stem, _, kind = file.rpartition(".")
        yield from (file, f"{stem}-*.{kind}")
