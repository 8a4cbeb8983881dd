"""Two groups of seeds, example by example: how often the networks of either get it right."""

import altair as alt
import numpy as np

from netcaliper.reading.layers_headline import spread_words
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.numerals import count, percent, plural
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, percent_axis

MOST_STEPS = 20
MOST_DIFFERENCES = 3


def draw(reading: LayersReading, width: Width = 680) -> tuple[Figure, ...]:
    """Draw one chart a pair of groups.

    Args:
        reading: the record; the arrays ``group/<group>/right`` are used.
        width: of the charts in pixels, or ``"container"``.

    Returns:
        ``examples-<difference>``, those that the arrays allow.
    """
    places = {group.name: k for k, group in enumerate(reading.groups)}
    found = []
    for number, difference in enumerate(reading.differences[:MOST_DIFFERENCES]):
        names = (difference.first, difference.second)
        rights = [reading.arrays.get(f"group/{places[name]}/right") for name in names]
        if rights[0] is None or rights[1] is None or not len(rights[0]):
            continue
        steps = [max(min(size, MOST_STEPS), 1) for size in difference.sizes]
        counts, _, _ = np.histogram2d(
            rights[0], rights[1], bins=[_edges(steps[0]), _edges(steps[1])]
        )  # a column for every share that so many networks can have
        rows = [
            {
                "x": round((i - 0.5) / steps[0], 4),
                "x2": round((i + 0.5) / steps[0], 4),
                "y": round((j - 0.5) / steps[1], 4),
                "y2": round((j + 0.5) / steps[1], 4),
                "examples": int(counts[i, j]),
                "a": percent(i / steps[0]),
                "b": percent(j / steps[1]),
            }
            for i, j in np.argwhere(counts > 0).tolist()
        ]
        most = max(row["examples"] for row in rows)
        ends = [-0.5 / steps[0], 1 + 0.5 / steps[0]]
        rise = [-0.5 / steps[1], 1 + 0.5 / steps[1]]
        cells = (
            alt.Chart(alt.Data(values=rows))
            .mark_rect()
            .encode(
                x=alt.X(
                    "x:Q", title=f"right in {names[0]}", scale=alt.Scale(domain=ends, nice=False), axis=percent_axis()
                ),
                x2="x2:Q",
                y=alt.Y(
                    "y:Q", title=f"right in {names[1]}", scale=alt.Scale(domain=rise, nice=False), axis=percent_axis()
                ),
                y2="y2:Q",
                color=alt.Color(
                    "examples:Q",
                    scale=alt.Scale(type="log", domain=[1, max(most, 2)], range=["#2a7fbf22", "#2a7fbfff"]),
                    legend=alt.Legend(
                        title="examples",
                        orient="top",
                        direction="horizontal",
                        gradientLength=150,
                        gradientThickness=8,
                        values=[1, most],
                        titleOrient="left",
                        format="d",
                    ),
                ),
                tooltip=[
                    alt.Tooltip("a:N", title=f"right in {names[0]}"),
                    alt.Tooltip("b:N", title=f"right in {names[1]}"),
                    alt.Tooltip("examples:Q", format=","),
                ],
            )
        )
        line = (
            alt.Chart(alt.Data(values=[{"x": 0, "x2": 1, "y": 0, "y2": 1}]))
            .mark_rule(color=palette.NETWORKS[1], strokeWidth=1.4, strokeDash=[5, 4])
            .encode(x="x:Q", x2="x2:Q", y="y:Q", y2="y2:Q")
        )
        words = spread_words(difference)
        caption = (
            f"{count(len(rights[0]))} examples by the share of networks that get them right, "
            f"{plural(difference.sizes[0], 'network')} against {difference.sizes[1]}. {words[:1].upper()}{words[1:]}"
        ).strip()
        chart = alt.layer(cells, line).properties(
            width=width, height=360 if width == "container" else width, usermeta={"shape": 1}
        )
        title = f"Example by example: {names[0]} against {names[1]}"
        found.append(Figure(f"examples-{number}", title, caption.rstrip(".") + ".", chart))
    return tuple(found)


def _edges(steps: int) -> np.ndarray:
    """Return bin edges halfway between the shares 0, 1/steps, ..., 1."""
    return (np.arange(steps + 2) - 0.5) / steps
