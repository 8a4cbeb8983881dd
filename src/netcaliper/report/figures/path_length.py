"""How long the paths are: the chance of a random walk to meet so many nonlinear units, on paper and on the data."""

import altair as alt

from netcaliper.reading.reading import Reading
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, legend, percent_axis

PAPER, DATA = "on paper", "on the data"
COLORS = {PAPER: "#8892a08c", DATA: palette.LINE}
LEAST = 1e-4
"""Chances below it are not drawn: they are no pixel high."""


def draw(reading: Reading, width: Width = 680) -> tuple[Figure, ...]:
    """Draw the two distributions.

    Args:
        reading: the record; its network's ``paths`` are used.
        width: of the chart in pixels, or ``"container"``.

    Returns:
        ``path_length``; nothing where paths could not be followed.
    """
    paths = reading.network.paths
    if paths is None or not paths.nominal_histogram:
        return ()
    rows = [
        {"network": network, "length": length, "chance": round(chance, 5)}
        for network, histogram in ((PAPER, paths.nominal_histogram), (DATA, paths.histogram))
        for length, chance in enumerate(histogram)
        if chance >= LEAST
    ]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=True, interpolate="monotone")
        .encode(
            x=alt.X("length:Q", title="nonlinear units on the way", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("chance:Q", title="chance of a random walk", axis=percent_axis()),
            color=alt.Color(
                "network:N", scale=alt.Scale(domain=list(COLORS), range=list(COLORS.values())), legend=legend()
            ),
            tooltip=[
                alt.Tooltip("network:N"),
                alt.Tooltip("length:Q", title="nonlinear units", format="d"),
                alt.Tooltip("chance:Q", format=".2%"),
            ],
        )
        .properties(width=width, height=240)
    )
    caption = (
        "A random walk from the input to the output takes every branch of a sum, and every channel that a layer reads, "
        "equally often. On the data units that stay in the linear zone are linear, and constant units lead nowhere."
    )
    return (Figure("path_length", "Nonlinear units on the way through the network", caption, chart),)
