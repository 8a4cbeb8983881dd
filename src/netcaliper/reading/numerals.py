"""How numbers are written for people: counts, shares, intervals. One place, so that every report agrees."""

import math

from netcaliper.reading.schema import Share

MISSING = "–"


def count(value: int | None) -> str:
    """Write a count with thousands separators, e.g. ``1,024``; an en dash where nothing was measured."""
    return MISSING if value is None else f"{value:,}"


def percent(value: float | None, *, digits: int = 1) -> str:
    """Write a share in [0, 1] as a percentage, e.g. ``30.6 %``; an en dash where nothing was measured.

    A share that is not exactly 0 or 1 is never rounded to ``0 %`` or ``100 %``: it is ``<0.1 %`` or ``>99.9 %``.
    """
    if value is None or math.isnan(value):
        return MISSING
    smallest = 10.0**-digits
    scaled = 100.0 * value
    if 0 < scaled < smallest / 2:
        return f"<{smallest:.{digits}f} %"
    if 100 - smallest / 2 < scaled < 100:
        return f">{100 - smallest:.{digits}f} %"
    return f"{scaled:.{digits}f} %"


def interval(share: Share | None) -> str:
    """Write the interval of a share, e.g. ``28.1 to 33.0 %``; an en dash where there is none."""
    if share is None or share.low is None or share.high is None:
        return MISSING
    return f"{100 * share.low:.1f} to {100 * share.high:.1f} %"


def units(value: int) -> str:
    """Write a number of units with its noun, e.g. ``1 unit``, ``1,024 units``."""
    return plural(value, "unit")


def plural(value: int, noun: str) -> str:
    """Write a count with a regular English noun, e.g. ``1 site``, ``12 sites``."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"
