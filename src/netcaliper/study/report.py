"""The reading of a study: its claims tested, its figures read, and every cell with its numbers."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from netcaliper.reading.study import StudyCell, StudyReading
from netcaliper.study.claims.claim_schema import LinesFigure
from netcaliper.study.claims.figures import figure_of
from netcaliper.study.claims.judge import judge
from netcaliper.study.claims.rows import Row, rows_of
from netcaliper.study.file.grid import cells
from netcaliper.study.file.study import Study
from netcaliper.study.folder import asked_of
from netcaliper.study.status import status_of
from netcaliper.study.table import table

ALWAYS = ("test_accuracy", "train_accuracy", "parameters", "epoch")
"""Numbers of a cell that are told whatever is claimed."""


def study_reading(study: Study, root: Path) -> StudyReading:
    """Test the claims of a study on what its folder holds.

    Args:
        study: from ``netcaliper.study.folder.open_study``.
        root: its folder; cells may be missing, or have failed.

    Returns:
        The reading; two calls on one folder give equal bytes.

    Raises:
        ReadingError: a cell is damaged or of another version.
        InputError: it is not the folder of a study.
    """
    asked = asked_of(root)
    rows = rows_of(table(study, root))
    known = _cells(study, root, rows.rows)
    return StudyReading(
        title=study.title,
        paper=study.paper,
        about=study.about,
        name=study.name,
        scale=study.scale,
        command=shlex.join(asked.command),
        versions={"netcaliper": asked.netcaliper, **asked.versions},
        claims=tuple(judge(claim, rows, known) for claim in study.claims),
        figures=tuple(figure_of(figure, rows, known, root) for figure in study.figures),
        cells=tuple(known),
    )


def _cells(study: Study, root: Path, rows: Sequence[Row]) -> list[StudyCell]:
    """Return every cell of the grid, with what claims and figures read of its final row."""
    states = status_of(study, root).states
    wanted = _read_columns(study)
    final = {(row["cell"], row["family"]): row for row in rows if row.get("final")}
    found = []
    for cell in cells(study):
        state = states[cell.name]
        status: Literal["done", "failed", "missing"] = (
            "done" if state.status == "done" else "failed" if state.status == "failed" else "missing"
        )
        found.append(
            StudyCell(
                name=cell.name,
                kind=cell.kind,
                family=cell.family,
                columns=dict(cell.columns),
                status=status,
                numbers=_numbers(final.get((cell.name, cell.family), {}), wanted, cell.columns),
                error=state.words if status == "failed" else None,
            )
        )
    return found


def _numbers(row: Row, wanted: Sequence[str], columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in wanted if name in row and name not in columns}


def _read_columns(study: Study) -> list[str]:
    """Return the columns that claims and figures read, after those that are always told."""
    found = list(ALWAYS)
    for claim in study.claims:
        changed = claim.change.column if claim.change else None
        found += [name for name in (claim.column, changed, claim.along) if name]
    for figure in study.figures:
        found += [figure.x, figure.y] if isinstance(figure, LinesFigure) else []
    return list(dict.fromkeys(found))
