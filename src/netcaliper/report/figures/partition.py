"""What the units of every site are: dead, constant, copies, combinations, and the rest, against the nominal width."""

import altair as alt

from netcaliper.reading.numerals import count, percent
from netcaliper.reading.reading import Reading
from netcaliper.reading.verdicts import PARTITION as CLASSES
from netcaliper.reading.verdicts import verdict
from netcaliper.report import palette
from netcaliper.report.figures.figure import MANY_SITES, Figure, Width, classes_color, distinct, height, site_axis


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
        counts = (
            {name: getattr(site, name) for name in CLASSES} if site.needed is not None else {"unjudged": site.units}
        )
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
    shown = [entry for entry in palette.PARTITION.values() if entry[0] in present]
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
    layers = [bars]
    if labeled:
        text = alt.Chart(alt.Data(values=ends)).mark_text(align="left", dx=6, fontSize=11)
        layers.append(text.encode(y=site_axis(names), x=alt.X("width:Q", scale=scale), text="text:N"))
    chart = alt.layer(*layers).properties(width=width, height=height(len(names)))
    caption = (
        "One bar a site in graph order, as long as its nominal width. Every unit is counted once, in the first class "
        "that holds for it. At the end of a bar: the units left over, of the units there are."
    )
    return (Figure("partition", "What the units of each site are", caption, chart),)
