"""The checkpoints of one training, as ``netcaliper train --keep-every`` writes them, loaded when they are asked for."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from netcaliper.errors import InputError
from netcaliper.zoo.checkpoint import is_checkpoint, load_checkpoint
from netcaliper.zoo.models import Network

EPOCH = re.compile(r"epoch-([0-9]+)")


class Epochs(Mapping[str, Network]):
    """Networks by ``epoch-<number>``, in order of the number; each access reads its folder anew."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = dict(folders)

    def __getitem__(self, name: str) -> Network:
        return load_checkpoint(self._folders[name]).model

    def __iter__(self) -> Iterator[str]:
        return iter(self._folders)

    def __len__(self) -> int:
        return len(self._folders)


def epochs(folder: str | Path) -> Epochs:
    """Return the checkpoints ``epoch-<number>`` in a folder; what else is in it is left alone.

    Raises:
        InputError: there is no such folder, or no checkpoint in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"`folder` {str(folder)!r} is not a folder; give the DIR.epochs that `netcaliper train --keep-every` wrote."
        )
    numbered = {
        int(found[1]): path
        for path in folder.iterdir()
        if (found := EPOCH.fullmatch(path.name)) and is_checkpoint(path)
    }
    if not numbered:
        raise InputError(
            f"`folder` {str(folder)!r} must hold checkpoints named epoch-<number>, got none; give the DIR.epochs that "
            "`netcaliper train --keep-every` wrote."
        )
    return Epochs({numbered[number].name: numbered[number] for number in sorted(numbered)})
