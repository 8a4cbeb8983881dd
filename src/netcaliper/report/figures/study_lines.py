"""Lines of a study: means over repetitions with their intervals, one panel for each value of a column."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from netcaliper.reading.numerals import plural
from netcaliper.reading.study import Plain, Point, StudyFigure
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, legend

TRAINED, UNTRAINED = "trained", "untrained twin"
DENSE = 12
"""From so many places on the dots are small."""
MOST_TICKS = 9


def draw(figure: StudyFigure, width: Width = 680) -> tuple[Figure, ...]:
    """Draw the points of a figure of lines, or of a profile over the sites.

    Args:
        figure: of kind ``lines`` or ``profile``.
        width: of a chart in pixels, or ``"container"``.

    Returns:
        One chart a panel, all with one scale; nothing without points.
    """
    panels = list(dict.fromkeys(point.panel for point in figure.points))
    several = len(panels) > 1
    found = []
    for number, panel in enumerate(panels):
        own = [point for point in figure.points if point.panel == panel]
        title = f"{figure.panel} = {words(panel)}" if several else figure.title
        name = f"{figure.name}-{number}" if several else figure.name
        found.append(Figure(name, title, _caption(figure, own, several=several), _chart(figure, own, width)))
    return tuple(found)


def words(value: Plain) -> str:
    """Write a value of a column; a whole number without its decimals."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def repetitions(points: Sequence[Point]) -> str:
    """Say how many repetitions a point is made of."""
    counts = sorted({point.repetitions for point in points})
    if not counts:
        return "no point"
    return f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"


def _caption(figure: StudyFigure, points: Sequence[Point], *, several: bool) -> str:
    parts = [] if several else [figure.caption.rstrip(".") + "." if figure.caption else ""]
    intervals = any(point.low is not None for point in points)
    parts.append(f"Mean{' and 95 % interval' if intervals else ''} over repetitions, {repetitions(points)}.")
    parts.append("Dashed: the untrained twin." if any(point.twin for point in points) else "")
    return " ".join(part for part in parts if part)


def _chart(figure: StudyFigure, points: Sequence[Point], width: Width) -> Any:
    every = figure.points
    labels = [words(color) for color in dict.fromkeys(point.color for point in every)]
    twins = any(point.twin for point in every)
    rows = [
        {
            "x": point.x,
            "y": _short(point.y),
            **({"color": words(point.color)} if figure.color else {}),
            "who": UNTRAINED if point.twin else TRAINED,
            "n": point.repetitions,
            **_interval(point, log="y" in figure.log),
        }
        for point in points
    ]
    numeric = all(isinstance(point.x, int | float) for point in every)
    y_scale: dict[str, Any] = {"type": "log", "base": 2} if "y" in figure.log else {"zero": False}
    ends = [row for point in every for row in (point.y, point.low, point.high) if row is not None]
    ends = [end for end in ends if end > 0] if "y" in figure.log else ends
    y_scale |= {"domain": [min(ends), max(ends)], "nice": True} if ends and min(ends) < max(ends) else {}
    x = _x(figure, every, numeric=numeric)
    y = alt.Y("y:Q", title=figure.y, scale=alt.Scale(**y_scale), axis=alt.Axis(tickCount=6, format=",.4~r"))
    color = _color(figure, labels if figure.color else [TRAINED, UNTRAINED] if twins else [TRAINED])
    dash = alt.StrokeDash(
        "who:N",
        scale=alt.Scale(domain=[TRAINED, UNTRAINED], range=[[1, 0], [5, 4]]),
        legend=_key(figure) if twins and not figure.color else None,
    )
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, color=color)
    tips = [
        *([alt.Tooltip("color:N", title=figure.color)] if figure.color else []),
        *([alt.Tooltip("who:N", title="network")] if twins else []),
        alt.Tooltip("x:Q", title=figure.x, format=".4~g") if numeric else alt.Tooltip("x:N", title=figure.x),
        alt.Tooltip("y:Q", title=figure.y, format=".4~g"),
        alt.Tooltip("low:Q", title="95 % from", format=".4~g"),
        alt.Tooltip("high:Q", title="to", format=".4~g"),
        alt.Tooltip("n:Q", title="repetitions"),
    ]
    low, high = alt.Y("low:Q", scale=alt.Scale(**y_scale)), "high:Q"
    dense = len({point.x for point in points}) > DENSE
    spread = base.transform_filter("isValid(datum.low)")
    # Bands: bars of several lines at one place would hide each other.
    several = len({point.x for point in points}) > 1
    whole = spread.mark_area(opacity=0.13) if several else spread.mark_rule(strokeWidth=2, opacity=0.35)
    return alt.layer(
        whole.encode(y=low, y2=high, detail="who:N"),
        base.mark_line(strokeWidth=1.8).encode(y=y, strokeDash=dash),
        base.mark_circle(size=18 if dense else 42, opacity=1).encode(y=y, tooltip=tips),
    ).properties(width=width, height=300)


def _x(figure: StudyFigure, points: Sequence[Point], *, numeric: bool) -> alt.X:
    if not numeric:
        names = list(dict.fromkeys(words(point.x) for point in points))
        axis = alt.Axis(labelAngle=-40, labelOverlap="greedy", labelLimit=110, grid=False, ticks=False)
        return alt.X("x:N", title=figure.x, sort=None, scale=alt.Scale(domain=names), axis=axis)
    places = sorted({float(point.x) for point in points})
    if "x" in figure.log and places and places[0] > 0:
        ticks: dict[str, Any] = {"values": places} if len(places) <= MOST_TICKS else {}
        return alt.X(
            "x:Q",
            title=figure.x,
            scale=alt.Scale(type="log", base=2, nice=False, padding=14),
            axis=alt.Axis(grid=False, format=".4~g", **ticks),
        )
    scale = alt.Scale(zero=False, nice=False, padding=14)
    return alt.X("x:Q", title=figure.x, scale=scale, axis=alt.Axis(grid=False, format=".4~g", tickCount=6))


def _color(figure: StudyFigure, labels: Sequence[str]) -> alt.Color:
    """Color by the values of a column: along the gradient where they are numbers, else as different as can be."""
    if not figure.color:
        colors = [palette.LINE, palette.TWIN][: len(labels)]
    elif all(isinstance(point.color, int | float) and not isinstance(point.color, bool) for point in figure.points):
        colors = [between(palette.DEPTH, k / max(len(labels) - 1, 1)) for k in range(len(labels))]
    else:
        colors = [palette.NETWORKS[k % len(palette.NETWORKS)] for k in range(len(labels))]
    return alt.Color(
        "color:N" if figure.color else "who:N",
        scale=alt.Scale(domain=list(labels), range=colors),
        legend=_key(figure) if len(labels) > 1 else None,
    )


def _key(figure: StudyFigure) -> alt.Legend:
    return legend(figure.color or None, symbolType="stroke", symbolSize=500, symbolStrokeWidth=2.5, symbolOpacity=1)


def between(stops: Sequence[str], place: float) -> str:
    """Return the color at a place from 0 to 1 along stops that are equally far apart."""
    at = place * (len(stops) - 1)
    left = min(int(at), len(stops) - 2)
    first, second = ([int(stop[k : k + 2], 16) for k in (1, 3, 5)] for stop in (stops[left], stops[left + 1]))
    return "#" + "".join(f"{round(a + (b - a) * (at - left)):02x}" for a, b in zip(first, second, strict=True))


def _interval(point: Point, *, log: bool) -> dict[str, Any]:
    """Return the ends of the interval; on a logarithmic axis only of one that lies above 0."""
    if point.low is None or point.high is None or (log and point.low <= 0):
        return {}
    return {"low": _short(point.low), "high": _short(point.high)}


def _short(value: float) -> float:
    """Round to six digits: a chart shows no more, and the page stays small."""
    return float(f"{value:.6g}")


def summary(figure: StudyFigure) -> str:
    """Say what a figure is made of: cells, and those that are missing."""
    text = plural(figure.cells, "cell")
    text += f", {figure.cells_failed} failed" if figure.cells_failed else ""
    return text + (f", {figure.cells_missing} not computed yet" if figure.cells_missing else "")
