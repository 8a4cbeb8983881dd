"""The tables of a shrunk network, the same for the terminal and the page."""

from netcaliper.reading.numerals import MISSING, count, percent, plural, seconds, span
from netcaliper.reading.shrinking import PlanStep, ShrinkReading
from netcaliper.reading.shrinking_headline import metric_value, sizes
from netcaliper.report.layers_tables import Table
from netcaliper.stats.intervals import clopper_pearson

MOST_POINTS = 40
"""Rows of the table of the curve: evenly chosen ones where there are more, the chosen one among them."""


def sizes_table(reading: ShrinkReading) -> Table:
    """Lay out parameters, multiply-adds, memory and time, before and after."""
    rows = [
        (what, before_words, after_words, percent(after / before if before else None), MISSING)
        for what, before, after, before_words, after_words in sizes(reading.proof)
    ]
    time = reading.proof.latency
    if time is not None:
        call = "time of a call" if time.batch is None else f"time of {plural(time.batch, 'example')}"
        share = percent(time.ratio), span(time.low, time.high)
        rows.append((call, seconds(time.before), seconds(time.after), *share))
    return Table("sizes", "Before and after", ("what", "before", "after", "after of before", "95 %"), tuple(rows), 1)


def sites_table(reading: ShrinkReading) -> Table | None:
    """Lay out the units of every site before and after; ``None`` without sites."""
    rows = tuple(
        (
            site.name,
            count(site.after),
            count(site.before),
            percent(site.after / site.before if site.before else None),
            count(site.before - site.after),
        )
        for site in reading.plan.sites
    )
    heads = ("site", "stay", "of units", "share", "go")
    return Table("sites", "Units of every site", heads, rows, 1) if rows else None


def steps_table(reading: ShrinkReading) -> Table | None:
    """Lay out the steps in order with their gates; ``None`` without steps."""
    rows = tuple(
        (
            str(step.number),
            step.kind,
            where(step),
            step.status,
            amount(step),
            percent(step.gate.agreement if step.gate else None, digits=2),
            percent(step.gate.agreement_low if step.gate else None, digits=2),
            step.tier,
            MISSING if step.gate is None or step.gate.max_abs_difference is None
            else f"{step.gate.max_abs_difference:.2g}",
        )
        for step in reading.plan.steps
    )  # fmt: skip
    heads = ("#", "step", "where", "outcome", "goes", "agreement", "at least", "tier", "logits off by")
    return Table("steps", "Steps in order", heads, rows, 4) if rows else None


def where(step: PlanStep) -> str:
    """Write what a step acts on: its blocks, or its dimension."""
    return ", ".join(step.blocks) or step.dimension


def amount(step: PlanStep) -> str:
    """Write how much a step takes away, e.g. ``5 of 16``; an en dash where it is not units that go."""
    return f"{count(len(step.removed))} of {count(step.units_before)}" if step.removed else MISSING


def curve_table(reading: ShrinkReading) -> Table | None:
    """Lay out the trade-off on select examples, large networks first; ``None`` without a curve."""
    points = sorted(reading.plan.curve, key=lambda point: (-point.parameters, -point.macs))
    if not points:
        return None
    step = (len(points) - 1) / max(MOST_POINTS - 1, 1)
    shown = {round(k * step) for k in range(MOST_POINTS)} if len(points) > MOST_POINTS else set(range(len(points)))
    rows = tuple(
        (
            "chosen" if point.chosen else "",
            count(point.parameters),
            percent(point.agreement, digits=2),
            percent(point.agreement_low, digits=2),
            count(point.macs),
        )
        for place, point in enumerate(points)
        if place in shown or point.chosen
    )
    heads = ("", "parameters", "agreement", "at least", "multiply-adds")
    return Table("curve", "The trade-off, on select examples", heads, rows, 1)


def baselines_table(reading: ShrinkReading) -> Table | None:
    """Lay out this network and the baselines of its size, on verify examples; ``None`` without baselines."""
    proof = reading.proof
    if not proof.baselines:
        return None
    metric = proof.metric
    after = MISSING if metric is None else metric_value(metric, metric.after)
    rows = [("this network", percent(proof.agreement), percent(proof.agreement_low), after)]
    rows += [
        (
            f"{found.name}{', fitted again' if found.refitted else ''}",
            percent(found.agreement),
            percent(found.agreement_low),
            MISSING if metric is None else metric_value(metric, found.metric),
        )
        for found in proof.baselines
    ]
    heads = ("which units go", "agreement", "at least", "task" if metric is None else metric.name)
    used = 4 if any(row[3] != MISSING for row in rows) else 3
    cut = tuple(row[:used] for row in rows)
    return Table("baselines", "As many units, by another rule", heads[:used], cut, 1)


def classes_table(reading: ShrinkReading) -> Table | None:
    """Lay out agreement by class, the least first, with 95 % Clopper-Pearson intervals; ``None`` without classes."""
    found = sorted(
        reading.proof.per_class.items(), key=lambda item: item[1].agree / item[1].examples if item[1].examples else 2.0
    )
    rows = tuple(
        (
            f"class {name}" if name.isdigit() else name,
            percent(one.agree / one.examples if one.examples else None),
            span(*clopper_pearson(one.agree, one.examples)) if one.examples else MISSING,
            count(one.examples - one.agree),
            count(one.examples),
        )
        for name, one in found
    )
    heads = ("class", "agreement", "95 %", "differ", "verify examples")
    return Table("classes", "Agreement by the class that the given network answers", heads, rows, 1) if rows else None
