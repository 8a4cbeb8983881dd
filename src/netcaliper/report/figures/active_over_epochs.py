"""The share of units that bend, epoch by epoch, in every training with a penalty."""

import math
from typing import Any

import altair as alt
import numpy as np

from netcaliper.reading.linearization import LinearizationRecord
from netcaliper.reading.numerals import percent
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, percent_axis
from netcaliper.report.linearization_tables import bent_over_epochs, omega_words

WHOLE = alt.Scale(domain=[0, 1])


def draw(record: LinearizationRecord, width: Width = 680) -> tuple[Figure, ...]:
    """Draw one line a training.

    Args:
        record: the record; the arrays ``curve`` are used.
        width: of the chart in pixels, or ``"container"``.

    Returns:
        ``active_over_epochs``; nothing where no training had a penalty.
    """
    curves = bent_over_epochs(record)
    if not curves:
        return ()
    rows: list[dict[str, Any]] = []
    for point, curve in curves:
        rows += [
            {
                "x": 0 if at < 0 else at + 1,
                "y": 1.0 if at < 0 else round(float(curve[at]), 4),
                "name": point.name,
                "kind": palette.POINTS[point.kind][0],
                **({"power": round(math.log10(point.omega), 4)} if point.omega else {}),
                "strength": omega_words(point),
                "words": percent(1.0 if at < 0 else float(curve[at])),
            }
            for at in range(-1, len(curve))
            if at < 0 or np.isfinite(curve[at])
        ]
    kinds = [entry[0] for kind, entry in palette.POINTS.items() if any(point.kind == kind for point, _ in curves)]
    dashes = [[1, 0], [5, 4], [2, 3]][: len(kinds)]
    lines = alt.Legend(title=None, orient="top", symbolType="stroke", symbolSize=500, symbolStrokeWidth=2)
    dash = alt.StrokeDash(
        "kind:N", scale=alt.Scale(domain=kinds, range=dashes), legend=lines if len(kinds) > 1 else None
    )
    longest = max(len(curve) for _, curve in curves)
    x = alt.X(
        "x:Q",
        title="epoch",
        scale=alt.Scale(domain=[0, longest], nice=False),
        axis=alt.Axis(grid=False, tickMinStep=1, format="d"),
    )
    y = alt.Y("y:Q", title="units that bend", scale=WHOLE, axis=percent_axis())
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, y=y)
    tips = [
        alt.Tooltip("name:N", title="training"),
        alt.Tooltip("strength:N", title="omega"),
        alt.Tooltip("x:Q", title="epoch", format="d"),
        alt.Tooltip("words:N", title="units that bend"),
    ]
    layers = _end_of_penalty(record, longest)
    for kind in kinds:
        one = base.transform_filter(f"datum.kind == '{kind}'")
        layers += [
            one.mark_line(strokeWidth=1.8).encode(
                detail="name:N", color=_color(record, kind, explained=True), strokeDash=dash
            ),
            # Two legends, one of them empty: merged with that of dots, a gradient would become two dots.
            one.mark_circle(size=float(np.clip(500 / longest, 8, 34)), opacity=1).encode(
                color=_color(record, kind, explained=False), tooltip=tips
            ),
        ]
    caption = (
        "Units become linear one after the other and stay so. Every line starts with all units bending, and what "
        "bends at the end is what the training kept."
    )
    if 0 < record.protocol.penalized < longest:
        caption += (
            " Dashed: the penalty ends there and the alphas are frozen; from then on only the weights are trained."
        )
    chart = alt.layer(*layers).resolve_legend(color="independent").properties(width=width, height=280)
    return (Figure("active_over_epochs", "Units that bend, over the epochs", caption, chart),)


def _color(record: LinearizationRecord, kind: str, *, explained: bool) -> Any:
    """Color learned points by the strength of their penalty, with a legend or without; whole layers are gray.

    The penalties of whole layers lie far above those of channels: on one scale, these would all look the same.
    """
    if kind != palette.POINTS["learned"][0]:
        return alt.value(palette.TWIN)
    curves = bent_over_epochs(record)
    powers = sorted({math.log10(point.omega) for point, _ in curves if point.kind == "learned" and point.omega})
    if len(powers) < 2:
        return alt.value(palette.LINE)
    ends = [round(powers[0], 4), round(powers[-1], 4)]
    gradient = alt.Legend(
        title="omega", orient="top", direction="horizontal", gradientLength=140, gradientThickness=8, values=ends,
        titleOrient="left", labelExpr="format(pow(10, datum.value), '.2~g')",
    )  # fmt: skip
    scale = alt.Scale(domain=ends, range=list(palette.DEPTH), interpolate="lab")
    return alt.Color("power:Q", scale=scale, legend=gradient if explained else None)


def _end_of_penalty(record: LinearizationRecord, longest: int) -> list[Any]:
    if not 0 < record.protocol.penalized < longest:
        return []
    rule = alt.Chart(alt.Data(values=[{"x": record.protocol.penalized}]))
    return [rule.mark_rule(strokeDash=[4, 4], opacity=0.8).encode(x="x:Q")]
