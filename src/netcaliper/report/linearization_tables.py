"""The tables of a linearization, the same for the terminal and the page, and what they are made of."""

import math
from dataclasses import dataclass

import numpy as np

from netcaliper.reading.linearization import Core, LinearizationRecord, Point, Quality
from netcaliper.reading.linearization_headline import quality
from netcaliper.reading.numerals import MISSING, count, decimal, percent, points, span
from netcaliper.report.layers_tables import Table
from netcaliper.stats.intervals import clopper_pearson

MOST_EPOCHS = 8
"""Columns of the table of epochs."""


def in_percent(record: LinearizationRecord) -> bool:
    """Tell whether the quality is a share of right answers."""
    return record.protocol.quality == "accuracy"


def margin_words(record: LinearizationRecord, core: Core) -> str:
    """Write what the core network may lose, e.g. ``1 point``."""
    if not in_percent(record):
        return f"{core.margin:g}"
    return "1 point" if core.margin == 0.01 else f"{100 * core.margin:g} points"


def bounds(record: LinearizationRecord, found: Quality | None) -> str:
    """Write the interval of a quality, e.g. ``90.1 to 91.3 %``; an en dash where there is none."""
    if found is None or found.low is None or found.high is None:
        return MISSING
    return span(found.low, found.high) if in_percent(record) else f"{found.low:.4g} to {found.high:.4g}"


def bending_share(record: LinearizationRecord, point: Point) -> float | None:
    """Return the bending units of a point as a share of the units of the network that was made linear.

    A smaller network, all of whose units bend, is so measured by the same rod.
    """
    units = record.points[0].units
    return None if point.active is None or not units else point.active / units


def points_table(record: LinearizationRecord) -> Table:
    """Lay out the trainings, failed ones included, in the order of the record, without columns that no one has."""
    heads = (
        "training", "bend", record.protocol.quality, "path length", "95 %", "status", "of units", "lost",
        "lost at most", "same answers", "nonlinear calls", "width", "layers", "on select", "epochs", "parameters",
    )  # fmt: skip
    core = None if record.core is None else record.core.point
    rows = tuple(
        (
            f"{point.name} (core)" if place == core else point.name,
            percent(bending_share(record, point)),
            quality(record, point.verify.value if point.verify else None),
            decimal(point.lengths.normalized),
            bounds(record, point.verify),
            point.status,
            MISSING if point.active is None else f"{count(point.active)} of {count(point.units)}",
            MISSING if point.lost is None else f"{100 * point.lost.value:.1f}",
            MISSING if point.lost is None else f"{100 * point.lost.high:.1f}",
            percent(point.agreement),
            count(point.calls),
            MISSING if point.effective_width is None else f"{point.effective_width:.1f}",
            MISSING if point.effective_layers is None else f"{point.effective_layers:.1f}",
            quality(record, point.select.value if point.select else None),
            count(point.epochs),
            count(point.parameters),
        )
        for place, point in enumerate(record.points)
    )
    there = [place for place, column in enumerate(zip(*rows, strict=True)) if place == 0 or set(column) != {MISSING}]
    cut = tuple(tuple(row[place] for place in there) for row in rows)
    return Table("points", "Every training", tuple(heads[place] for place in there), cut, 1)


def failures(record: LinearizationRecord) -> list[str]:
    """Say what became of every training that is not as it should be, and what it warns of."""
    found = []
    for point in record.points:
        if point.status != "ok":
            found.append(f"{point.name}: {point.status}{f', {point.reason}' if point.reason else ''}")
        found += [f"{point.name}: {warning}" for warning in point.warnings]
    return found


def sites_table(record: LinearizationRecord) -> Table | None:
    """Lay out the sites at the core network; ``None`` where there is none."""
    counts = core_counts(record)
    if counts is None:
        return None
    rows = tuple(
        (
            site.name,
            count(active),
            count(site.units),
            percent(active / site.units if site.units else None),
            count(None if site.positions is None else active * site.positions),
            count(None if site.positions is None else site.units * site.positions),
            site.op,
        )
        for site, active in zip(record.sites, counts, strict=True)
    )
    heads = ("site", "bend", "of units", "share", "nonlinear calls", "of calls", "activation")
    return Table("sites", "Units that bend at the core, by site", heads, rows, 1)


def core_counts(record: LinearizationRecord) -> list[int] | None:
    """Count by site the units that bend at the core network; ``None`` where there is none."""
    if record.core is None:
        return None
    found = [record.of_site(record.core.point, "active", place) for place in range(len(record.sites))]
    return [int(np.sum(active)) for active in found if active is not None] or None


def path_lengths(record: LinearizationRecord) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the chance of 0, 1, 2, ... bending units on a walk, of the reference and of the core, if it is known."""
    if record.core is None:
        return None
    before, after = (record.array(place, "histogram") for place in (0, record.core.point))
    if before is None or after is None or not (before > 0).any() or not (after > 0).any():
        return None
    return before, after


def lengths_table(record: LinearizationRecord) -> Table | None:
    """Lay out the path lengths before and at the core; ``None`` if they are unknown."""
    chances = path_lengths(record)
    if chances is None:
        return None
    longest = max(map(len, chances))
    before, after = (np.pad(values, (0, longest - len(values))) for values in chances)
    rows = tuple(
        (count(length), percent(float(before[length])), percent(float(after[length]))) for length in range(longest)
    )
    return Table("lengths", "Chance of every path length", ("bending units", "reference", "core"), rows, 1)


@dataclass(frozen=True)
class ClassLoss:
    """One class at the core network and at the unbent reference, on verify examples.

    Attributes:
        name: of the class.
        before, after: accuracy of the reference and of the core.
        examples: of the class; ``None`` if the record does not say.
        bounds_before, bounds_after: Clopper-Pearson 95 %, ``None`` without ``examples``.
    """

    name: str
    before: float
    after: float
    examples: int | None
    bounds_before: tuple[float, float] | None
    bounds_after: tuple[float, float] | None

    @property
    def lost(self) -> float:
        """Accuracy of the reference minus that of the core."""
        return self.before - self.after


def class_losses(record: LinearizationRecord) -> list[ClassLoss]:
    """Compare the classes at the core network with the unbent reference, those that lose most first."""
    before, after = (
        None if record.core is None else record.array(place, "class_accuracy")
        for place in (0, 0 if record.core is None else record.core.point)
    )
    if before is None or after is None:
        return []
    examples = record.array(0, "class_examples")
    found = []
    for place in np.flatnonzero(np.isfinite(before) & np.isfinite(after)):
        number = None if examples is None else int(examples[place])
        rates = float(before[place]), float(after[place])
        sure = [None if number is None else clopper_pearson(round(rate * number), number) for rate in rates]
        found.append(ClassLoss(f"class {place}", *rates, number, *sure))
    return sorted(found, key=lambda one: -one.lost)


def classes_table(record: LinearizationRecord) -> Table | None:
    """Lay out the classes, those that lose most first; ``None`` where there are none."""
    rows = tuple(
        (
            one.name,
            points(one.after - one.before),
            percent(one.before),
            MISSING if one.bounds_before is None else span(*one.bounds_before),
            percent(one.after),
            MISSING if one.bounds_after is None else span(*one.bounds_after),
            count(one.examples),
        )
        for one in class_losses(record)
    )
    heads = ("class", "change in points", "reference", "95 %", "core", "95 %", "verify examples")
    return Table("classes", "Accuracy of every class", heads, rows, 1) if rows else None


def bent_over_epochs(record: LinearizationRecord) -> list[tuple[Point, np.ndarray]]:
    """Return the trainings in which units became linear, each with its share of bending units after every epoch."""
    found = []
    for place, point in enumerate(record.points):
        curve = record.array(place, "curve")
        if point.penalized and curve is not None and len(curve) and not np.isnan(curve).all():
            found.append((point, curve))
    return found


def epochs_table(record: LinearizationRecord) -> Table | None:
    """Lay out the share of bending units over some epochs of every training; ``None`` where there is none."""
    curves = bent_over_epochs(record)
    if not curves:
        return None
    longest = max(len(curve) for _, curve in curves)
    shown = np.unique(np.linspace(0, longest - 1, min(longest, MOST_EPOCHS)).round().astype(int)).tolist()
    rows = tuple(
        (point.name, *(percent(float(curve[at])) if at < len(curve) else MISSING for at in shown))
        for point, curve in curves
    )
    heads = ("training", *(f"epoch {at + 1}" for at in shown))
    return Table("epochs", "Share of units that bend, after some epochs", heads, rows, 1)


def omega_words(point: Point) -> str:
    """Write the strength of a penalty, e.g. ``0.003``; an en dash where there was none."""
    return MISSING if point.omega is None or math.isnan(point.omega) else f"{point.omega:.3g}"
