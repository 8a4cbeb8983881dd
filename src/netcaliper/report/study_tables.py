"""The tables of a study, the same for the terminal and the page: claims with their verdicts, and cells by family."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from netcaliper.reading.numerals import MISSING
from netcaliper.reading.study import ClaimResult, Effect, StudyCell, StudyReading, Verdict
from netcaliper.report.layers_tables import Table

MARKS: dict[Verdict, str] = {"holds": "✓", "contradicted": "✕", "undecided": "?"}
SYMBOLS = ("g", "rho")
"""Units that are written before the number."""
MOST_NUMBERS = 8
MARGIN = 0.12
"""Of a strip, on both sides of what it shows."""


@dataclass(frozen=True)
class Strip:
    """An interval beside its threshold, drawn in a box; places in percent of its width.

    Attributes:
        low, high: ends of the interval.
        value: the effect.
        claimed: from where to where the claim lies.
        threshold: the borders of that, those inside the box.
    """

    low: float
    high: float
    value: float
    claimed: tuple[float, float]
    threshold: tuple[float, ...]


@dataclass(frozen=True)
class ClaimRow:
    """A claim as text.

    Attributes:
        name: of the claim.
        verdict: in a word.
        mark: for it, so that color is not alone.
        sentence: what is claimed.
        effect: the number.
        unit: what it is, where that is not plain.
        interval: its 95 % interval.
        threshold: what it is compared with.
        twin: the difference to the untrained twin with its interval; ``none`` where it is asked for and cannot be said.
        paper: what the paper reports.
        seeds: number of repetitions.
        reason: why it is undecided, or what contradicts it.
        revised: what was added or changed after results had been seen.
        details: (label, text) of how it was read.
        strip: the interval beside the threshold.
    """

    name: str
    verdict: Verdict
    mark: str
    sentence: str
    effect: str
    unit: str
    interval: str
    threshold: str
    twin: str
    paper: str
    seeds: str
    reason: str
    revised: str
    details: tuple[tuple[str, str], ...]
    strip: Strip | None


def claim_rows(reading: StudyReading) -> list[ClaimRow]:
    """Return every claim, in the order of the file."""
    return [_row(claim) for claim in reading.claims]


def number(value: float | None) -> str:
    """Write a number with three digits, e.g. ``2.01``, ``0.034``, ``1,204``; an en dash where there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def range_words(effect: Effect | None) -> str:
    """Write an interval, e.g. ``1.86 to 2.17``; an en dash where there is none."""
    if effect is None or effect.low is None or effect.high is None:
        return MISSING
    return f"{number(effect.low)} to {number(effect.high)}"


def cell_tables(reading: StudyReading) -> list[Table]:
    """Return one table of cells for every family, bend and comparison.

    Numbers are in the order in which claims and figures name them, only those that a cell of the family has.
    """
    families: dict[str, list[StudyCell]] = {}
    for cell in reading.cells:
        families.setdefault(cell.family, []).append(cell)
    return [_cells(family, own) for family, own in families.items()]


def value_words(value: Any) -> str:
    """Write a value of a column."""
    if value is None:
        return MISSING
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:
        return f"{value:,}"
    return number(value) if isinstance(value, float) else str(value)


def _row(claim: ClaimResult) -> ClaimRow:
    none = "none" if claim.beside_twin else MISSING
    twin = none if claim.twin is None else f"{number(claim.twin.value)} ({range_words(claim.twin)})"
    paper = MISSING if claim.paper is None else f"{number(claim.paper.value)} ({claim.paper.where})"
    effect = number(claim.effect.value if claim.effect else None)
    symbol = claim.effect is not None and claim.unit in SYMBOLS
    return ClaimRow(
        name=claim.name,
        verdict=claim.verdict,
        mark=MARKS[claim.verdict],
        sentence=claim.sentence,
        effect=f"{claim.unit} = {effect}" if symbol else effect,
        unit=claim.unit if claim.effect and not symbol else "",
        interval=range_words(claim.effect),
        threshold=claim.threshold,
        twin=twin,
        paper=paper,
        seeds=str(claim.repetitions),
        reason=claim.reason or "",
        revised=claim.revised,
        details=tuple(_details(claim)),
        strip=_strip(claim),
    )


def _details(claim: ClaimResult) -> Iterable[tuple[str, str]]:
    yield "Name", claim.name
    yield "Reads", claim.reads
    if claim.why:
        yield "Why", claim.why
    if claim.interval:
        yield "Interval", claim.interval
    if claim.values:
        yield "By repetition", ", ".join(f"{label}: {number(value)}" for label, value in claim.values.items())
    if claim.left_out:
        yield "Left out", "; ".join(claim.left_out)
    lacking = f", {claim.cells_missing} not computed" if claim.cells_missing else ""
    lacking += f", {claim.cells_failed} failed" if claim.cells_failed else ""
    yield "Cells", f"{claim.cells}{lacking}"


def _strip(claim: ClaimResult) -> Strip | None:
    """Lay an interval and its threshold out on one scale; that of factors is logarithmic."""
    effect = claim.effect
    if effect is None or effect.low is None or effect.high is None:
        return None
    borders = [end for end in (claim.least, claim.most) if end is not None]
    shown = [effect.low, effect.high, *borders]
    factors = claim.unit in ("g", "ratio", "ratio of g") and min(shown) > 0
    scaled = [math.log(one) for one in shown] if factors else shown
    low, high = min(scaled), max(scaled)
    span = (high - low) or abs(high) or 1.0

    def place(value: float) -> float:
        at = (math.log(value) if factors else value) - low
        return round(100 * (MARGIN + (1 - 2 * MARGIN) * at / span), 1)

    return Strip(
        low=place(effect.low),
        high=place(effect.high),
        value=place(effect.value),
        claimed=(
            0.0 if claim.least is None else place(claim.least),
            100.0 if claim.most is None else place(claim.most),
        ),
        threshold=tuple(map(place, borders)),
    )


def _cells(family: str, cells: list[StudyCell]) -> Table:
    axes = list(dict.fromkeys(column for cell in cells for column in cell.columns))
    counted: Mapping[str, int] = {
        name: sum(cell.numbers.get(name) is not None for cell in cells)
        for name in dict.fromkeys(name for cell in cells for name in cell.numbers)
    }
    numbers = [name for name, times in counted.items() if times][:MOST_NUMBERS]
    rows = tuple(
        (
            cell.name[:8],
            cell.status,
            *(value_words(cell.columns.get(axis)) for axis in axes),
            *(value_words(cell.numbers.get(name)) for name in numbers),
        )
        for cell in cells
    )
    return Table(f"cells-{family}", family, ("cell", "status", *axes, *numbers), rows, 2)
