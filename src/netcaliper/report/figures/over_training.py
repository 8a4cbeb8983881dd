"""Over training: when each layer came to say what it says in the end, and which examples dominated it on the way."""

import json
import re
from collections.abc import Sequence

import altair as alt
import numpy as np
from jaxtyping import Float

from netcaliper.reading.layers import Trajectory
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.numerals import decimal, percent
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, legend, percent_axis
from netcaliper.report.figures.matrix import CANVAS, OVERLAP, SIMILARITY, Scale, binned, edges, side

NUMBERED = re.compile(r"(.*?)([0-9]+)")
INPUT = "input"

LINES = {
    "cka": ("CKA with the final network", palette.NETWORKS[0]),
    "dominant": ("dominant examples in common", palette.NETWORKS[1]),
    "blocks": ("layers in a block structure", palette.NETWORKS[2]),
    "accuracy": ("accuracy", palette.TWIN),
    "ntk": ("change of the tangent kernel since the one before", palette.NETWORKS[3]),
}
"""Curves over the checkpoints: (label, color)."""


def draw(reading: LayersReading, width: Width = 680) -> tuple[Figure, ...]:
    """Draw what happened over training.

    Args:
        reading: the record; the arrays ``training/*`` are used.
        width: of the charts in pixels, or ``"container"``.

    Returns:
        ``training_curves``, ``training_cka`` and ``training_dominant``; nothing without a trajectory.
    """
    trajectory = reading.trajectory
    if trajectory is None:
        return ()
    cka, dominant, error = (reading.arrays.get(f"training/{name}") for name in ("cka", "dominant", "cka_error"))
    final = trajectory.checkpoints[trajectory.final]
    figures = [_curves(reading, trajectory, width)]
    if cka is not None:
        caption = f"CKA of every layer with the same layer of {final}. Below: the layer nearest the input."
        title = "How similar each layer is to what it becomes"
        figures.append(_map(reading, trajectory, "training_cka", title, caption, cka, SIMILARITY, width, error))
    if dominant is not None:
        caption = (
            f"Jaccard overlap of the examples that carry a layer's first principal component with those of {final}; "
            f"by chance {decimal(trajectory.chance)}. Where the first component is hardly larger than the second, the "
            "set changes without a reason."
        )
        title = "Whether the same examples dominate"
        figures.append(_map(reading, trajectory, "training_dominant", title, caption, dominant, OVERLAP, width))
    return tuple(figures)


def ticks(names: Sequence[str]) -> tuple[str, list[str]]:
    """Return the title of the axis and a label for every checkpoint: ``epoch`` and numbers if they are called so."""
    found = [NUMBERED.fullmatch(name) for name in names]
    stems = {match[1] for match in found if match}
    numbers = [str(int(match[2])) for match in found if match]
    if len(numbers) == len(names) == len(set(numbers)) and len(stems) == 1:
        return stems.pop().strip(" -_/.") or "checkpoint", numbers
    return "checkpoint", list(names)


def _axis(field: str, title: str, labels: Sequence[str]) -> alt.X:
    """Lay checkpoints out in their order, labels giving way where there is no room for all of them."""
    axis = alt.Axis(
        title=title,
        grid=False,
        domain=False,
        values=list(range(len(labels))),
        labelExpr=f"{json.dumps(list(labels))}[datum.value]",
        labelOverlap="greedy",
        labelLimit=120,
    )
    scale = alt.Scale(domain=[-0.5, len(labels) - 0.5], nice=False, zero=False)
    return alt.X(f"{field}:Q", title=title, scale=scale, axis=axis)


def _curves(reading: LayersReading, trajectory: Trajectory, width: Width) -> Figure:
    title, labels = ticks(trajectory.checkpoints)
    computed = [layer.op != INPUT for layer in reading.networks[0].layers]
    means: dict[str, list[float]] = {}
    for name in ("cka", "dominant"):
        array = reading.arrays.get(f"training/{name}")
        if array is not None:
            means[name] = [_mean(row[computed]) for row in array]
            means[name][trajectory.final] = np.nan  # 1 by definition: drawn, it would look like a leap
    blocks = reading.arrays.get("training/blocks")
    if blocks is not None and (blocks > 0).any():
        means["blocks"] = blocks.tolist()
    if any(value is not None for value in trajectory.accuracy):
        means["accuracy"] = [np.nan if value is None else value for value in trajectory.accuracy]
    kernel = reading.arrays.get("training/ntk")
    if kernel is not None:
        means["ntk"] = kernel.tolist()
    rows = [
        {
            "at": place,
            "y": round(value, 4),
            "whose": LINES[name][0],
            "name": trajectory.checkpoints[place],
            "words": decimal(value) if name in ("cka", "dominant", "ntk") else percent(value),
        }
        for name, values in means.items()
        for place, value in enumerate(values)
        if np.isfinite(value)
    ]
    lines = legend(symbolType="stroke", symbolSize=500, symbolStrokeWidth=2.5, symbolOpacity=1, columns=2)
    shown = [LINES[name] for name in means]
    scale = alt.Scale(domain=[label for label, _ in shown], range=[color for _, color in shown])
    low = min([0.0, *(row["y"] for row in rows)])
    y = alt.Y("y:Q", title=None, scale=alt.Scale(domain=[low, 1]), axis=percent_axis())
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=_axis("at", title, labels), y=y, color=alt.Color("whose:N", scale=scale, legend=lines)
    )
    tips = [
        alt.Tooltip("name:N", title="checkpoint"),
        alt.Tooltip("whose:N", title="what"),
        alt.Tooltip("words:N", title="value"),
    ]
    chart = alt.layer(
        alt.Chart(alt.Data(values=[{"y": round(trajectory.chance, 4)}]))
        .mark_rule(strokeDash=[2, 4], opacity=0.8)
        .encode(y=alt.Y("y:Q")),
        base.mark_line(strokeWidth=1.8),
        base.mark_circle(size=float(np.clip(1200 / len(labels), 8, 44)), opacity=1).encode(tooltip=tips),
    ).properties(width=width, height=260)
    caption = (
        f"Means over the layers, the input left out. Dominant examples: Jaccard overlap with those of "
        f"{trajectory.checkpoints[trajectory.final]}; dotted what it is by chance."
    )
    if kernel is not None:
        caption += " Tangent kernel: 1 - cosine of the matrices of neighboring checkpoints."
    return Figure("training_curves", "What changes until when", caption, chart)


def _map(
    reading: LayersReading,
    trajectory: Trajectory,
    name: str,
    title: str,
    caption: str,
    values: Float[np.ndarray, "C L"],
    scale: Scale,
    width: Width,
    error: Float[np.ndarray, "C L"] | None = None,
) -> Figure:
    """Draw one number for every layer and checkpoint: layers from bottom to top, checkpoints from left to right."""
    across, labels = ticks(trajectory.checkpoints)
    layers = side(reading.networks[0])
    length = len(layers.names)
    r, c = edges(length), edges(len(labels))
    rows = []
    means, errors = binned(values.T, "mean"), None if error is None else binned(error.T, "most")
    for i, j in np.ndindex(*means.shape):
        value = means[i, j]
        row = {
            "left": float(c[j]) - 0.5,
            "right": float(c[j + 1]) - 0.5,
            "bottom": float(r[i]) - 0.5,
            "top": float(r[i + 1]) - 0.5,
            "layer": layers.names[r[i]] if r[i + 1] - r[i] == 1 else f"{layers.names[r[i]]} and on",
            "name": trajectory.checkpoints[c[j]],
            "words": f"{value:.3f}" if np.isfinite(value) else f"no value: {layers.reasons[r[i]] or 'constant then'}",
        }
        if np.isfinite(value):
            row["value"] = round(float(value), 3)
        if errors is not None:
            row["error"] = f"{errors[i, j]:.4f}" if np.isfinite(errors[i, j]) else "–"
        rows.append(row)
    tips = [
        alt.Tooltip("layer:N"),
        alt.Tooltip("name:N", title="checkpoint"),
        alt.Tooltip("words:N", title=scale.title),
        *([] if errors is None else [alt.Tooltip("error:N", title="standard error")]),
    ]
    gradient = alt.Legend(
        title=scale.title, orient="top", direction="horizontal", gradientLength=230, gradientThickness=8,
        values=list(scale.ticks), titleOrient="left", labelOverlap=False, format=".2~f",
    )  # fmt: skip
    color = alt.Color(
        "value:Q",
        scale=alt.Scale(domain=list(scale.stops), range=list(scale.stops.values()), clamp=True, interpolate="rgb"),
        legend=gradient,
    )
    y = alt.Y(
        "bottom:Q",
        title="layer",
        scale=alt.Scale(domain=[-0.5, length - 0.5], nice=False, zero=False),
        axis=alt.Axis(grid=False, tickMinStep=1, tickCount=6, format="d", domain=False),
    )
    x = _axis("left", across, labels)
    cells = alt.Chart(alt.NamedData(name=name)).encode(x=x, x2="right:Q", y=y, y2="top:Q", tooltip=tips)
    # A cell reaches a little under the next ones, which are drawn over it: no seams between them on a canvas.
    under = {
        "right": f"min(datum.right + 0.03, {len(labels) - 0.5})",
        "top": f"min(datum.top + 0.5, {length - 0.5})",
    }
    chart = alt.layer(
        cells.transform_filter("isValid(datum.value)").transform_calculate(**under).mark_rect().encode(color=color),
        cells.transform_filter("!isValid(datum.value)").mark_rect(color=palette.GAP),
    ).properties(width=width, height=int(np.clip(12 * length, 160, 420)), usermeta={"renderer": CANVAS})
    if (len(r), len(c)) != (length + 1, len(labels) + 1):
        caption += " Neighboring cells are averaged where there are too many to draw."
    return Figure(name, title, caption, chart, {name: rows})


def _mean(values: Float[np.ndarray, " n"]) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else np.nan
