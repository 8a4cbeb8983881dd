"""Ablation curves: what is left of the predictions when more and more units go, and how many can."""

from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import numpy as np
from jaxtyping import Float

from netcaliper.reading.headline import twin_name
from netcaliper.reading.left_open import undefined
from netcaliper.reading.numerals import decimal, interval, percent, plural, span
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import Ablation, NetworkReading, SiteReading
from netcaliper.reading.verdicts import STANDS_IN, prunable
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, depth_color, height, hover, legend, percent_axis, site_axis
from netcaliper.stats.ablation_curve import t_interval

OURS = "this network"
STAYS = {
    "classification": "predictions that stay the same",
    "tokens": "next-token predictions that stay the same",
    "regression": "1 − relative error",
}
WHOLE = alt.Scale(domain=[0, 1])
NEAR_AXIS = 0.2
LINES = legend(symbolType="stroke", symbolSize=500, symbolStrokeWidth=2.5, symbolOpacity=1)


@dataclass(frozen=True)
class Curve:
    """The curves of all permutations in one.

    Attributes:
        levels: share of the units taken away.
        mean: over permutations, cut to [0, 1].
        low, high: 95 % t interval over permutations, level by level.
        kappa, divergence: means over permutations, ``None`` where they do not apply.
    """

    levels: Float[np.ndarray, " levels"]
    mean: Float[np.ndarray, " levels"]
    low: Float[np.ndarray, " levels"]
    high: Float[np.ndarray, " levels"]
    kappa: Float[np.ndarray, " levels"] | None
    divergence: Float[np.ndarray, " levels"] | None


def draw(reading: Reading, width: Width = 680) -> tuple[Figure, ...]:
    """Draw what can be taken away.

    Args:
        reading: the record; the arrays ``ablation_*`` are used.
        width: of the charts in pixels, or ``"container"``.

    Returns:
        ``ablation`` (all sites at once), ``prunable`` (the share by site) and ``ablation_sites`` (the curves by site),
        those that the reading has numbers for.
    """
    return (*_network(reading, width), *_shares(reading, width), *_sites(reading, width))


def curve(reading: Reading, place: int | Literal["network"], *, twin: bool = False) -> Curve | None:
    """Sum up the permutations at a site or of the whole network; ``None`` if there are no finite curves."""
    agreement = reading.array(place, "ablation_agreement", twin=twin)
    levels = reading.array(place, "ablation_levels", twin=twin)
    if agreement is None or levels is None or not len(agreement) or not np.isfinite(agreement).all():
        return None
    cut = np.clip(agreement, 0, 1)
    mean = cut.mean(axis=0)
    bounds = [t_interval(column) or (middle, middle) for column, middle in zip(cut.T, mean, strict=True)]
    low, high = np.array(bounds, dtype=float).T
    kappa, divergence = (
        None if array is None else array.mean(axis=0)
        for array in (reading.array(place, f"ablation_{name}", twin=twin) for name in ("kappa", "divergence"))
    )
    return Curve(levels, mean, low, high, kappa, divergence)


def _network(reading: Reading, width: Width) -> tuple[Figure, ...]:
    ablation = reading.network.ablation
    ours = curve(reading, "network")
    if ours is None or ablation is None:
        return ()
    networks = {OURS: (ours, reading.network)}
    if reading.twin is not None:
        theirs = curve(reading, "network", twin=True)
        if theirs is not None:
            networks[twin_name(reading.twin)] = (theirs, reading.twin.network)
    rows = [row for name, (found, _) in networks.items() for row in _rows(found, name)]
    ends = [
        _end(name, network) for name, (_, network) in networks.items() if network.prunable is not None
    ]  # where a curve crosses the threshold
    names = list(networks)
    color = alt.Color(
        "whose:N",
        scale=alt.Scale(domain=names, range=[palette.LINE, palette.TWIN][: len(names)]),
        legend=LINES if len(names) > 1 else None,
    )
    dash = alt.StrokeDash(
        "whose:N",
        scale=alt.Scale(domain=names, range=[[1, 0], [6, 4]][: len(names)]),
        legend=LINES if len(names) > 1 else None,
    )
    x = alt.X("x:Q", title=_gone(ablation), scale=WHOLE, axis=percent_axis())
    y_title = STAYS[ablation.task]
    base = alt.Chart(alt.Data(values=rows))
    band = base.mark_area(opacity=0.16).encode(
        x=x, y=alt.Y("low:Q", title=y_title, scale=WHOLE, axis=percent_axis()), y2="high:Q", color=color
    )
    words = [
        alt.Tooltip("whose:N", title="network"),
        alt.Tooltip("gone:N", title="taken away"),
        alt.Tooltip("stays:N", title="stays the same"),
        alt.Tooltip("kappa:N", title="beyond chance (kappa)"),
        alt.Tooltip("divergence:N", title="divergence"),
    ]
    if ours.kappa is None:
        words = words[:3]
    y = alt.Y("y:Q", title=y_title, scale=WHOLE)
    line = base.mark_line(strokeWidth=2.5).encode(x=x, y=y, color=color, strokeDash=dash)
    dots = base.mark_circle(size=26, opacity=1).encode(x=x, y=y, color=color, tooltip=words)
    chart = alt.layer(_threshold(ablation), band, line, dots, *_crossings(ends, color))
    caption = (
        f"The same share of the units of every inner site is {STANDS_IN[ablation.perturbation]}, "
        f"{_order(ablation)}. Line: mean of {plural(ablation.permutations, 'order')}; band: its 95 % interval over "
        f"them, level by level. Dashed across: the threshold. Large dot: the "
        f"{'largest' if reading.provenance.mode == 'paper' else 'mean'} of the points where the "
        f"{plural(ablation.permutations, 'curve')} first fall below it, the prunable share."
    )
    caption += _undefined(reading)
    return (Figure("ablation", "All sites at once", caption, chart.properties(width=width, height=320)),)


def _rows(found: Curve, name: str) -> list[dict[str, Any]]:
    """Lay a curve out as one row a level."""
    rows = []
    for k, level in enumerate(found.levels):
        low, high = float(found.low[k]), float(found.high[k])
        row = {
            "whose": name,
            "x": round(float(level), 4),
            "y": round(float(found.mean[k]), 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "gone": percent(float(level)),
            "stays": f"{percent(float(found.mean[k]))} ({span(low, high)})",
        }
        if found.kappa is not None:
            row["kappa"] = decimal(float(found.kappa[k]))
        if found.divergence is not None:
            row["divergence"] = f"{found.divergence[k]:.3g} nats"
        rows.append(row)
    return rows


def _end(name: str, network: NetworkReading) -> dict[str, Any]:
    """Lay out where a network crosses the threshold."""
    share, ablation = network.prunable, network.ablation
    assert share is not None
    assert ablation is not None
    low, high = (share.value if bound is None else bound for bound in (share.low, share.high))
    return {
        "whose": name,
        "x": round(share.value, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "y": ablation.threshold,
        "text": percent(share.value),
        "prunable": prunable(share, ablation, network.units),
    }


def _crossings(ends: list[dict[str, Any]], color: alt.Color) -> list[Any]:
    """Mark the prunable shares on the threshold, each with its interval and its number."""
    base = alt.Chart(alt.Data(values=ends))
    tip = [alt.Tooltip("whose:N", title="network"), alt.Tooltip("prunable:N")]
    x, y = alt.X("x:Q", scale=WHOLE), alt.Y("y:Q", scale=WHOLE)
    last = max(ends, key=lambda end: end["x"], default=None)
    return [
        base.mark_rule(strokeWidth=5, opacity=0.45).encode(
            x=alt.X("low:Q", scale=WHOLE), x2="high:Q", y=y, color=color
        ),
        base.mark_circle(size=130, opacity=1).encode(x=x, y=y, color=color, tooltip=tip),
        *(_label(end, color, right=end is last or end["x"] < NEAR_AXIS) for end in ends),
    ]


def _label(end: dict[str, Any], color: alt.Color, *, right: bool) -> Any:
    """Write a share where curves that fall leave room: to the upper right of the last, to the lower left of another."""
    mark = {"align": "left", "dx": 8, "dy": -14} if right else {"align": "right", "dx": -8, "dy": 16}
    text = alt.Chart(alt.Data(values=[end])).mark_text(fontSize=12, fontWeight=600, **mark)
    return text.encode(x=alt.X("x:Q", scale=WHOLE), y=alt.Y("y:Q", scale=WHOLE), text="text:N", color=color)


def _threshold(ablation: Ablation) -> Any:
    rule = alt.Chart(alt.Data(values=[{"y": ablation.threshold}])).mark_rule(strokeDash=[4, 4], opacity=0.7)
    return rule.encode(y=alt.Y("y:Q", scale=WHOLE))


def _gone(ablation: Ablation) -> str:
    if ablation.perturbation == "noise":
        return "noise, in standard deviations of the activations"
    return f"share of the units {STANDS_IN[ablation.perturbation]}"


def _order(ablation: Ablation) -> str:
    if ablation.order == "random":
        return "in random order"
    return "the most correlated with a random one first"


def _undefined(reading: Reading) -> str:
    """Say that the share of the twin is undefined, and why."""
    why = undefined(reading.twin.warnings) if reading.twin else None
    return f" The share of the same network {twin_name(reading.twin)} is {why}." if reading.twin and why else ""


def _shares(reading: Reading, width: Width) -> tuple[Figure, ...]:
    ours = [(site, site) for site in reading.sites]
    twins = list(zip(reading.sites, reading.twin.sites, strict=True)) if reading.twin else []
    rows = [_share(site, read, OURS) for site, read in ours if read.prunable is not None]
    name = twin_name(reading.twin) if reading.twin else ""
    names = [row["site"] for row in rows]
    rows += [_share(site, read, name) for site, read in twins if read.prunable is not None and site.name in set(names)]
    if not names:
        return ()
    kinds = [OURS, name] if len(rows) > len(names) else [OURS]
    tall = round(height(len(names)) * (1.4 if len(kinds) > 1 else 1))
    dot = min(70, max(0.35 * tall / len(names), 4) ** 2 * 1.6)
    key = alt.Legend(title=None, orient="top", symbolSize=90, symbolOpacity=1) if len(kinds) > 1 else None
    colors, shapes = [palette.LINE, palette.TWIN], ["circle", "diamond"]
    color = alt.Color("whose:N", scale=alt.Scale(domain=kinds, range=colors[: len(kinds)]), legend=key)
    shape = alt.Shape("whose:N", scale=alt.Scale(domain=kinds, range=shapes[: len(kinds)]), legend=key)
    offset = alt.YOffset("whose:N", scale=alt.Scale(domain=kinds, paddingOuter=0.4))
    axis = alt.X("value:Q", title="prunable share of the units", scale=WHOLE, axis=percent_axis())
    base = alt.Chart(alt.Data(values=rows)).encode(y=site_axis(names), yOffset=offset, color=color)
    tip = [alt.Tooltip("site:N"), alt.Tooltip("whose:N", title="network"), alt.Tooltip("words:N", title="prunable")]
    thin = base.mark_rule(strokeWidth=1).encode(x=alt.X("least:Q", scale=WHOLE, axis=percent_axis()), x2="most:Q")
    thick = base.mark_rule(strokeWidth=3, opacity=0.55).encode(x=alt.X("low:Q", scale=WHOLE), x2="high:Q")
    dots = base.mark_point(filled=True, opacity=1, size=dot).encode(x=axis, shape=shape, tooltip=tip)
    chart = alt.layer(thin, thick, dots).properties(width=width, height=tall)
    caption = (
        "The share of the units of each site alone that can be taken away. Dot: mean over orders; thick line: 95 % "
        "interval over orders; thin line: 95 % over examples."
    )
    missing = len(reading.sites) - len(names)
    if missing:
        caption += f" Left out: {plural(missing, 'site')}; why is said below the table of sites."
    return (Figure("prunable", "Site by site", caption, chart),)


def _share(site: SiteReading, read: SiteReading, whose: str) -> dict[str, Any]:
    """Lay out the share of one site."""
    share, ablation = read.prunable, read.ablation
    assert share is not None
    assert ablation is not None
    low, high = (share.value if bound is None else bound for bound in (share.low, share.high))
    least, most = ablation.bootstrap_low, ablation.bootstrap_high
    return {
        "site": site.name,
        "whose": whose,
        "value": round(share.value, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "least": round(share.value if least is None else least, 4),
        "most": round(share.value if most is None else most, 4),
        "words": prunable(share, ablation, read.units),
    }


def _sites(reading: Reading, width: Width) -> tuple[Figure, ...]:
    rows, beside = [], []
    ablation = None
    for index, site in enumerate(reading.sites):
        found = curve(reading, index)
        if found is None or site.ablation is None:
            continue
        ablation = ablation or site.ablation
        share = site.prunable
        words = "undefined" if share is None else f"{percent(share.value)} ({interval(share)})"
        rows.append(_packed(found, site.name) | {"place": index + 1, "prunable": words})
        theirs = curve(reading, index, twin=True)
        if theirs is not None:
            beside.append(_packed(theirs, site.name))
    if ablation is None:
        return ()
    over = hover("ablation")
    x = alt.X("x:Q", title=_gone(ablation), scale=WHOLE, axis=percent_axis())
    y = alt.Y("y:Q", title=STAYS[ablation.task], scale=WHOLE, axis=percent_axis())
    many = len(rows) > 40
    base = alt.Chart(alt.Data(values=rows)).transform_flatten(["x", "y", "low", "high"])
    band = base.mark_area(color=palette.TWIN).encode(
        x=x, y=alt.Y("low:Q", scale=WHOLE), y2="high:Q", detail="site:N",
        opacity=alt.condition(over, alt.value(0.3), alt.value(0)),
    )  # fmt: skip
    line = (
        base.mark_line()
        .encode(
            x=x,
            y=y,
            detail="site:N",
            color=depth_color(len(reading.sites)),
            strokeWidth=alt.condition(over, alt.value(3.5), alt.value(0.9 if many else 1.6)),
            opacity=alt.condition(over, alt.value(1.0), alt.value(0.45 if many else 0.85)),
            tooltip=[
                alt.Tooltip("site:N"),
                alt.Tooltip("place:Q", title="place in the graph"),
                alt.Tooltip("prunable:N"),
            ],
        )
        .add_params(over)
    )
    layers = [_threshold(ablation), band]
    if beside:
        twin = alt.Chart(alt.Data(values=beside)).transform_flatten(["x", "y"])
        layers.append(
            twin.mark_line(strokeDash=[6, 4], strokeWidth=2, color=palette.TWIN).encode(
                x=x, y=y, detail="site:N", opacity=alt.condition(over, alt.value(1), alt.value(0))
            )
        )
    chart = alt.layer(*layers, line).properties(width=width, height=300)
    caption = (
        "One line a site, its units alone taken away: mean over orders. Dashed across: the threshold. Point at a line "
        "for its 95 % band"
    )
    caption += f" and, dashed, the same site {twin_name(reading.twin)}." if reading.twin and beside else "."
    return (Figure("ablation_sites", "The curve of each site", caption, chart),)


def _packed(found: Curve, site: str) -> dict[str, Any]:
    """Lay a curve out as one row; rounded, so that the page stays small."""
    arrays = {"x": found.levels, "y": found.mean, "low": found.low, "high": found.high}
    return {"site": site} | {name: [round(float(value), 4) for value in array] for name, array in arrays.items()}
