"""Claims in words: what is read, the threshold, what the number is and what its interval."""

from collections.abc import Mapping
from typing import Any

from netcaliper.reading.study import Effect
from netcaliper.stats.repetitions import BOOTSTRAP_FROM
from netcaliper.study.claims.claim_schema import Claim
from netcaliper.study.claims.selection import condition
from netcaliper.study.claims.statistics import DROP


def threshold_words(claim: Claim) -> str:
    """Write the threshold, e.g. ``above 2``."""
    if claim.within is not None:
        return f"within {claim.within[0]:g} to {claim.within[1]:g}"
    return f"above {claim.above:g}" if claim.above is not None else f"below {claim.below:g}"


def reads(claim: Claim) -> str:
    """Say what a claim reads: the statistic, the columns, and the conditions on rows."""
    along = claim.runs_along
    what = {
        "mean": f"mean of {claim.column}",
        "growth": f"growth of {claim.column} a doubling of {along}",
        "slope": f"slope of {claim.column} a doubling of {along}",
        "rank": f"rank correlation of {claim.column} with {along}",
        "gap": f"{claim.column} at equal {along}",
        "core": f"smallest {along} within {claim.drop or DROP:g} of the reference's {claim.column}",
        "flat": f"largest minus smallest {claim.column} along {along}",
        "reported": f"{claim.column} as reported",
    }[claim.statistic]
    where = f", where {_conditions(claim.where)}" if claim.where else ""
    change = claim.change
    if change is None:
        return what + where
    parts = ([change.column] if change.column else []) + ([_conditions(change.where)] if change.where else [])
    sign, which = "over" if claim.logarithmic else "minus", "the mean" if change.statistic else "that"
    return f"{what}{where}; {sign} {which} of {', '.join(parts)}"


def _conditions(where: Mapping[str, Any]) -> str:
    return " and ".join(condition(column, wanted) for column, wanted in where.items())


def unit_words(claim: Claim) -> str:
    """Say what the number is, e.g. ``g``; empty where it is in terms of the column."""
    if claim.statistic == "growth":
        return "g" if claim.change is None else "ratio of g"
    if claim.over is not None:
        return "ratio"
    if claim.statistic == "slope":
        return f"a doubling of {claim.along}"
    return "rho" if claim.statistic == "rank" else ""


def interval_words(claim: Claim, count: int) -> str:
    """Say what the interval of so many repetitions is."""
    over = f"over {count} {claim.per}s" if count != 1 else f"over 1 {claim.per}"
    if claim.statistic == "core":
        return f"95 % delete-one jackknife with Student's t {over}"
    return f"95 % {'t interval' if count < BOOTSTRAP_FROM else 'bootstrap (expanded percentiles)'} {over}"


def span_words(effect: Effect) -> str:
    """Write an interval, e.g. ``1.2 to 1.9``."""
    return f"{effect.low:.3g} to {effect.high:.3g}"
