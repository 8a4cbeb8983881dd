"""Which layers say the same: matrices of similarity within a network and between two."""

from collections.abc import Iterator
from math import sqrt

import altair as alt
import numpy as np

from netcaliper.reading.layers import LayersOf
from netcaliper.reading.layers_names import Place, everyone, labels
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.numerals import decimal, percent
from netcaliper.report.figures.figure import Figure, Width
from netcaliper.report.figures.matrix import COSINE, DISTANCE, MOST_BINS, OVERLAP, SIMILARITY, Scale, heat_map, side

MOST_NETWORKS = 6
"""Networks whose own matrices are drawn; the record has them all."""

MOST_DETAILED = 2
"""Networks whose controls are drawn as well."""

MOST_CROSSINGS = 6
MOST_CELLS = 70_000
"""Cells of all matrices of a page together."""

CONTROLS = (
    (
        "cka_normalized",
        "every example on one scale",
        "Activations of norm 1: no example counts more than another.",
        SIMILARITY,
    ),
    (
        "cka_without_pc",
        "without the first component",
        "Every layer lost its first principal component. A block that is gone here was made of that one direction.",
        SIMILARITY,
    ),
    (
        "cka_without_dominant",
        "without the dominant examples",
        "The few examples that carry it are left out.",
        SIMILARITY,
    ),
    (
        "pc_cosine",
        "first components against each other",
        "Squared cosine of the first principal components in example space: 1 where two layers vary along the same "
        "examples.",
        COSINE,
    ),
    ("neighbors", "mutual nearest neighbors", "Share of the nearest examples that two layers have in common.", OVERLAP),
    ("procrustes", "Procrustes distance", "0 for the same up to a rotation, 2 for nothing in common.", DISTANCE),
)
"""What is drawn beside the matrix itself: (array, title, caption, scale)."""


def draw(reading: LayersReading, width: Width = 680) -> tuple[Figure, ...]:
    """Draw the matrices.

    Args:
        reading: the record.
        width: of the charts in pixels, or ``"container"``.

    Returns:
        ``cka-<network>`` (and ``cka-twin``), ``<control>-<network>``, ``cross-<crossing>`` and ``agreement``, those
        that the arrays allow.
    """
    whole = len([*_own(reading)]) + len([*_controls(reading)]) + len(reading.crossings[:MOST_CROSSINGS])
    most = max(min(MOST_BINS, int(sqrt(MOST_CELLS / max(whole, 1)))), 40)
    found = [_similarity(reading, place, label, network, width, most) for place, label, network in _own(reading)]
    for place, label, network, (array, title, caption, scale) in _controls(reading):
        values = reading.array(place, array)
        assert values is not None
        figure = heat_map(
            values,
            side(network),
            side(network),
            width,
            name=f"{array}-{place}",
            title=title.capitalize() if len(reading.networks) == 1 else f"{label}: {title}",
            caption=caption + _chance(reading, array, network),
            outlines=network.blocks,
            most=most,
            scale=scale,
        )
        found.append(figure)
    return (*found, *_crossings(reading, width, most), *_agreement(reading, width))


def _own(reading: LayersReading) -> Iterator[tuple[Place, str, LayersOf]]:
    for place, label, network in everyone(reading):
        if (place == "twin" or place < MOST_NETWORKS) and reading.array(place, "cka") is not None:
            yield place, label, network


def _controls(reading: LayersReading) -> Iterator[tuple[Place, str, LayersOf, tuple[str, str, str, Scale]]]:
    for place, label, network in everyone(reading):
        if place == "twin" or place >= MOST_DETAILED:
            continue
        for control in CONTROLS:
            if reading.array(place, control[0]) is not None:
                yield place, label, network, control


def _chance(reading: LayersReading, array: str, network: LayersOf) -> str:
    """Say how many nearest neighbors were taken, and what chance gives."""
    if array != "neighbors" or not network.neighbors_k:
        return ""
    share = network.neighbors_k / max(reading.estimator.held - 1, 1)
    return f" k = {network.neighbors_k}; by chance {percent(share)}."


def _similarity(reading: LayersReading, place: Place, label: str, network: LayersOf, width: Width, most: int) -> Figure:
    values = reading.array(place, "cka")
    assert values is not None
    if place == "twin":
        title, caption = f"{label.capitalize()}", "What the same network shows without training."
    else:
        title = "This network" if len(reading.networks) == 1 else label
        caption = "Outlined: block structure." if network.blocks else "No block structure found."
        below = int((values < 0).sum())
        caption += f" Teal: below zero ({percent(below / values.size)} of the cells)." if below else ""
        caption += " Gray: no number; hover says why." if np.isnan(values).any() else ""
    return heat_map(
        values,
        side(network),
        side(network),
        width,
        name=f"cka-{place}",
        title=title,
        caption=caption,
        error=reading.array(place, "standard_error"),
        outlines=network.blocks,
        most=most,
    )


def _crossings(reading: LayersReading, width: Width, most: int) -> Iterator[Figure]:
    names = labels(reading)
    for number, crossing in enumerate(reading.crossings[:MOST_CROSSINGS]):
        values = reading.arrays.get(f"cross/{number}/cka")
        if values is None:
            continue
        first, second = names[crossing.first], names[crossing.second]
        words = []
        if crossing.inside is not None:
            words.append(f"At equal depth {decimal(crossing.inside)} inside blocks")
        if crossing.outside is not None:
            words.append(f"{'and ' if words else 'At equal depth '}{decimal(crossing.outside)} outside of blocks")
        caption = f"{' '.join(words)}." if words else ""
        if crossing.matched is not None:
            caption += f" The best match is the layer of the same name for {percent(crossing.matched)} of the layers."
        yield heat_map(
            values,
            side(reading.networks[crossing.first], first),
            side(reading.networks[crossing.second], second),
            width,
            name=f"cross-{number}",
            title=f"{first} against {second}",
            caption=caption,
            error=reading.arrays.get(f"cross/{number}/standard_error"),
            most=most,
        )


def _agreement(reading: LayersReading, width: Width) -> tuple[Figure, ...]:
    """Draw how often two networks give the same answer; worth a picture from three networks on."""
    names = labels(reading)
    if len(names) < 3 or not reading.agreements:
        return ()
    rows = []
    for found in reading.agreements:
        for a, b in ((found.first, found.second), (found.second, found.first)):
            share = found.agreement
            rows.append(
                {"row": names[a], "column": names[b], "value": round(share.value, 4), "words": percent(share.value)}
            )
    values = [row["value"] for row in rows]
    ends = [min(values), max(values)]
    axis = alt.Axis(title=None, ticks=False, domain=False, labelOverlap="greedy", labelLimit=110)
    many = len(names) > 12
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_rect()
        .encode(
            x=alt.X("column:N", sort=None, scale=alt.Scale(domain=list(names)), axis=None if many else axis),
            y=alt.Y("row:N", sort=None, scale=alt.Scale(domain=list(names[::-1])), axis=axis),
            color=alt.Color(
                "value:Q",
                scale=alt.Scale(domain=ends, range=["#2a7fbf22", "#2a7fbfff"]),
                legend=alt.Legend(
                    title="same answer",
                    orient="top",
                    direction="horizontal",
                    gradientLength=150,
                    gradientThickness=8,
                    values=ends,
                    titleOrient="left",
                    format=".1%",
                ),
            ),
            tooltip=[
                alt.Tooltip("row:N", title="network"),
                alt.Tooltip("column:N", title="and"),
                alt.Tooltip("words:N", title="same answer"),
            ],
        )
        .properties(width=width, height=360 if width == "container" else width, usermeta={"shape": 1})
    )
    floors = [f"{group.name} {percent(group.agreement)}" for group in reading.groups if group.agreement is not None]
    caption = "Share of examples on which two networks give the same answer."
    if floors:
        caption += f" Noise floor, two seeds of one group: {', '.join(floors)}."
    return (Figure("agreement", "Same answers", caption, chart),)
