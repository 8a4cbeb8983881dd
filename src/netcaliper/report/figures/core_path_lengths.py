"""How long the paths are: the chance of a random walk to meet so many bending units, before and at the core network."""

import altair as alt
import numpy as np

from netcaliper.reading.linearization import LinearizationRecord
from netcaliper.reading.numerals import decimal, percent
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, legend, percent_axis
from netcaliper.report.linearization_tables import path_lengths

REFERENCE, CORE = "unbent reference", "core network"
COLORS = {REFERENCE: "#8892a08c", CORE: palette.LINE}
HALF = {REFERENCE: 0.45, CORE: 0.26}
"""Half the width of a bar: one is seen behind the other."""


def draw(record: LinearizationRecord, width: Width = 680) -> tuple[Figure, ...]:
    """Draw the two histograms over each other.

    Args:
        record: the record; the arrays ``histogram`` of the reference and of the core's point are used.
        width: of the chart in pixels, or ``"container"``.

    Returns:
        ``path_lengths``; nothing without a core network or where paths could not be counted.
    """
    chances = path_lengths(record)
    if chances is None or record.core is None:
        return ()
    rows = [
        {
            "whose": whose,
            "left": length - HALF[whose],
            "right": length + HALF[whose],
            "y": round(float(chance), 5),
            "length": length,
            "words": percent(float(chance)),
        }
        for whose, values in zip((REFERENCE, CORE), chances, strict=True)
        for length, chance in enumerate(values)
        if chance > 0
    ]
    longest = int(max(np.flatnonzero(values > 0).max() for values in chances))
    x = alt.X(
        "left:Q",
        title="bending units on the way",
        scale=alt.Scale(domain=[-0.6, longest + 0.6], nice=False, zero=False),
        axis=alt.Axis(grid=False, tickMinStep=1, format="d"),
    )
    color = alt.Color(
        "whose:N",
        scale=alt.Scale(domain=list(COLORS), range=list(COLORS.values())),
        legend=legend(symbolOpacity=1),
    )
    y = alt.Y("y:Q", title="chance of a random walk", axis=percent_axis(), stack=None)
    tips = [
        alt.Tooltip("length:Q", title="bending units on the way", format="d"),
        alt.Tooltip("whose:N", title="network"),
        alt.Tooltip("words:N", title="chance"),
    ]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_rect()
        .encode(x=x, x2="right:Q", y=y, y2=alt.datum(0), color=color, tooltip=tips)
        .properties(width=width, height=240)
    )
    before, after = (record.points[place].lengths.normalized for place in (0, record.core.point))
    caption = (
        "A random walk from the input to the output takes every branch of a sum, and every channel of a mixing layer, "
        f"equally often. On its way it meets {decimal(before)} bending units on average at the reference, "
        f"{decimal(after)} at the core network as it was trained."
    )
    return (Figure("path_lengths", "Path lengths", caption, chart),)
