"""A reading as a pandas table: one row a site, the columns that other programs may rely on."""

from typing import TYPE_CHECKING

from netcaliper.reading.schema import ReadingRecord, Share
from netcaliper.reading.verdicts import verdict

if TYPE_CHECKING:
    import pandas as pd

COUNTS = (
    "units",
    "dead",
    "constant",
    "duplicate",
    "dependent",
    "absorbable",
    "needed",
    "always_on",
    "always_off",
    "rows",
)
SHARES = ("prunable", "redundant", "linear_zone", "redundant_correlation", "bending_share")
COLUMNS = (
    "site",
    "kind",
    "op",
    "units",
    "dead",
    "constant",
    "duplicate",
    "dependent",
    "absorbable",
    "needed",
    "prunable",
    "redundant",
    "always_on",
    "always_off",
    "linear_zone",
    "rows",
    "redundant_correlation",
    "bending_share",
    "group",
    "consumers",
    "status",
    "reason",
    "verdict",
)
"""The columns, in order. The first sixteen are fixed by the design; later measures append theirs."""


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

    rows = [
        {
            "site": site.name,
            "kind": site.kind,
            "op": site.op,
            **{name: getattr(site, name) for name in COUNTS},
            **{name: _value(getattr(site, name, None)) for name in SHARES},
            "group": site.group,
            "consumers": len(site.consumers),
            "status": "judged" if site.needed is not None else "not judged",
            "reason": site.reason or site.refused,
            "verdict": verdict(site),
        }
        for site in reading.sites
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype="object")
    kinds = (
        dict.fromkeys(COLUMNS, "string")
        | dict.fromkeys((*COUNTS, "consumers"), "Int64")
        | dict.fromkeys(SHARES, "Float64")
    )
    return frame.astype(kinds)


def _value(share: Share | None) -> float | None:
    return None if share is None else share.value
