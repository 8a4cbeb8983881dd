"""A linearization as a pandas table: one row a point, the columns that other programs may rely on."""

from typing import TYPE_CHECKING, Any

from netcaliper.reading.linearization import LinearizationRecord, Point

if TYPE_CHECKING:
    import pandas as pd

WORDS = ("kind", "name", "status", "reason")
COUNTS = ("like", "seed", "epochs", "penalized", "parameters", "units", "active", "calls")
NUMBERS = (
    "omega", "share", "path_length", "path_length_normalized", "effective_width", "effective_layers", "select",
    "verify", "verify_low", "verify_high", "lost", "lost_low", "lost_high", "agreement",
)  # fmt: skip
COLUMNS = (
    "kind", "name", "omega", "like", "seed", "status", "units", "active", "share", "calls", "path_length",
    "path_length_normalized", "effective_width", "effective_layers", "select", "verify", "verify_low", "verify_high",
    "lost", "lost_low", "lost_high", "agreement", "epochs", "penalized", "parameters", "core", "reason",
)  # fmt: skip
"""The columns, in order."""


def to_frame(record: LinearizationRecord) -> "pd.DataFrame":
    """Lay out a linearization as one row a point, in the order of the trainings; what was not measured is ``<NA>``.

    ``select`` and ``verify`` are qualities on the two parts of the evaluation data, ``core`` marks the core network.

    Args:
        record: of one run.

    Returns:
        A table with the columns ``COLUMNS``.
    """
    import pandas as pd  # an import of half a second, paid only by those who want the table

    core = None if record.core is None else record.core.point
    rows = [_row(point) | {"core": place == core} for place, point in enumerate(record.points)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype="object")
    kinds = dict.fromkeys(WORDS, "string") | dict.fromkeys(COUNTS, "Int64") | dict.fromkeys(NUMBERS, "Float64")
    return frame.astype(kinds | {"core": "boolean"})


def _row(point: Point) -> dict[str, Any]:
    row = {column: getattr(point, column) for column in COLUMNS if column in Point.model_fields}
    verify, lost = point.verify, point.lost
    return row | {
        "path_length": point.lengths.mean,
        "path_length_normalized": point.lengths.normalized,
        "select": point.select and point.select.value,
        "verify": verify and verify.value,
        "verify_low": verify and verify.low,
        "verify_high": verify and verify.high,
        "lost": lost and lost.value,
        "lost_low": lost and lost.low,
        "lost_high": lost and lost.high,
    }
