"""How far a study is, read from its folder; torch is not needed for it."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netcaliper.study.cell_folder import CELLS, State, cell_folder, state_of
from netcaliper.study.file.grid import cells
from netcaliper.study.file.study import Study


@dataclass
class FamilyStatus:
    """How far the cells of a family, of its bendings or of a comparison are.

    Attributes:
        kind: of the cells.
        family: name in the study file.
        counts: cells by status, as in ``netcaliper.study.cell_folder.State``.
        running: cells that somebody works on now: name, columns, share and words.
        failed: cells that failed: name, columns and the error.
    """

    kind: str
    family: str
    counts: Counter[str] = field(default_factory=Counter)
    running: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.counts.total()


@dataclass(frozen=True)
class Status:
    """How far a study is.

    Attributes:
        families: in the order of the table.
        cells: number of cells, each once.
        states: by name of a cell, of those that are asked for.
        unasked: number of cells in the folder that the study file does not ask for (any more); they are left alone and
            are not in the table.
    """

    families: tuple[FamilyStatus, ...]
    cells: int
    states: Mapping[str, State]
    unasked: int


def status_of(study: Study, root: Path) -> Status:
    """Look at every cell once."""
    try:
        there = {entry.name for entry in os.scandir(root / CELLS)}
    except OSError:  # nothing was begun
        there = set()
    states: dict[str, State] = {}
    families: dict[tuple[str, str], FamilyStatus] = {}
    for cell in cells(study):
        one = families.setdefault((cell.kind, cell.family), FamilyStatus(cell.kind, cell.family))
        if cell.name not in states:
            states[cell.name] = state_of(cell_folder(root, cell.name)) if cell.name in there else State("missing")
        state = states[cell.name]
        one.counts[state.status] += 1
        about = {"cell": cell.name, "columns": dict(cell.columns)}
        if state.status == "running":
            one.running.append(about | {"share": state.share, "words": state.words})
        elif state.status == "failed":
            one.failed.append(about | {"error": state.words})
    return Status(tuple(families.values()), len(states), states, len(there - states.keys()))
