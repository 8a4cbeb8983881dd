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
    return MISSING if share is None else span(share.low, share.high)


def sampled(share: Share) -> str:
    """Write the interval of a share and the sample behind it, e.g. ``28.1 to 33.0 %, n = 4,096``."""
    behind = f"n = {count(share.sample)}"
    return behind if share.low is None or share.high is None else f"{interval(share)}, {behind}"


def span(low: float | None, high: float | None) -> str:
    """Write two bounds of a share, e.g. ``28.1 to 33.0 %``; an en dash where one is missing."""
    return MISSING if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f} %"


def points(low: float, high: float | None = None) -> str:
    """Write a difference of shares in percentage points with its sign, e.g. ``+4.1`` or ``+3.0 to +5.2``."""
    return f"{100 * low:+.1f}" if high is None else f"{100 * low:+.1f} to {100 * high:+.1f}"


def short(number: int) -> str:
    """Write a large number with three digits and a unit, e.g. ``155 k``, ``12.3 M``."""
    for size, suffix in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g} {suffix}" if number / size < 999.5 else f"{number / size:.0f} {suffix}"
    return count(number)


def byte_size(value: int | None) -> str:
    """Write a number of bytes with three digits, e.g. ``1.07 MiB``; an en dash where nothing was measured."""
    if value is None:
        return MISSING
    for size, suffix in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= size:
            scaled = value / size
            return f"{scaled:.3g} {suffix}" if scaled < 999.5 else f"{scaled:,.0f} {suffix}"
    return f"{value:,} B"


def seconds(value: float | None) -> str:
    """Write a short time with three digits, e.g. ``3.21 ms``; an en dash where nothing was measured."""
    if value is None:
        return MISSING
    for size, suffix in ((1.0, "s"), (1e-3, "ms")):
        if value >= size:
            return f"{value / size:.3g} {suffix}"
    return f"{value / 1e-6:.3g} µs"


def decimal(value: float | None) -> str:
    """Write an index with two decimals, e.g. ``0.32``; an en dash where nothing was measured."""
    return MISSING if value is None or math.isnan(value) else f"{value:.2f}"


def units(value: int) -> str:
    """Write a number of units with its noun, e.g. ``1 unit``, ``1,024 units``."""
    return plural(value, "unit")


def plural(value: int, noun: str) -> str:
    """Write a count with a regular English noun, e.g. ``1 site``, ``12 sites``."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"
