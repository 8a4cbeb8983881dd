"""What a figure is: an Altair chart with a name, a title and the words to read it by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import altair as alt

from netcaliper.reading.reading import Reading
from netcaliper.report import palette

Width = int | Literal["container"]

MANY_SITES = 60

BELOW_AXIS = 38
"""Pixels from an axis down to a title that is drawn by hand."""


@dataclass(frozen=True)
class Figure:
    """One chart made from a reading.

    Attributes:
        name: file stem, e.g. ``partition``.
        title: what is drawn, as a phrase.
        caption: how to read it, in a sentence or two.
        chart: an Altair chart without any outside reference; the data are inside.
        data: large data that the chart names, apart, because Altair looks at every number several times.
    """

    name: str
    title: str
    caption: str
    chart: Any
    data: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)

    def spec(self) -> dict[str, Any]:
        """Return the Vega-Lite specification as plain data."""
        with alt.data_transformers.enable("default", max_rows=None):
            spec = self.chart.to_dict()
        spec.pop("config", None)
        return spec | ({"datasets": dict(self.data)} if self.data else {})


def site_axis(names: list[str], *, title: str | None = None) -> alt.Y:
    """Lay sites out from top to bottom in graph order; labels give way where there is no room for all of them."""
    axis = alt.Axis(
        title=title,
        ticks=False,
        domain=False,
        labelOverlap="greedy" if len(names) > MANY_SITES else False,
        labelPadding=6,
        grid=False,
    )
    return alt.Y("site:N", sort=None, scale=alt.Scale(domain=names, paddingInner=0.22, paddingOuter=0.1), axis=axis)


def height(sites: int) -> int:
    """Return the height in pixels of a chart with one row a site: roomy for few, dense for many."""
    step = 24 if sites <= 16 else 18 if sites <= 40 else 12 if sites <= 100 else 7 if sites <= 300 else 4
    return max(step * sites, 48)


def percent_axis() -> alt.Axis:
    """Return an axis of shares from 0 to 100 %."""
    return alt.Axis(format="%", tickCount=5, labelSeparation=8)


def legend(title: str | None = None, **more: Any) -> alt.Legend:
    """Put the legend above the chart, in columns that a phone can hold."""
    return alt.Legend(**{"title": title, "orient": "top", "symbolType": "square", "symbolSize": 90} | more)


def switched_axis(name: str, axes: Mapping[str, tuple[str, str]], height: int) -> tuple[alt.Parameter, Any]:
    """Let the reader choose what is drawn across.

    Args:
        name: of the parameter; its value is a key of ``axes``, the first one at the start.
        axes: by key (on the switch, below the axis). With one there is no switch.
        height: of the chart in pixels.

    Returns:
        The parameter, and a layer with the title below the axis: it changes with the switch, which an axis cannot do.
    """
    keys = list(axes)
    switch = alt.binding_radio(options=keys, labels=[axes[key][0] for key in keys], name="against ")
    words = "".join(f"{name} == '{key}' ? '{axes[key][1]}' : " for key in keys) + "''"
    title = (
        alt.Chart(alt.Data(values=[{}]))
        .transform_calculate(words=words)
        .mark_text(fontSize=12, tooltip=None)
        .encode(x=alt.value(alt.ExprRef("width / 2")), y=alt.value(height + BELOW_AXIS), text="words:N")
    )
    return alt.param(name=name, value=keys[0], bind=switch if len(keys) > 1 else alt.Undefined), title


def near_or_all(what: str, least: float, everything: float, most: float) -> tuple[Any, tuple[alt.Parameter, ...]]:
    """Let the reader choose between what lies near something and all of it.

    Args:
        what: it lies near to, in words.
        least: lowest value that is shown at first.
        everything: lowest value of all.
        most: highest value.

    Returns:
        The lower end of the scale, and the parameter; none where nothing lies below ``least``.
    """
    if everything >= least:
        return least, ()
    bind = alt.binding_radio(options=["near", "all"], labels=[f"near {what}", "all"], name="show ")
    bottom = alt.ExprRef(f"range == 'all' ? {everything - 0.03 * (most - everything)} : {least}")
    return bottom, (alt.param(name="range", value="near", bind=bind),)


def hover(name: str) -> alt.Parameter:
    """Return the site under the pointer; none when it is nowhere."""
    return alt.selection_point(name=f"hover_{name}", on="pointerover", clear="pointerout", fields=["site"], empty=False)


def depth_color(sites: int) -> alt.Color:
    """Color lines by the field ``place`` of their site in a graph of so many, with the gradient above."""
    ends = [1, max(sites, 2)]
    return alt.Color(
        "place:Q",
        scale=alt.Scale(domain=ends, range=list(palette.DEPTH), interpolate="lab"),
        legend=alt.Legend(
            title="place in the graph",
            orient="top",
            direction="horizontal",
            gradientLength=140,
            gradientThickness=8,
            values=ends,
            titleOrient="left",
            format="d",
        ),
    )


def classes_color(field: str, shown: Sequence[tuple[str, str]]) -> alt.Color:
    """Color classes by (label, color), in this order, with the legend above."""
    domain, colors = [label for label, _ in shown], [color for _, color in shown]
    return alt.Color(field, scale=alt.Scale(domain=domain, range=colors), legend=legend())


def distinct(reading: Reading) -> list[str]:
    """Return the site names in graph order."""
    return [site.name for site in reading.sites]
