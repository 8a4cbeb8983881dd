"""What the units of every site are: needed, absorbable, combinations, copies, constant and dead, side by side."""

from typing import Any

import altair as alt

from netcaliper.reading.headline import twin_name
from netcaliper.reading.numerals import count, percent
from netcaliper.reading.reading import Reading
from netcaliper.reading.verdicts import PARTITION as CLASSES
from netcaliper.reading.verdicts import verdict
from netcaliper.report import palette
from netcaliper.report.figures.figure import (
    MANY_SITES,
    Figure,
    Width,
    classes_color,
    distinct,
    height,
    legend,
    site_axis,
)

UPRIGHT = "M0,-1L0,1"
"""A mark across a bar."""


def draw(reading: Reading, width: Width = 680) -> tuple[Figure, ...]:
    """Draw one stacked bar a site, as long as its nominal width; empty if the reading has no site.

    Args:
        reading: the record.
        width: of the chart in pixels, or ``"container"``.

    Returns:
        One figure, ``partition``.
    """
    if not reading.sites:
        return ()
    rows, ends = [], []
    for site in reading.sites:
        # What is needed comes first, so that it can be compared between bars, and with the twin.
        counts = {name: getattr(site, name) for name in reversed(CLASSES)}
        if site.needed is None:
            counts = {"unjudged": site.units}
        start = 0
        for name, number in counts.items():
            if not number:
                continue
            rows.append(
                {
                    "site": site.name,
                    "class": palette.PARTITION[name][0],
                    "start": start,
                    "end": start + number,
                    "units": f"{count(number)} of {count(site.units)} ({percent(number / site.units)})",
                    "verdict": verdict(site),
                }
            )
            start += number
        text = count(site.units) if site.needed is None else f"{count(site.needed)} / {count(site.units)}"
        ends.append({"site": site.name, "width": site.units, "text": text})
    present = {row["class"] for row in rows}
    order = [*reversed(CLASSES), "unjudged"]
    shown = [palette.PARTITION[name] for name in order if palette.PARTITION[name][0] in present]
    names = distinct(reading)
    widest = max(site.units for site in reading.sites)
    labeled = len(names) <= MANY_SITES
    # Room for the text at the end of the widest bar, whatever the width of the chart turns out to be.
    room = 12 + 6.5 * max(len(end["text"]) for end in ends) if labeled else 0
    longest = alt.ExprRef(f"{widest} * width / max(width - {room}, 40)")
    scale = alt.Scale(domainMin=0, domainMax=longest, nice=False, zero=True)
    bars = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar()
        .encode(
            y=site_axis(names),
            x=alt.X(
                "start:Q",
                title="units",
                scale=scale,
                axis=alt.Axis(tickMinStep=1, tickCount=6, format=",d", labelSeparation=8),
            ),
            x2="end:Q",
            color=classes_color("class:N", shown),
            tooltip=[
                alt.Tooltip("site:N"),
                alt.Tooltip("class:N"),
                alt.Tooltip("units:N"),
                alt.Tooltip("verdict:N"),
            ],
        )
    )
    tall = height(len(names))
    layers = [bars, *_twin(reading, scale, names, tall / len(names))]
    if labeled:
        text = alt.Chart(alt.Data(values=ends)).mark_text(align="left", dx=6, fontSize=11)
        layers.append(text.encode(y=site_axis(names), x=alt.X("width:Q", scale=scale), text="text:N"))
    chart = alt.layer(*layers).properties(width=width, height=tall)
    caption = (
        "One bar a site in graph order, as long as its nominal width. Every unit is counted once: as needed only if no "
        "other class holds. At the end of a bar: the units needed, of the units there are."
    )
    if reading.twin is not None:
        caption += f" Upright mark: the units that the same site needs {twin_name(reading.twin)}."
    return (Figure("partition", "Which units are needed", caption, chart),)


def _twin(reading: Reading, scale: alt.Scale, names: list[str], step: float) -> list[Any]:
    """Mark what every site of the twin needs: ink on ground, so that it stands out of the bars on either ground."""
    if reading.twin is None:
        return []
    label = f"needed {twin_name(reading.twin)}"
    rows = [
        {
            "site": site.name,
            "needed": site.needed,
            "what": label,
            "units": f"{count(site.needed)} of {count(site.units)}",
        }
        for site in reading.twin.sites
        if site.needed is not None
    ]
    size = max(step, 4) ** 2
    base = alt.Chart(alt.Data(values=rows)).encode(y=site_axis(names), x=alt.X("needed:Q", scale=scale))
    shape = alt.Shape("what:N", scale=alt.Scale(domain=[label], range=[UPRIGHT]), legend=legend(symbolSize=200))
    tip = [alt.Tooltip("site:N"), alt.Tooltip("units:N", title=label)]
    around = base.mark_point(style="twin-around", shape=UPRIGHT, size=size, strokeWidth=4, opacity=0.9)
    mark = base.mark_point(style="twin", size=size, strokeWidth=1.6, opacity=1)
    return [around, mark.encode(shape=shape, tooltip=tip)] if rows else []
