"""Curves over the layers: the share of the first principal component, and what a linear classifier can read."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from netcaliper.reading.layers import LayersOf
from netcaliper.reading.layers_names import Place, everyone
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.numerals import count, percent, span
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, legend, percent_axis
from netcaliper.report.figures.matrix import CANVAS

MOST_NETWORKS = 6
MOST_ELEMENTS = 400
KINDS = ("residual sum, and right after one", "inside a branch, or no residual")
KIND = dict(zip(("stream", "inner"), KINDS, strict=True))


def draw(reading: LayersReading, width: Width = 680) -> tuple[Figure, ...]:
    """Draw the curves.

    Args:
        reading: the record; the arrays ``pc_share`` and ``probe*`` are used.
        width: of the charts in pixels, or ``"container"``.

    Returns:
        ``pc_share`` and ``probe``, those that the arrays allow.
    """
    return (*_first_components(reading, width), *_probes(reading, width))


def network_color(names: Sequence[str], twin: str | None) -> alt.Color:
    """Color networks by the field ``whose``, the twin gray, with the legend above where there are several."""
    colors = [
        palette.TWIN if name == twin else palette.NETWORKS[k % len(palette.NETWORKS)] for k, name in enumerate(names)
    ]
    lines = legend(symbolType="stroke", symbolSize=500, symbolStrokeWidth=2.5, symbolOpacity=1)
    scale = alt.Scale(domain=list(names), range=colors)
    return alt.Color("whose:N", scale=scale, legend=lines if len(names) > 1 else None)


def _shown(reading: LayersReading, array: str) -> list[tuple[Place, str, LayersOf]]:
    """Return the networks that have an array, the first few; the twin first, so that it is drawn below them."""
    return [
        (place, label, network)
        for place, label, network in sorted(everyone(reading), key=lambda entry: entry[0] != "twin")
        if (place == "twin" or place < MOST_NETWORKS) and reading.array(place, array) is not None
    ]


def _names(shown: Sequence[tuple[Place, str, LayersOf]]) -> tuple[list[str], str | None]:
    """Return the labels in the order of the legend, the twin last, and which one is the twin's."""
    twin = next((label for place, label, _ in shown if place == "twin"), None)
    return [label for _, label, _ in shown if label != twin] + ([twin] if twin else []), twin


def _positions(shown: Sequence[tuple[Place, str, LayersOf]]) -> tuple[list[list[float]], alt.X]:
    """Place layers by number where the networks are equally long, else by relative depth."""
    lengths = [len(network.layers) for _, _, network in shown]
    if len(set(lengths)) == 1:
        places = [[float(i) for i in range(length)] for length in lengths]
        scale = alt.Scale(domain=[-0.5, lengths[0] - 0.5], nice=False, zero=False)
        return places, alt.X("x:Q", title="layer", scale=scale, axis=alt.Axis(grid=False, tickMinStep=1, format="d"))
    places = [[i / max(length - 1, 1) for i in range(length)] for length in lengths]
    scale = alt.Scale(domain=[0, 1])
    return places, alt.X("x:Q", title="relative depth", scale=scale, axis=alt.Axis(grid=False, format="%"))


def _bands(reading: LayersReading, shown: Sequence[tuple[Place, str, LayersOf]], x: alt.X) -> list[Any]:
    """Shade the blocks of the first network, where layers have numbers."""
    blocks = [block for block in reading.networks[0].blocks if block.stratum == "all"]
    if not blocks or len({len(network.layers) for _, _, network in shown}) != 1 or len(reading.networks) > 1:
        return []
    rows = [{"a": block.first - 0.5, "b": block.last + 0.5} for block in blocks]
    left = x.copy()
    left.shorthand = "a:Q"
    return [
        alt.Chart(alt.Data(values=rows))
        .mark_rect(color=palette.TWIN, opacity=0.14, tooltip=None)
        .encode(x=left, x2="b:Q")
    ]


def _first_components(reading: LayersReading, width: Width) -> tuple[Figure, ...]:
    shown = _shown(reading, "pc_share")
    if not shown:
        return ()
    places, x = _positions(shown)
    rows = []
    for (place, label, network), at in zip(shown, places, strict=True):
        share = reading.array(place, "pc_share")
        assert share is not None
        rows += [
            {
                "whose": label,
                "x": round(at[i], 4),
                "y": None if np.isnan(share[i, 0]) else round(float(share[i, 0]), 4),
                "layer": f"{i} · {layer.name}",
                "words": ", ".join(percent(float(value)) for value in share[i, :3])
                if np.isfinite(share[i, 0])
                else f"no value: {layer.reason or 'not taken'}",
            }
            for i, layer in enumerate(network.layers)
        ]
    names, twin = _names(shown)
    y = alt.Y("y:Q", title="share of variance", scale=alt.Scale(domain=[0, 1]), axis=percent_axis())
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, y=y, color=network_color(names, twin))
    tip = [
        alt.Tooltip("whose:N", title="network"),
        alt.Tooltip("layer:N"),
        alt.Tooltip("words:N", title="largest components"),
    ]
    chart = alt.layer(
        *_bands(reading, shown, x),
        base.mark_line(strokeWidth=1.8),
        base.mark_circle(size=_dot(shown), opacity=1).encode(tooltip=tip),
    ).properties(width=width, height=260, **_renderer(shown))
    caption = (
        "How much of a layer's variance over examples lies in its first principal component. Inside a block it is "
        "often, but not always, large."
    )
    caption += " Shaded: the block." if _bands(reading, shown, x) else ""
    return (Figure("pc_share", "The first principal component, layer by layer", caption, chart),)


def _probes(reading: LayersReading, width: Width) -> tuple[Figure, ...]:
    shown = [entry for entry in _shown(reading, "probe") if entry[2].probing is not None]
    if not shown:
        return ()
    places, x = _positions(shown)
    rows, ends, chances = [], [], []
    for (place, label, network), at in zip(shown, places, strict=True):
        found, low, high = (reading.array(place, name) for name in ("probe", "probe_low", "probe_high"))
        probing = network.probing
        assert found is not None
        assert probing is not None
        for i, layer in enumerate(network.layers):
            if np.isnan(found[i]):
                continue
            bounds = (None, None) if low is None or high is None else (float(low[i]), float(high[i]))
            row = {
                "whose": label,
                "x": round(at[i], 4),
                "y": round(float(found[i]), 4),
                "layer": f"{i} · {layer.name}",
                "kind": KIND[layer.kind],
                "words": f"{percent(float(found[i]))} ({span(*bounds)})",
            }
            if bounds[0] is not None and bounds[1] is not None:
                row |= {"low": round(bounds[0], 4), "high": round(bounds[1], 4)}
            rows.append(row)
        if probing.saturation is not None:
            name = network.layers[probing.saturation].name
            ends.append(
                {"whose": label, "x": round(at[probing.saturation], 4), "layer": f"{probing.saturation} · {name}"}
            )
        chances.append({"whose": label, "y": round(probing.chance, 4)})
    names, twin = _names(shown)
    color = network_color(names, twin)
    whole = alt.Scale(domain=[0, 1])
    y = alt.Y("y:Q", title="held-out accuracy", scale=whole, axis=percent_axis())
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, color=color)
    tip = [
        alt.Tooltip("whose:N", title="network"),
        alt.Tooltip("layer:N"),
        alt.Tooltip("kind:N", title="where"),
        alt.Tooltip("words:N", title="accuracy"),
    ]
    shape = alt.Shape(
        "kind:N",
        scale=alt.Scale(domain=list(KINDS), range=["circle", "triangle-down"]),
        legend=legend(symbolType="circle", symbolFillColor=palette.GAP, symbolStrokeColor=palette.GAP),
    )
    chart = alt.layer(
        alt.Chart(alt.Data(values=chances[:1]))
        .mark_rule(strokeDash=[2, 4], opacity=0.8)
        .encode(y=alt.Y("y:Q", scale=whole)),
        base.mark_line(strokeWidth=1, opacity=0.55).encode(y=y),
        base.mark_rule(strokeWidth=2, opacity=0.3).encode(y=alt.Y("low:Q", scale=whole), y2="high:Q"),
        alt.Chart(alt.Data(values=ends))
        .mark_rule(strokeDash=[6, 4], strokeWidth=1.6)
        .encode(
            x=x,
            color=color,
            tooltip=[alt.Tooltip("whose:N", title="network"), alt.Tooltip("layer:N", title="as good as the best from")],
        ),
        base.mark_point(filled=True, size=1.6 * _dot(shown), opacity=1).encode(y=y, shape=shape, tooltip=tip),
    ).properties(width=width, height=300, **_renderer(shown))
    first = shown[-1][2].probing
    assert first is not None
    caption = (
        "A linear classifier on each layer, held out: it says what can be read from the layer, not what the network "
        "uses."
        f" Bars: 95 % over {count(first.test)} test examples. Dashed: the first layer that is within one standard error"
        " of the best. Dotted: the most frequent class."
    )
    return (Figure("probe", "What a linear classifier can read", caption, chart),)


def _renderer(shown: Sequence[tuple[Place, str, LayersOf]]) -> dict[str, Any]:
    """Draw thousands of marks as pixels."""
    marks = sum(len(network.layers) for _, _, network in shown)
    return {"usermeta": {"renderer": CANVAS}} if marks > MOST_ELEMENTS else {}


def _dot(shown: Sequence[tuple[Place, str, LayersOf]]) -> float:
    """Return the area of a dot: smaller for many layers."""
    most = max(len(network.layers) for _, _, network in shown)
    return float(np.clip(2400 / most, 6, 44))
