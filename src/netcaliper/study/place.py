"""Where a cell is computed: its folder, those of the cells it stands on, and how it says how far it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = "{folder}"
"""Stands in a data spec for the folder of the data, which is no part of what a cell is."""


@dataclass(frozen=True)
class Place:
    """What a cell needs besides its configuration; nothing of it may change what comes out.

    Attributes:
        folder: of the cell; what it keeps lies there.
        needs: folders of the cells it stands on, in the order of ``Cell.needs``.
        folders: by data spec (with ``{folder}`` unfilled) the folder that holds the data.
        tell: called with the share that is done, from 0 to 1, and what is being done, in words.
    """

    folder: Path
    needs: tuple[Path, ...]
    folders: Mapping[str, str]
    tell: Callable[[float, str], None]
