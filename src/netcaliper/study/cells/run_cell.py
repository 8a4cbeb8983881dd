"""One cell, from its configuration to its rows."""

from collections.abc import Mapping
from typing import Any

from netcaliper.errors import StudyError
from netcaliper.study.cells.bend_cell import bend_cell
from netcaliper.study.cells.compare_cell import compare_cell
from netcaliper.study.cells.train_cell import train_cell
from netcaliper.study.place import Place

CELLS = {"train": train_cell, "bend": bend_cell, "compare": compare_cell}


def run_cell(kind: str, configuration: Mapping[str, Any], place: Place) -> list[dict[str, Any]]:
    """Compute a cell and return its rows: scalars and ``None`` by column; see ``docs/studies.md``.

    An interrupted cell that is run again in the same place goes on: of a training at most the running epoch is done
    again, and what was read is not read again. The rows are the same.

    Args:
        kind: ``"train"``, ``"bend"`` or ``"compare"``.
        configuration: what determines the rows, as ``netcaliper.study.cell.Cell`` says.
        place: where.

    Raises:
        StudyError: the configuration cannot be used.
        NetcaliperError: what a training or a reading raises; a training that diverges raises ``Diverged``.
    """
    if kind not in CELLS:
        raise StudyError(f"`kind` must be one of {', '.join(CELLS)}, got {kind!r}.")
    return CELLS[kind](configuration, place)
