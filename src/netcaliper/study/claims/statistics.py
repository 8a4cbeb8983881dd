"""The statistics of claims: from the rows of one repetition to one number, or the reason why there is none."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from netcaliper.stats.core_size import core_size
from netcaliper.stats.curve_gap import curve_gap
from netcaliper.stats.growth import doubling_slope, growth_slope
from netcaliper.study.claims.claim_schema import Claim
from netcaliper.study.claims.rows import NOTE, TWIN, Row, by_value, label_of
from netcaliper.study.claims.selection import no_column

DROP = 0.01
"""How far a core may fall below its reference where the claim names no ``drop``."""


class NoNumber(Exception):
    """The rows give no number; the message says why."""


def number_of(claim: Claim, rows: Sequence[Row], column: str) -> float:
    """Return the number of one repetition; of a growth the slope s of logarithms.

    Args:
        claim: whose statistic it is; neither ``gap`` nor ``core``.
        rows: of the repetition.
        column: what is read.

    Raises:
        NoNumber: something is missing, not above 0 where a logarithm is taken, or there are too few places.
    """
    if claim.statistic == "mean":
        return float(np.mean(numbers_in(rows, column)))
    along = _along(claim)
    x = numbers_in(rows, along)
    y = numbers_in(rows, column, along)
    places = len(np.unique(x))
    if claim.statistic == "flat":
        _at_least(places, 2, along)
        means = [float(np.mean(y[x == place])) for place in np.unique(x)]
        return max(means) - min(means)
    if claim.statistic == "rank":
        _at_least(places, 3, along)
        if len(np.unique(y)) < 2:
            raise NoNumber(f"`{column}` is {y[0]:.4g} everywhere, and has no ranks")
        return float(spearmanr(x, y)[0])  # pyright: ignore[reportArgumentType]
    _at_least(places, 2, along)
    _above_zero(rows, along, x)
    if claim.statistic == "growth":
        _above_zero(rows, column, y, along)
    slope = (growth_slope if claim.statistic == "growth" else doubling_slope)(x, y)
    assert slope is not None  # everything that could be in the way has its own words above
    return slope


def gap_of(claim: Claim, rows: Sequence[Row], column: str, others: Sequence[Row], other: str) -> float:
    """Return how far the curve of one repetition lies above the other one; raises as ``number_of`` does."""
    along = _along(claim)
    gap = curve_gap(
        numbers_in(rows, along), numbers_in(rows, column), numbers_in(others, along), numbers_in(others, other)
    )
    if gap is None:
        raise NoNumber(f"the two curves share no `{along}`")
    return gap


def core_of(claim: Claim, rows: Sequence[Row], references: Sequence[Row], column: str, point: list[str]) -> float:
    """Return the core of the mean curve of several repetitions.

    Args:
        claim: with ``along``, ``drop`` and ``per``.
        rows: of all repetitions; a point of the mean curve is what has the same values in the columns ``point``.
        references: rows of what nothing was taken from; they are points of the curve, too.
        column: quality.
        point: columns that name a point.

    Raises:
        NoNumber: already the largest point lies too low, or something is missing.
    """
    along = _along(claim)
    points: dict[tuple[Any, ...], dict[tuple[Any, Any], Row]] = {}
    for row in [*rows, *references]:
        where = tuple(row.get(name) for name in point)
        points.setdefault(where, {})[row["cell"], row.get("epoch")] = row  # a reference may be among both
    count = len(by_value([*rows, *references], claim.per))
    # A point that is not there in every repetition is left out: the mean curve would jump.
    whole = [list(own.values()) for own in points.values() if len(by_value([*own.values()], claim.per)) == count]
    sizes = [float(np.mean(numbers_in(own, along))) for own in whole]
    quality = [float(np.mean(numbers_in(own, column))) for own in whole]
    drop = claim.drop if claim.drop is not None else DROP
    reference = float(np.mean(numbers_in(references, column)))
    size = core_size(np.array(sizes), np.array(quality), reference, drop)
    if size is None:
        raise NoNumber(
            f"already the largest `{along}` of the mean curve has a `{column}` more than {drop:g} below {reference:.4g}"
            if sizes
            else "no point of the curve is there in every repetition"
        )
    return size


def numbers_in(rows: Sequence[Row], column: str, along: str | None = None) -> np.ndarray:
    """Return a column as float64.

    Raises:
        NoNumber: there is no such column, or it has a gap or text; the message says where ``along``.
    """
    if not any(column in row for row in rows):
        noted = next(filter(None, (why_missing(row, column) for row in rows)), "")
        guess = no_column(column, {name for row in rows for name in row})
        raise NoNumber(f"there is no column `{column}`{noted}" if noted else guess)
    for row in rows:
        held = row.get(column)
        if not isinstance(held, int | float) or not math.isfinite(held):
            words = f"there is no `{column}`" if held is None else f"`{column}` is {held!r}, no finite number"
            raise NoNumber(words + _where(row, along) + why_missing(row, column))
    return np.array([row[column] for row in rows], dtype=np.float64)


def why_missing(row: Row, column: str) -> str:
    """Return what the readings say of numbers that are missing: their notes, of the twin for a column of the twin."""
    ours = column.startswith(TWIN)
    notes = [
        held.rstrip(".") for name, held in row.items()
        if name.endswith(NOTE) and name.startswith(TWIN) == ours and isinstance(held, str)
    ]  # fmt: skip
    return f" ({'; '.join(notes)})" if notes and row.get(column) is None else ""


def gathered(
    labels: Iterable[str], number: Callable[[str], float], per: str
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the number of every repetition, and in words those that have none and why."""
    values: dict[str, float] = {}
    left: list[str] = []
    for label in labels:
        try:
            values[label] = number(label)
        except NoNumber as reason:
            left.append(f"{per} {label}: {reason}")
    return values, tuple(left)


def _at_least(places: int, least: int, along: str) -> None:
    if places < least:
        raise NoNumber(f"{places} different `{along}` where at least {least} are needed")


def _above_zero(rows: Sequence[Row], column: str, values: np.ndarray, along: str | None = None) -> None:
    for row, value in zip(rows, values, strict=True):
        if value <= 0:
            raise NoNumber(f"`{column}` is {value:g}{_where(row, along)}, and a logarithm needs more than 0")


def _where(row: Row, along: str | None) -> str:
    return "" if along is None else f" where {along} = {label_of(row.get(along))}"


def _along(claim: Claim) -> str:
    assert claim.runs_along is not None  # the schema asks for it
    return claim.runs_along
