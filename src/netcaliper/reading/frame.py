"""A reading as a pandas table: one row a site, the columns that other programs may rely on."""

from typing import TYPE_CHECKING

from netcaliper.reading.schema import ReadingRecord, SiteReading
from netcaliper.reading.verdicts import verdict

if TYPE_CHECKING:
    import pandas as pd

COUNTS = (
    "units", "dead", "constant", "duplicate", "dependent", "absorbable", "needed", "always_on", "always_off", "rows",
    "selective",
)  # fmt: skip
SHARES = ("prunable", "redundant", "linear_zone", "redundant_correlation", "bending_share", "selectivity")
VALUES = ("unexplained", "correlated_neighbors", "mean_correlation")
TWIN = (
    "dead", "constant", "duplicate", "dependent", "absorbable", "needed", "prunable", "redundant",
    "redundant_correlation", "always_on", "always_off", "linear_zone", "bending_share", "unexplained",
    "correlated_neighbors", "mean_correlation", "selectivity", "selective",
)  # fmt: skip
"""What is read on the twin as well."""

COLUMNS = (
    "site", "kind", "op", "units", "dead", "constant", "duplicate", "dependent", "absorbable", "needed", "prunable",
    "redundant", "always_on", "always_off", "linear_zone", "rows", "redundant_correlation", "bending_share",
    "unexplained", "correlated_neighbors", "mean_correlation", "selectivity", "selective", "group", "consumers",
    "status", "reason", "verdict", *(f"twin_{name}" for name in TWIN),
)  # fmt: skip
"""The columns, in order. The first sixteen are fixed by the design; the twin's are last."""


def to_frame(reading: ReadingRecord) -> "pd.DataFrame":
    """Lay out a reading as one row a site, in graph order.

    Counts (and ``consumers``, the number of weighted operations that read the site) are nullable ``Int64``, shares
    nullable ``Float64``, words nullable ``string``. What was not measured is ``<NA>``, never 0: where ``needed`` is not
    ``<NA>``, ``dead + constant + duplicate + dependent + absorbable (0 if <NA>) + needed == units``.

    Args:
        reading: the record of one measurement.

    Returns:
        A table with the columns ``COLUMNS``.
    """
    import pandas as pd  # an import of half a second, paid only by those who want the table

    twins = reading.twin.sites if reading.twin else (None,) * len(reading.sites)
    rows = [
        {
            "site": site.name,
            "kind": site.kind,
            "op": site.op,
            **_numbers(site),
            "group": site.group,
            "consumers": len(site.consumers),
            "status": "judged" if site.needed is not None else "not judged",
            "reason": site.reason or site.refused,
            "verdict": verdict(site),
            **({} if twin is None else {f"twin_{name}": value for name, value in _numbers(twin).items()}),
        }
        for site, twin in zip(reading.sites, twins, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype="object")
    floats = (*SHARES, *VALUES)
    kinds = (
        dict.fromkeys(COLUMNS, "string")
        | dict.fromkeys((*COUNTS, "consumers"), "Int64")
        | dict.fromkeys(floats, "Float64")
        | {f"twin_{name}": "Float64" if name in floats else "Int64" for name in TWIN}
    )
    return frame.astype(kinds)


def _numbers(site: SiteReading) -> dict[str, int | float | None]:
    """Return every count, share and value of a site, by column."""
    shares = {name: getattr(site, name) for name in SHARES}
    return {
        **{name: getattr(site, name) for name in COUNTS},
        **{name: None if share is None else share.value for name, share in shares.items()},
        "unexplained": max(site.unexplained.values(), default=None),
        "correlated_neighbors": site.correlated_neighbors,
        "mean_correlation": site.mean_correlation,
    }
