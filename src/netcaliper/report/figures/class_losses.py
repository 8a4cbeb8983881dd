"""Who loses: accuracy of every class at the core network beside the unbent reference."""

from typing import Any

import altair as alt

from netcaliper.reading.linearization import LinearizationRecord
from netcaliper.reading.numerals import percent, plural, points, span
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, height, legend, percent_axis
from netcaliper.report.linearization_tables import ClassLoss, class_losses

MOST_CLASSES = 30
REFERENCE, CORE = "unbent reference", "core network"
COLORS = ((REFERENCE, palette.TWIN), (CORE, palette.LINE))


def draw(record: LinearizationRecord, width: Width = 680) -> tuple[Figure, ...]:
    """Draw two accuracies a class, the class that loses most on top.

    Args:
        record: the record; the arrays ``class_accuracy`` of the reference and of the core's point are used, and
            ``class_examples`` for the intervals.
        width: of the chart in pixels, or ``"container"``.

    Returns:
        ``class_losses``; nothing without a core network or without classes.
    """
    found = class_losses(record)
    if not found:
        return ()
    shown = found[:MOST_CLASSES]
    names = [one.name for one in shown]
    rows = [_row(one, whose) for one in shown for whose in (REFERENCE, CORE)]
    least = min(row["low"] for row in rows)
    scale = alt.Scale(domain=[0 if least < 0.3 else round(least - 0.05, 1), 1], nice=False)
    x = alt.X("y:Q", title="accuracy on verify examples", scale=scale, axis=percent_axis())
    offset = alt.YOffset("whose:N", scale=alt.Scale(domain=[REFERENCE, CORE], paddingOuter=0.5))
    y = alt.Y(
        "class:N",
        sort=None,
        scale=alt.Scale(domain=names, paddingInner=0.22, paddingOuter=0.1),
        axis=alt.Axis(title=None, ticks=False, domain=False, labelPadding=6, grid=True),
    )
    color = alt.Color(
        "whose:N",
        scale=alt.Scale(domain=[label for label, _ in COLORS], range=[shade for _, shade in COLORS]),
        legend=legend(symbolType="circle", symbolOpacity=1),
    )
    base = alt.Chart(alt.Data(values=rows)).encode(y=y, yOffset=offset, color=color)
    tips = [
        alt.Tooltip("class:N"),
        alt.Tooltip("whose:N", title="network"),
        alt.Tooltip("words:N", title="accuracy"),
        alt.Tooltip("change:N", title="change"),
    ]
    chart = alt.layer(
        base.mark_rule(strokeWidth=2.5, opacity=0.45).encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
        base.mark_circle(size=64, opacity=1).encode(x=x, tooltip=tips),
    ).properties(width=width, height=max(round(1.35 * height(len(names))), 70))
    return (Figure("class_losses", "Who loses", _caption(found), chart),)


def _row(one: ClassLoss, whose: str) -> dict[str, Any]:
    value, bounds = (one.before, one.bounds_before) if whose == REFERENCE else (one.after, one.bounds_after)
    low, high = bounds or (value, value)
    number = "" if one.examples is None else f", {plural(one.examples, 'example')}"
    sure = "" if bounds is None else f" ({span(low, high)}{number})"
    return {
        "class": one.name,
        "whose": whose,
        "y": round(value, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "words": f"{percent(value)}{sure}",
        "change": f"{points(one.after - one.before)} points",
    }


def _caption(found: list[ClassLoss]) -> str:
    """Say how the loss spreads over the classes."""
    worst = found[0]
    losing = sum(one.lost > 0 for one in found)
    said = (
        f"Accuracy of each class, the one that loses most on top: {worst.name}, "
        f"{points(worst.after - worst.before)} points. {losing} of {len(found)} lose."
    )
    if worst.bounds_before is None:
        said += " No intervals: the record does not say how many examples a class has."
    else:
        said += (
            " Bars: 95 % Clopper-Pearson over the examples of the class. The largest of many differences is large by "
            "chance alone: look at the bars before naming a loser."
        )
    if len(found) > MOST_CLASSES:
        said += f" The first {MOST_CLASSES} are drawn."
    return said
