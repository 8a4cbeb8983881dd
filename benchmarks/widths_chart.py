"""Redundant and prunable shares over the width, trained and untrained side by side: one SVG."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import altair as alt
import vl_convert

from netcaliper.report.figures_export import CONFIG

COLORS = {"redundant": "#d55e00", "prunable": "#2a7fbf"}
"""Told apart by the color-blind, and in lightness as well."""


@dataclass(frozen=True)
class Point:
    """One share.

    Attributes:
        panel: title of its panel.
        x: width.
        measure: what it is a share of.
        kind: of the trained network or of its twin.
        share: value, low and high; the last two may be missing.
    """

    panel: str
    x: float
    measure: Literal["redundant", "prunable"]
    kind: Literal["trained", "twin"]
    share: Sequence[float | None]


def draw(points: Sequence[Point], path: Path, x: str = "width") -> None:
    """Write the chart of some shares, one panel each for the networks."""
    rows: list[dict[str, Any]] = []
    for point in points:
        value, low, high = point.share
        rows.append(
            asdict(point)
            | {"value": value, "low": value if low is None else low, "high": value if high is None else high}
        )
    across = alt.X(
        "x:Q", title=x, scale=alt.Scale(type="log", base=2), axis=alt.Axis(values=sorted({p.x for p in points}))
    )
    color = alt.Color(
        "measure:N",
        title=None,
        legend=alt.Legend(symbolOpacity=1),
        scale=alt.Scale(domain=list(COLORS), range=list(COLORS.values())),
    )
    dash = alt.StrokeDash("kind:N", title=None, scale=alt.Scale(domain=["trained", "twin"], range=[[1, 0], [4, 3]]))
    place = {"x": across, "color": color}
    y = alt.Y("value:Q", title="share of the units", scale=alt.Scale(domain=[0, 1]))
    lines = alt.Chart().mark_line().encode(y=y, strokeDash=dash, **place)
    dots = alt.Chart().mark_point(size=28, filled=True, opacity=1).encode(y=y, detail="kind:N", **place)
    bars = (
        alt.Chart()
        .mark_rule(opacity=0.4)
        .encode(y=alt.Y("low:Q", title="share of the units"), y2="high:Q", detail="kind:N", **place)
    )
    panels = alt.Facet("panel:N", title=None, sort=list(dict.fromkeys(p.panel for p in points)))
    chart = (
        alt.layer(bars, lines, dots, data=alt.Data(values=rows))
        .properties(width=190, height=200)
        .facet(panels, columns=3)
    )
    path.write_text(vl_convert.vegalite_to_svg(chart.to_json(), config=CONFIG), encoding="utf-8")
