"""How the units behave: always on, switching, always off; and how far smooth activations are from a straight line."""

import altair as alt
import numpy as np

from netcaliper.reading.numerals import count, percent
from netcaliper.reading.reading import Reading
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, classes_color, height, percent_axis, site_axis

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def draw(reading: Reading, width: Width = 680) -> tuple[Figure, ...]:
    """Draw the states of the units.

    Args:
        reading: the record.
        width: of the charts in pixels, or ``"container"``.

    Returns:
        ``unit_states`` if a piecewise-linear activation was read, ``bending`` if a smooth one was; possibly none.
    """
    return (*_states(reading, width), *_bending(reading, width))


def _states(reading: Reading, width: Width) -> tuple[Figure, ...]:
    rows, names = [], []
    for site in reading.sites:
        if site.mixed is None or site.always_on is None or site.always_off is None or site.units == 0:
            continue
        names.append(site.name)
        zone = percent(site.linear_zone.value) if site.linear_zone else "not measured"
        start = 0
        for name, (label, _) in palette.STATES.items():
            number = getattr(site, name)
            if not number:
                continue
            rows.append(
                {
                    "site": site.name,
                    "state": label,
                    "start": start / site.units,
                    "end": (start + number) / site.units,
                    "units": f"{count(number)} of {count(site.units)} ({percent(number / site.units)})",
                    "zone": zone,
                }
            )
            start += number
    if not rows:
        return ()
    present = {row["state"] for row in rows}
    shown = [entry for entry in palette.STATES.values() if entry[0] in present]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar()
        .encode(
            y=site_axis(names),
            x=alt.X(
                "start:Q",
                title="share of units",
                scale=alt.Scale(domain=[0, 1]),
                axis=percent_axis(),
            ),
            x2="end:Q",
            color=classes_color("state:N", shown),
            tooltip=[
                alt.Tooltip("site:N"),
                alt.Tooltip("state:N"),
                alt.Tooltip("units:N"),
                alt.Tooltip("zone:N", title="rows in linear zone"),
            ],
        )
        .properties(width=width, height=height(len(names)))
    )
    caption = (
        "Piecewise-linear activations. A unit that is always on is a linear unit; one that is always off adds nothing; "
        "only the units that switch bend the function."
    )
    return (Figure("unit_states", "Which units switch", caption, chart),)


def _bending(reading: Reading, width: Width) -> tuple[Figure, ...]:
    rows = []
    for index, site in enumerate(reading.sites):
        values = reading.array(index, "bending")
        if values is None:
            continue
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        low, lower, middle, upper, high = (round(float(value), 6) for value in np.quantile(values, QUANTILES))
        rows.append(
            {"site": site.name, "low": low, "lower": lower, "middle": middle, "upper": upper, "high": high}
            | {"units": f"{len(values):,} of {site.units:,}"}
        )
    if not rows:
        return ()
    names = [row["site"] for row in rows]
    axis = percent_axis()
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=site_axis(names),
        tooltip=[
            alt.Tooltip("site:N"),
            alt.Tooltip("middle:Q", format=".1%", title="median"),
            alt.Tooltip("lower:Q", format=".1%", title="25 %"),
            alt.Tooltip("upper:Q", format=".1%", title="75 %"),
            alt.Tooltip("low:Q", format=".1%", title="5 %"),
            alt.Tooltip("high:Q", format=".1%", title="95 %"),
            alt.Tooltip("units:N"),
        ],
    )
    scale = alt.Scale(domain=[0, 1])
    whisker = base.mark_rule(color=palette.LINE, strokeWidth=1.5).encode(
        x=alt.X("low:Q", title="bending share of the units", scale=scale, axis=axis), x2="high:Q"
    )
    box = base.mark_bar(color=palette.LINE, height=alt.RelativeBandSize(band=0.5)).encode(
        x=alt.X("lower:Q", scale=scale), x2="upper:Q"
    )
    middle = base.mark_tick(color="#ffffff", thickness=2, height=alt.RelativeBandSize(band=0.5)).encode(
        x=alt.X("middle:Q", scale=scale)
    )
    chart = alt.layer(whisker, box, middle).properties(width=width, height=height(len(names)))
    caption = (
        "Smooth activations. The bending share of a unit is 1 − corr(z, φ(z))², what a straight line through its input "
        "leaves unexplained. Line: 5 to 95 % of the units; bar: the middle half; tick: the median."
    )
    return (Figure("bending", "How far the units bend", caption, chart),)
