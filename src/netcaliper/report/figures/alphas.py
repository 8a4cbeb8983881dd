"""Alpha of every unit at the core network: site by channel, dark where a unit is linear, bright where it bends."""

from itertools import pairwise
from typing import Any

import altair as alt
import numpy as np
from jaxtyping import Float, Int

from netcaliper.reading.linearization import LinearizationRecord
from netcaliper.reading.numerals import plural
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, height, site_axis
from netcaliper.report.figures.matrix import CANVAS, edges

MOST_CELLS = 96
"""Cells of one site at most: a phone has no more pixels to tell apart."""


def draw(record: LinearizationRecord, width: Width = 680) -> tuple[Figure, ...]:
    """Draw alpha by site and channel, with a switch that sorts the channels of every site.

    Args:
        record: the record; the arrays ``alphas`` and ``active`` of the core's point are used.
        width: of the chart in pixels, or ``"container"``.

    Returns:
        ``alphas``; nothing without a core network.
    """
    core = record.core
    if core is None or record.array(core.point, "alphas") is None:
        return ()
    rows, names = [], []
    for place, site in enumerate(record.sites):
        alphas, active = (record.of_site(core.point, name, place) for name in ("alphas", "active"))
        if alphas is None or active is None or not site.units:
            continue
        names.append(site.name)
        at = edges(site.units, MOST_CELLS)
        ranked = np.lexsort((alphas, ~active))  # those that bend first, the most bent of them at the very left
        rows.append(
            {"site": site.name, "n": len(at) - 1, "at": at.tolist(), "units": site.units}
            | _cells("v", "a", alphas, active, at)
            | _cells("vs", "as", alphas[ranked], active[ranked], at)
        )
    if not rows:
        return ()
    order = alt.param(
        name="order",
        value="graph",
        bind=alt.binding_radio(
            options=["graph", "sorted"], labels=["as in the network", "bending first"], name="channels of a site "
        ),
    )
    span = (
        "(datum.at[datum.i] + 1) + (datum.at[datum.i + 1] - datum.at[datum.i] > 1 ? '–' + datum.at[datum.i + 1] : '')"
    )
    cells = (
        alt.Chart(alt.NamedData(name="alphas"))
        .transform_flatten(["v", "a", "vs", "as"])
        .transform_window(k="row_number()", groupby=["site"])
        .transform_calculate(
            i="datum.k - 1",
            alpha="(order == 'sorted' ? datum.vs : datum.v) / 1000",
            bend="order == 'sorted' ? datum['as'] : datum.a",
            left="datum.at[datum.k - 1] / datum.units",
        )
        # A cell reaches half under the next one, which is drawn over it: no seams between them on a canvas.
        .transform_calculate(
            right="min(1.5 * datum.at[datum.k] - 0.5 * datum.at[datum.k - 1], datum.units) / datum.units",
            which=f"(order == 'sorted' ? 'in order of alpha, ' : '') + {span} + ' of ' + datum.units",
            words="datum.bend + ' of ' + (datum.at[datum.k] - datum.at[datum.k - 1])",
        )
    )
    gradient = alt.Legend(
        title="alpha (1: linear)", orient="top", direction="horizontal", gradientLength=120, gradientThickness=8,
        values=[-1, 0, 1, 2], titleOrient="left", labelOverlap=False, format="d",
    )  # fmt: skip
    stops = palette.BENDS
    color = alt.Color(
        "alpha:Q",
        scale=alt.Scale(domain=list(stops), range=list(stops.values()), clamp=True, interpolate="rgb"),
        legend=gradient,
    )
    x = alt.X(
        "left:Q",
        title="channels of the site",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(grid=False, labels=False, ticks=False, domain=False),
    )
    tips = [
        alt.Tooltip("site:N"),
        alt.Tooltip("which:N", title="channels"),
        alt.Tooltip("alpha:Q", format=".3~f"),
        alt.Tooltip("words:N", title="bend"),
    ]
    # No room between the rows, but lines in the color of the page: an edge that a canvas draws twice is not straight.
    y = site_axis(names).scale(domain=names, paddingInner=0, paddingOuter=0)
    drawn = cells.mark_rect().encode(x=x, x2="right:Q", y=y, color=color, tooltip=tips)
    edge = y.copy().bandPosition(0)
    lines = (
        alt.Chart(alt.Data(values=[{"site": name} for name in names]))
        .mark_rule(style="twin-around", strokeWidth=3 if height(len(names)) >= 12 * len(names) else 1, tooltip=None)
        .encode(y=edge)
    )
    chart = (
        alt.layer(drawn, lines)
        .add_params(order)
        .properties(width=width, height=height(len(names)), usermeta={"renderer": CANVAS})
    )
    return (Figure("alphas", "Alpha of every channel", _caption(record), chart, {"alphas": rows}),)


def _cells(
    mean: str,
    bend: str,
    alphas: Float[np.ndarray, " units"],
    active: Any,
    at: Int[np.ndarray, " edges"],
) -> dict[str, list[int]]:
    """Sum the units of a site up in cells: mean alpha in thousandths, and how many bend."""
    cells = list(pairwise(at.tolist()))
    return {
        mean: [round(1000 * float(alphas[a:b].mean())) for a, b in cells],
        bend: [int(active[a:b].sum()) for a, b in cells],
    }


def _caption(record: LinearizationRecord) -> str:
    said = (
        "At the core network, one row a site, each as wide as the chart whatever its number of channels. Dark: linear "
        "(alpha is exactly 1). Bright: bends as it did (0) or more (below 0)."
    )
    if record.protocol.granularity == "layer":
        said += " All units of a site share one alpha."
    wide = [site.units for site in record.sites if site.units > MOST_CELLS]
    if wide:
        said += (
            f" {plural(len(wide), 'site')} with more than {MOST_CELLS} channels: a cell is the mean alpha of up to "
            f"{-(-max(wide) // MOST_CELLS)} neighbors; point at it for how many of them bend."
        )
    return said
