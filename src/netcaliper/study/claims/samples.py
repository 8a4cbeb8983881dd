"""The numbers of all repetitions, of one side or of two against each other, and their mean with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from netcaliper.reading.study import Effect
from netcaliper.stats.intervals import jackknife
from netcaliper.stats.repetitions import mean_interval
from netcaliper.study.claims.claim_schema import LOGARITHMIC, Claim
from netcaliper.study.claims.rows import Row, by_value
from netcaliper.study.claims.statistics import (
    NoNumber,
    core_of,
    gap_of,
    gathered,
    number_of,
    numbers_in,
)

EVERYWHERE = (-float("inf"), float("inf"))


@dataclass(frozen=True)
class Sample:
    """A number in several repetitions, on the scale on which differences are taken.

    Attributes:
        values: by repetition; of a core the number without it.
        left_out: repetitions without a number, in words.
        whole: of a core the number of all repetitions, elsewhere ``None``: it is the mean of the values.
    """

    values: Mapping[str, float]
    left_out: tuple[str, ...] = ()
    whole: float | None = None


@dataclass(frozen=True)
class Side:
    """One reading of the statistic.

    Attributes:
        column: what is read.
        rows: from where.
        references: of a core, the rows of what nothing was taken from.
        is_mean: the mean of the column, whatever the statistic.
    """

    column: str
    rows: Sequence[Row]
    references: Sequence[Row] = ()
    is_mean: bool = False


def sample_of(claim: Claim, main: Side, other: Side | None, point: list[str]) -> Sample:
    """Return the numbers of all repetitions: of one side, or of one side minus (or over) the other."""
    if claim.statistic == "core":
        return _cores(claim, main, other, point)
    own = by_value(main.rows, claim.per)
    if other is None:
        return Sample(*gathered(own, lambda label: number_of(claim, own[label], main.column), claim.per))
    theirs = by_value(other.rows, claim.per)

    def difference(label: str) -> float:
        if label not in own or label not in theirs:
            raise NoNumber("only one of the two sides has it")
        if claim.statistic == "gap":
            return gap_of(claim, own[label], main.column, theirs[label], other.column)
        first, second = number_of(claim, own[label], main.column), number_of(claim, theirs[label], other.column)
        return first - second if claim.over is None or claim.statistic in LOGARITHMIC else _log_ratio(first, second)

    labels = [*own, *(label for label in theirs if label not in own)]
    return Sample(*gathered(labels, difference, claim.per))


def _cores(claim: Claim, main: Side, other: Side | None, point: list[str]) -> Sample:
    """Return the core of the mean curve of all repetitions, and without each of them."""
    sides = [_Parted(side, claim.per) for side in (main, other) if side is not None]
    labels = list(dict.fromkeys(label for side in sides for label in side.rows))

    def usable(label: str) -> float:
        for side in sides:
            side.check(claim, label)
        return 0.0

    kept, left_out = gathered(labels, usable, claim.per)

    def core(chosen: Sequence[str]) -> float:
        cores = [side.number(claim, chosen, point) for side in sides]
        if len(cores) == 1:
            return cores[0]
        return cores[0] - cores[1] if claim.over is None else _log_ratio(*cores)

    if not kept:
        return Sample({}, left_out)
    try:
        whole = core(list(kept))
    except NoNumber as reason:
        return Sample({}, (*left_out, str(reason)))
    if len(kept) == 1:
        return Sample({next(iter(kept)): whole}, left_out, whole)
    values, none = gathered(kept, lambda label: core([one for one in kept if one != label]), f"without {claim.per}")
    return Sample(values, (*left_out, *none), whole)


class _Parted:
    """One side of a core, by repetition."""

    def __init__(self, side: Side, per: str) -> None:
        self.side = side
        self.rows = by_value(side.rows, per)
        self.references = by_value(side.references, per)

    def check(self, claim: Claim, label: str) -> None:
        """Raise ``NoNumber`` where a repetition lacks something."""
        parts = {"curve": self.rows} | ({} if self.side.is_mean else {"reference": self.references})
        for what, part in parts.items():
            if label not in part:
                raise NoNumber(f"there is no {what} of it")
            if not self.side.is_mean and claim.runs_along:
                numbers_in(part[label], claim.runs_along)
            numbers_in(part[label], self.side.column, None if self.side.is_mean else claim.runs_along)

    def number(self, claim: Claim, labels: Sequence[str], point: list[str]) -> float:
        """Return the number of the mean curve of some repetitions."""
        rows = [row for label in labels for row in self.rows[label]]
        if self.side.is_mean:
            return float(np.mean(numbers_in(rows, self.side.column)))
        references = [row for label in labels for row in self.references[label]]
        return core_of(claim, rows, references, self.side.column, point)


def effect_of(claim: Claim, sample: Sample, *, logarithmic: bool) -> Effect | None:
    """Return the mean over repetitions with its interval; of a core the number of all with the jackknife's."""
    values = np.array(list(sample.values.values()), dtype=np.float64)
    if claim.statistic == "core":
        if sample.whole is None:
            return None
        complete = not any(words.startswith("without ") for words in sample.left_out)
        middle, found = sample.whole, jackknife(sample.whole, values, bounds=EVERYWHERE) if complete else None
    elif not len(values):
        return None
    else:
        middle, found = float(np.mean(values)), mean_interval(values)
    if found and claim.statistic == "rank" and claim.minus is None and claim.over is None:
        found = max(found[0], -1.0), min(found[1], 1.0)  # no rank correlation lies beyond them
    low, high = found or (None, None)
    return Effect(
        value=unscaled(middle, logarithmic=logarithmic),
        low=None if low is None else unscaled(low, logarithmic=logarithmic),
        high=None if high is None else unscaled(high, logarithmic=logarithmic),
    )


def _log_ratio(first: float, second: float) -> float:
    if first <= 0 or second <= 0:
        raise NoNumber(f"{first:.4g} over {second:.4g} is no ratio of numbers above 0")
    return float(np.log2(first / second))


def unscaled(value: float, *, logarithmic: bool) -> float:
    """Return a number as it is read; it may have been averaged as a logarithm."""
    return float(2.0**value) if logarithmic else float(value)
