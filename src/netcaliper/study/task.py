"""What goes to a worker for one cell, and what comes back: small, plain and picklable."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

RUN_CELL = "netcaliper.study.cells.run_cell:run_cell"


@dataclass(frozen=True)
class Task:
    """One cell to compute.

    Attributes:
        root: folder of the study.
        name: of the cell.
        kind, family, columns, configuration, needs: as in ``netcaliper.study.cell.Cell``.
        folders: by data spec (with ``{folder}`` unfilled) the folder that holds the data.
        threads: of torch while the cell is computed; 0 leaves them as they are.
        runner: ``module:function`` that computes the rows, called as ``run_cell(kind, configuration, place)``.
        token: by which an engine knows again what it began.
    """

    root: str
    name: str
    kind: Literal["train", "bend", "compare"]
    family: str
    columns: Mapping[str, Any]
    configuration: Mapping[str, Any]
    needs: tuple[str, ...]
    folders: Mapping[str, str]
    threads: int = 1
    runner: str = RUN_CELL
    token: str = ""


@dataclass(frozen=True)
class Outcome:
    """How the work on one cell ended.

    Attributes:
        name: of the cell.
        status: ``"done"``, ``"failed"`` (its folder holds the traceback), ``"elsewhere"`` (another process works on
            it) or ``"stopped"`` (its folder cannot be written: no other cell can be, either).
        found: it was done already, by another process.
        seconds: that it took.
        error: in words, of a cell that failed or was stopped.
    """

    name: str
    status: Literal["done", "failed", "elsewhere", "stopped"]
    found: bool = False
    seconds: float = 0.0
    error: str | None = None
