"""Quality against how much of the network bends: every training of a linearization as a point."""

from dataclasses import dataclass
from typing import Any

import altair as alt

from netcaliper.reading.linearization import LinearizationRecord, Point
from netcaliper.reading.linearization_headline import quality
from netcaliper.reading.numerals import count, decimal, percent, plural
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, legend, near_or_all, switched_axis
from netcaliper.report.linearization_tables import (
    bending_share,
    bounds,
    in_percent,
    margin_words,
    omega_words,
)

AXES = {
    "length": ("path length", "normalized average path length"),
    "share": ("share of units", "share of the units that bend"),
    "calls": ("nonlinear calls", "nonlinear calls an example"),
}
"""What quality is drawn against: (on the switch, below the axis)."""

NEAR = 8.0
"""Without being asked for all, the chart shows what loses at most so many margins."""

BASELINE = {"strokeWidth": 1.2, "strokeDash": [5, 4], "opacity": 0.7}
LINES: dict[str, dict[str, Any]] = {
    "random": BASELINE, "one_shot": BASELINE, "layer": BASELINE, "learned": {"strokeWidth": 2.4},
}  # fmt: skip
"""Kinds of which a sweep makes several points, as lines."""


@dataclass(frozen=True)
class _Drawn:
    """One point of the chart.

    Attributes:
        point: the training.
        row: what the chart is given.
        low: the lower end of its interval.
    """

    point: Point
    row: dict[str, Any]
    low: float


def draw(record: LinearizationRecord, width: Width = 680) -> tuple[Figure, ...]:
    """Draw quality on verify examples against path length, with a switch to other measures of what bends.

    Args:
        record: the record.
        width: of the chart in pixels, or ``"container"``.

    Returns:
        ``linearization_curve``; nothing where no training has a quality.
    """
    drawn = [found for point in record.points if (found := _drawn(record, point))]
    core = next((found.row for found in drawn if record.core and found.point is record.points[record.core.point]), None)
    axes = [axis for axis in AXES if any(axis in row for row in ([core] if core else (found.row for found in drawn)))]
    if not axes:
        return ()
    height = 360
    names = [palette.POINTS[kind][0] for kind in palette.POINTS if any(found.point.kind == kind for found in drawn)]
    shown = [entry for entry in palette.POINTS.values() if entry[0] in names]
    across, title = switched_axis("across", {axis: AXES[axis] for axis in axes}, height)
    least, most = _range(record, drawn)
    everything = min(found.low for found in drawn)
    far = least is not None and everything < least
    bottom, how = near_or_all("the reference", everything if least is None else least, everything, most)
    whole = alt.Scale(domainMin=bottom, domainMax=most, zero=False, nice=False)
    y_axis = alt.Axis(format=".1~%" if in_percent(record) else ".4~r", tickCount=6)
    y = alt.Y("y:Q", title=f"{record.protocol.quality} on verify examples", scale=whole, axis=y_axis)
    labels = "across == 'share' ? format(datum.value, '.0~%') : format(datum.value, across == 'calls' ? '~s' : '~g')"
    x = alt.X(
        "x:Q",
        title=None,
        scale=alt.Scale(zero=True, nice=False, padding=12),
        axis=alt.Axis(grid=False, labelExpr=labels, tickCount=6),
    )
    base = (
        alt.Chart(alt.Data(values=[found.row for found in drawn]))
        .transform_calculate(x="datum[across]")
        .transform_filter("isValid(datum.x)")
    )
    key = legend(symbolType="circle", symbolOpacity=1, symbolStrokeWidth=0, labelLimit=320)
    scale = alt.Scale(domain=names, range=[color for _, color, _ in shown])
    color = alt.Color("whose:N", scale=scale, legend=key)
    shape = alt.Shape("whose:N", scale=alt.Scale(domain=names, range=[form for _, _, form in shown]), legend=key)
    tips = [
        alt.Tooltip(f"{field}:N", title=title)
        for field, title in (
            ("name", "training"), ("omega", "omega"), ("bend", "units that bend"), ("lengths", "path length"),
            ("nonlinear", "nonlinear calls"), ("quality", record.protocol.quality), ("select", "on select"),
            ("lost", "lost"), ("status", "status"),
        )
    ]  # fmt: skip
    ends = alt.Y("low:Q", scale=whole)
    layers = [
        *_reference(record, whole),
        *(
            base.transform_filter(f"datum.whose == '{palette.POINTS[kind][0]}'")
            .mark_line(clip=True, **LINES[kind])
            .encode(x=x, y=y, color=color)
            for kind in LINES
            if any(found.point.kind == kind for found in drawn)
        ),
        base.mark_rule(strokeWidth=2, opacity=0.4, clip=True).encode(x=x, y=ends, y2="high:Q", color=color),
        *_core(record, core, height, whole, x),
        base.mark_point(filled=True, opacity=1, size=75, clip=True).encode(
            x=x, y=y, color=color, shape=shape, tooltip=tips
        ),
        title,
    ]
    chart = alt.layer(*layers).properties(width=width, height=height)
    chart = chart.add_params(across, *how)
    return (Figure("linearization_curve", _heading(record), _caption(record, drawn, least if far else None), chart),)


def _drawn(record: LinearizationRecord, point: Point) -> _Drawn | None:
    """Lay a training out; ``None`` if it has no quality."""
    if point.verify is None:
        return None
    share = bending_share(record, point)
    value = point.verify.value
    low = value if point.verify.low is None else point.verify.low
    row: dict[str, Any] = {
        "whose": palette.POINTS[point.kind][0],
        "name": point.name,
        "omega": omega_words(point),
        "bend": f"{percent(share)} ({count(point.active)} of {count(point.units)})",
        "lengths": decimal(point.lengths.normalized),
        "nonlinear": count(point.calls),
        "quality": f"{quality(record, value)} ({bounds(record, point.verify)})",
        "select": quality(record, point.select.value if point.select else None),
        "lost": "–" if point.lost is None else _lost(point),
        "status": point.status if point.reason is None else f"{point.status}: {point.reason}",
        "y": round(value, 5),
        "low": round(low, 5),
        "high": round(value if point.verify.high is None else point.verify.high, 5),
    }
    for axis, number in (("length", point.lengths.normalized), ("share", share), ("calls", point.calls)):
        if number is not None:
            row[axis] = round(number, 5)
    return _Drawn(point, row, low)


def _lost(point: Point) -> str:
    assert point.lost is not None
    return f"{100 * point.lost.value:.1f} points, at most {100 * point.lost.high:.1f} (one-sided 95 %)"


def _range(record: LinearizationRecord, drawn: list[_Drawn]) -> tuple[float | None, float]:
    """Return the lowest and highest quality that are shown at first; the lowest is ``None`` without a margin."""
    most = max(found.row["high"] for found in drawn)
    reference = record.points[0].verify
    if record.core is None or reference is None:
        return None, most + 0.03 * (most - min(found.low for found in drawn))
    least = reference.value - NEAR * record.core.margin
    # No more room than there are points for; one margin lower, so that the lowest interval does not touch the axis.
    inside = [found.low for found in drawn if found.row["y"] >= least]
    least = min([reference.value - 2 * record.core.margin, *inside]) - 0.5 * record.core.margin
    return least, most + 0.08 * (most - least)


def _reference(record: LinearizationRecord, whole: alt.Scale) -> list[Any]:
    """Draw the unbent reference as a band, and the quality that is one margin lower."""
    reference = record.points[0].verify
    if reference is None:
        return []
    y = alt.Y("y:Q", scale=whole)
    layers: list[Any] = []
    if reference.low is not None and reference.high is not None:
        band = alt.Chart(alt.Data(values=[{"y": reference.low, "y2": reference.high}]))
        layers.append(band.mark_rect(color=palette.TWIN, opacity=0.16, clip=True, tooltip=None).encode(y=y, y2="y2:Q"))
    rule = alt.Chart(alt.Data(values=[{"y": reference.value}]))
    layers.append(rule.mark_rule(opacity=0.8, clip=True).encode(y=y))
    if record.core is not None:
        lower = alt.Chart(alt.Data(values=[{"y": reference.value - record.core.margin}]))
        layers.append(lower.mark_rule(strokeDash=[4, 4], opacity=0.8, clip=True).encode(y=y))
    return layers


def _core(
    record: LinearizationRecord,
    row: dict[str, Any] | None,
    height: int,
    whole: alt.Scale,
    x: alt.X,
) -> list[Any]:
    """Draw a ring around the point of the core network, and a rule where the margin is crossed."""
    core = record.core
    if core is None or row is None:
        return []
    ring = (
        alt.Chart(alt.Data(values=[row]))
        .transform_calculate(x="datum[across]")
        .mark_point(filled=False, size=330, strokeWidth=2, style="twin", tooltip=None, clip=True)
        .encode(x=x, y=alt.Y("y:Q", scale=whole))
    )
    here = record.points[core.point]
    there = None if core.next is None else record.points[core.next]
    crossing = {axis: row[axis] for axis in AXES if axis in row} | {"share": core.share}
    if core.path_length is not None:
        crossing["length"] = core.path_length
    if there is not None and here.calls is not None and there.calls is not None and here.share != there.share:
        part = (core.share - (here.share or 0)) / ((there.share or 0) - (here.share or 0))
        crossing["calls"] = here.calls + part * (there.calls - here.calls)
    where = alt.Chart(alt.Data(values=[crossing | {"words": "core"}])).transform_calculate(x="datum[across]")
    return [
        where.mark_rule(strokeDash=[2, 3], strokeWidth=1.4, opacity=0.9).encode(x=x),
        where.mark_text(align="left", dx=5, fontSize=12, fontWeight=600, tooltip=None).encode(
            x=x, y=alt.value(height - 10), text="words:N"
        ),
        ring,
    ]


def _heading(record: LinearizationRecord) -> str:
    return f"{record.protocol.quality[:1].upper()}{record.protocol.quality[1:]} against how much bends"


def _caption(record: LinearizationRecord, drawn: list[_Drawn], least: float | None) -> str:
    reference = record.points[0].verify
    said = ["Every point is one training, on verify examples that nothing was chosen on"]
    if reference is not None:
        said[0] += f"; bars: {reference.over}" if reference.over else ""
        said.append("Gray: the unbent reference, trained as long with every unit bending")
    core = record.core
    if core is not None:
        crossed = "no smaller one was tried"
        if core.next is not None:
            crossed = "dotted: where it would cross the margin there"
        said.append(
            f"Dashed: {margin_words(record, core)} lower. Ring: the core network, chosen on select examples; {crossed}"
        )
    if any(found.point.kind == "shallow" for found in drawn):
        said.append("The share of a smaller network is of the units of this one")
    missing = len(record.points) - len(drawn)
    if missing:
        said.append(f"{plural(missing, 'training')} without a quality: see the table")
    below = 0 if least is None else sum(found.row["y"] < least for found in drawn)
    if below:
        said.append(f"Below the chart until you show all: {plural(below, 'training')}")
    return ". ".join(said) + "."
