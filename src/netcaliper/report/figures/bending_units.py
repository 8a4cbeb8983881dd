"""Which units still bend at the core network: bars by site, with all units of the site behind."""

import altair as alt

from netcaliper.reading.linearization import LinearizationRecord
from netcaliper.reading.numerals import count, percent, plural
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, classes_color, height, site_axis
from netcaliper.report.linearization_tables import core_counts

BEND, LINEAR = "still bend", "became linear"
COLORS = ((BEND, palette.LINE), (LINEAR, "#8892a059"))
MOST_LABELS = 100
"""Rows that are high enough for a number beside them."""


def draw(record: LinearizationRecord, width: Width = 680) -> tuple[Figure, ...]:
    """Draw the units of every site at the core network.

    Args:
        record: the record; the array ``active`` of the core's point is used.
        width: of the chart in pixels, or ``"container"``.

    Returns:
        ``bending_units``; nothing without a core network.
    """
    counts = core_counts(record)
    if counts is None or record.core is None:
        return ()
    rows = []
    for site, active in zip(record.sites, counts, strict=True):
        words = f"{count(active)} of {plural(site.units, 'unit')} ({percent(active / site.units)})"
        common = {"site": site.name, "op": site.op, "words": words, "label": f"{count(active)} / {count(site.units)}"}
        rows.append(common | {"which": BEND, "from": 0, "to": active, "units": site.units})
        rows.append(common | {"which": LINEAR, "from": active, "to": site.units, "units": site.units})
    names = [site.name for site in record.sites]
    most = max(site.units for site in record.sites)
    room = 1 + 0.036 * max(len(row["label"]) for row in rows)  # for the numbers beside the bars, on a phone too
    scale = alt.Scale(domain=[0, most * room], nice=False)
    x = alt.X("from:Q", title="units", scale=scale, axis=alt.Axis(tickCount=5, tickMinStep=1, format="~s"))
    base = alt.Chart(alt.Data(values=rows)).encode(y=site_axis(names))
    tips = [alt.Tooltip("site:N"), alt.Tooltip("op:N", title="activation"), alt.Tooltip("words:N", title=BEND)]
    bars = base.mark_bar().encode(x=x, x2="to:Q", color=classes_color("which:N", COLORS), tooltip=tips)
    labels = (
        base.transform_filter(alt.datum.which == BEND)
        .mark_text(align="left", dx=5, fontSize=11, tooltip=None)
        .encode(x=alt.X("units:Q", scale=scale), text="label:N")
    )
    layers = [bars, labels] if len(names) <= MOST_LABELS else [bars]
    chart = alt.layer(*layers).properties(width=width, height=height(len(names)))
    total = sum(site.units for site in record.sites)
    point = record.points[record.core.point]
    caption = (
        f"The core network is the training “{point.name}”: {count(sum(counts))} of {plural(total, 'unit')} bend. "
        "In graph order, from the input on."
    )
    alone = sum(active == 0 for active in counts)
    if alone:
        caption += f" {plural(alone, 'site')} became linear as a whole."
    return (Figure("bending_units", "Units that still bend", caption, chart),)
