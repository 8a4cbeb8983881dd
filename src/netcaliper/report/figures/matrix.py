"""A matrix over layers as a heat map: origin at the input, bottom left; hover says whose cell it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import altair as alt
import numpy as np
from jaxtyping import Float, Int

from netcaliper.reading.layers import Block, LayersOf
from netcaliper.reading.numerals import count
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width

MOST_BINS = 120
"""Cells a side at most: a screen has no more to tell apart, and 600 x 600 cells would take seconds to draw."""

CANVAS = "canvas"
"""Thousands of cells are drawn as pixels; as elements of an SVG they would take seconds."""


@dataclass(frozen=True)
class Scale:
    """What a color means.

    Attributes:
        title: above the gradient.
        stops: colors by value; values beyond them count as the nearest.
        ticks: values that the gradient names.
    """

    title: str
    stops: Mapping[float, str]
    ticks: tuple[float, ...]


POSITIVE = {value: color for value, color in palette.SIMILARITY.items() if value >= 0}
SIMILARITY = Scale("similarity", palette.SIMILARITY, (-0.25, 0.0, 0.5, 1.0))
COSINE = Scale("cos²", POSITIVE, (0.0, 0.5, 1.0))
OVERLAP = Scale("overlap", POSITIVE, (0.0, 0.5, 1.0))
DISTANCE = Scale("distance", {2 - 2 * value: color for value, color in reversed(POSITIVE.items())}, (0.0, 1.0, 2.0))


@dataclass(frozen=True)
class Side:
    """One side of a matrix.

    Attributes:
        title: of the axis.
        names: one a layer, for the hover.
        reasons: why a layer is a gap, empty if it is not.
    """

    title: str
    names: tuple[str, ...]
    reasons: tuple[str, ...]


def side(network: LayersOf, title: str = "layer") -> Side:
    """Return the side that the layers of a network make."""
    names = tuple(f"{index} · {layer.name} ({layer.op})" for index, layer in enumerate(network.layers))
    return Side(title, names, tuple(layer.reason or "" for layer in network.layers))


def edges(length: int, most: int = MOST_BINS) -> Int[np.ndarray, " edges"]:
    """Cut ``length`` layers into at most ``most`` contiguous bins as equal as can be; one layer a bin if they fit."""
    return np.linspace(0, length, min(length, most) + 1).round().astype(int)


def binned(
    values: Float[np.ndarray, "rows columns"], how: Literal["mean", "most"], most: int = MOST_BINS
) -> Float[np.ndarray, "r c"]:
    """Sum a matrix up in bins; gaps are left out, and a bin of nothing but gaps is one.

    Args:
        values: NaN for gaps.
        how: the mean of a bin or its largest value.
        most: bins a side.
    """
    starts = [edges(size, most)[:-1] for size in values.shape]

    def total(array: np.ndarray, by: np.ufunc) -> np.ndarray:
        return by.reduceat(by.reduceat(array, starts[0], axis=0), starts[1], axis=1)

    there = ~np.isnan(values)
    counts = total(there.astype(float), np.add)
    if how == "mean":
        found = total(np.where(there, values, 0.0), np.add)
        return np.divide(found, counts, out=np.full_like(found, np.nan), where=counts > 0)
    found = total(np.where(there, values, -np.inf), np.maximum)
    return np.where(counts > 0, found, np.nan)


def heat_map(
    values: Float[np.ndarray, "rows columns"],
    rows: Side,
    columns: Side,
    width: Width,
    *,
    name: str,
    title: str,
    caption: str = "",
    error: Float[np.ndarray, "rows columns"] | None = None,
    outlines: Sequence[Block] = (),
    scale: Scale = SIMILARITY,
    most: int = MOST_BINS,
) -> Figure:
    """Draw a matrix.

    Args:
        values: NaN for gaps; beyond ``most`` layers a side bins of layers are averaged, and the caption says so.
        rows: from bottom to top.
        columns: from left to right.
        width: of the chart in pixels, or ``"container"``.
        name: of the figure.
        title: of the figure.
        caption: of the figure.
        error: standard errors; of a bin the largest is shown.
        outlines: blocks, drawn around the diagonal.
        scale: what a color means.
        most: bins a side.
    """
    height, length = values.shape
    r, c = edges(height, most), edges(length, most)
    row: dict[str, Any] = {
        "v": _thousandths(binned(values, "mean", most)),
        "r": r.tolist(),
        "c": c.tolist(),
        "rn": _bins(rows.names, r),
        "cn": _bins(columns.names, c),
        "rr": _bins_reasons(rows.reasons, r),
        "cr": _bins_reasons(columns.reasons, c),
    }
    tips = [
        alt.Tooltip("row:N", title=f"{rows.title} ↑"),
        alt.Tooltip("column:N", title=f"{columns.title} →"),
        alt.Tooltip("words:N", title=scale.title),
    ]
    flat: list[Any] = ["v"]
    if error is not None and np.isfinite(error).any():
        row["e"] = _thousandths(binned(error, "most", most), 1e5)
        flat.append("e")
        tips.append(alt.Tooltip("error:N", title="standard error"))
    why = "datum.rr[datum.i] || datum.cr[datum.j] || 'not taken'"
    cells = (
        alt.Chart(alt.NamedData(name=name))
        .transform_flatten(flat)
        .transform_window(k="row_number()")
        .transform_calculate(i=f"floor((datum.k - 1) / {len(c) - 1})", j=f"(datum.k - 1) % {len(c) - 1}")
        # A cell reaches half under the next one, which is drawn over it: no seams between them on a canvas.
        .transform_calculate(
            value="datum.v / 1000",
            bottom="datum.r[datum.i] - 0.5",
            top=f"min(1.5 * datum.r[datum.i + 1] - datum.r[datum.i] / 2, {height}) - 0.5",
            left="datum.c[datum.j] - 0.5",
            right=f"min(1.5 * datum.c[datum.j + 1] - datum.c[datum.j] / 2, {length}) - 0.5",
            row="datum.rn[datum.i]",
            column="datum.cn[datum.j]",
            words=f"isValid(datum.v) ? format(datum.v / 1000, '.3f') : 'no value: ' + ({why})",
            **({"error": "isValid(datum.e) ? format(datum.e / 100000, '.4f') : '–'"} if len(flat) > 1 else {}),
        )
    )
    legend = alt.Legend(
        title=scale.title,
        orient="top",
        direction="horizontal",
        gradientLength=230,
        gradientThickness=8,
        values=list(scale.ticks),
        titleOrient="left",
        labelOverlap=False,
        format=".2~f",
    )
    color = alt.Color(
        "value:Q",
        scale=alt.Scale(domain=list(scale.stops), range=list(scale.stops.values()), clamp=True, interpolate="rgb"),
        legend=legend,
    )
    at = {
        "x": _axis("left", columns.title, length, alt.X),
        "x2": "right:Q",
        "y": _axis("bottom", rows.title, height, alt.Y),
        "y2": "top:Q",
        "tooltip": tips,
    }
    drawn = cells.transform_filter("isValid(datum.v)").mark_rect().encode(color=color, **at)
    ends = {"right": "datum.c[datum.j + 1] - 0.5", "top": "datum.r[datum.i + 1] - 0.5"}
    gaps = cells.transform_filter("!isValid(datum.v)").transform_calculate(**ends)
    gaps = gaps.mark_rect(color=palette.GAP).encode(**at)
    chart = alt.layer(drawn, gaps, *_outlines(outlines, length, height)).properties(
        width=width,
        height=round(340 * height / length) if width == "container" else round(width * height / length),
        usermeta={"shape": round(height / length, 4), "renderer": CANVAS},
    )
    if max(height, length) > most:
        caption += (
            f" {count(height)} × {count(length)} cells are averaged into {len(r) - 1} × {len(c) - 1}; a standard "
            "error is the largest inside."
        )
    return Figure(name, title, caption.strip(), chart, {name: [row]})


def _axis(field: str, title: str, length: int, channel: Any) -> Any:
    return channel(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(domain=[-0.5, length - 0.5], nice=False, zero=False),
        axis=alt.Axis(grid=False, tickMinStep=1, tickCount=6, format="d", domain=False),
    )


def _outlines(blocks: Sequence[Block], length: int, height: int) -> list[Any]:
    """Draw the borders of blocks."""
    rows = [{"a": block.first - 0.5, "b": block.last + 0.5} for block in blocks]
    if not rows:
        return []
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=_axis("a", "layer", length, alt.X), x2="b:Q", y=_axis("a", "layer", height, alt.Y), y2="b:Q"
    )
    return [
        base.mark_rect(filled=False, stroke=palette.OUTLINE_AROUND, strokeWidth=5, tooltip=None),
        base.mark_rect(filled=False, stroke=palette.OUTLINE, strokeWidth=2.2, tooltip=None),
    ]


def _thousandths(values: Float[np.ndarray, "r c"], parts: float = 1000.0) -> list[int | None]:
    """Write a matrix as whole numbers of parts, row by row: a third of the size of decimals."""
    return [None if np.isnan(value) else round(value * parts) for value in values.ravel().tolist()]


def _bins(names: tuple[str, ...], at: np.ndarray) -> list[str]:
    """Name the bins: by their layer, or by the first and last of several."""
    return [names[a] if b - a == 1 else f"{names[a]} to {names[b - 1]}" for a, b in pairwise(at.tolist())]


def _bins_reasons(reasons: tuple[str, ...], at: np.ndarray) -> list[str]:
    """Say why a bin is a gap: only where all its layers are."""
    return [reasons[a] if all(reasons[a:b]) else "" for a, b in pairwise(at.tolist())]
