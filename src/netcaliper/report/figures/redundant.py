"""How much of a site is said twice: variance spectra, and how well each unit is predicted by all others."""

import altair as alt
import numpy as np
from jaxtyping import Float, Int

from netcaliper.reading.reading import Reading
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, depth_color, height, hover, percent_axis, site_axis

MOST_POINTS = 100
ALL_POINTS = 12_000
KEPT = 0.95
EDGES = (-np.inf, 0.3, 0.5, 0.7, 0.8, 0.9, 0.99, 0.999, 1 - 1e-9, np.inf)
BINS = ("<.3", ".3", ".5", ".7", ".8", ".9", ".99", ".999", "1")


def draw(reading: Reading, width: Width = 680) -> tuple[Figure, ...]:
    """Draw the redundancy of the sites.

    Args:
        reading: the record; the arrays ``spectrum``, ``correlation_spectrum`` and ``r2`` are used.
        width: of the charts in pixels, or ``"container"``.

    Returns:
        ``spectrum_covariance``, ``spectrum_correlation`` and ``r2``, those that the arrays allow.
    """
    covariance = _spectra(
        reading,
        width,
        array="spectrum",
        name="spectrum_covariance",
        title="Variance kept by the largest components",
        caption="Covariance: a unit on a large scale counts more.",
    )
    correlation = _spectra(
        reading,
        width,
        array="correlation_spectrum",
        name="spectrum_correlation",
        title="The same with every unit on one scale",
        caption="Correlation: every unit that varies counts the same.",
    )
    return (*covariance, *correlation, *_r2(reading, width))


def cumulative(spectrum: Float[np.ndarray, "m"]) -> Float[np.ndarray, "m"]:
    """Return the share of the variance in the k largest components, k = 1..m; rounding below zero counts as zero."""
    clipped = np.clip(np.sort(spectrum)[::-1], 0, None)
    return np.cumsum(clipped) / clipped.sum()


def sample(length: int, points: int) -> Int[np.ndarray, "k"]:
    """Choose at most ``points`` of ``length`` positions: first and last, dense at the start, where spectra turn."""
    if length <= points:
        return np.arange(length)
    even = np.linspace(0, length - 1, points // 2)
    dense = np.geomspace(1, length, points - points // 2) - 1
    return np.unique(np.round(np.concatenate([even, dense])).astype(int))


def _spectra(reading: Reading, width: Width, *, array: str, name: str, title: str, caption: str) -> tuple[Figure, ...]:
    usable = []
    for index, site in enumerate(reading.sites):
        spectrum = reading.array(index, array)
        if spectrum is not None and len(spectrum) and np.isfinite(spectrum).all() and spectrum.max() > 0:
            usable.append((index, site, spectrum))
    if not usable:
        return ()
    points = max(min(MOST_POINTS, ALL_POINTS // len(usable)), 20)
    rows = []
    for index, site, spectrum in usable:
        kept = cumulative(spectrum)
        at = sample(len(kept), points)
        enough = int(np.searchsorted(kept, KEPT - 1e-12) + 1)
        rows.append(
            {
                "site": site.name,
                "place": index + 1,
                "components": f"{enough:,} of {len(kept):,}",
                # Rounded: four digits are more than a screen shows, and the page stays small.
                "x": [0.0, *(round(float(value), 4) for value in (at + 1) / len(kept))],
                "y": [0.0, *(round(float(value), 4) for value in kept[at])],
            }
        )
    over = hover(name)
    line = (
        alt.Chart(alt.Data(values=rows))
        .transform_flatten(["x", "y"])
        .mark_line(interpolate="monotone")
        .encode(
            x=alt.X("x:Q", title="share of components", scale=alt.Scale(domain=[0, 1]), axis=percent_axis()),
            y=alt.Y("y:Q", title="share of variance", scale=alt.Scale(domain=[0, 1]), axis=percent_axis()),
            detail="site:N",
            color=depth_color(len(reading.sites)),
            strokeWidth=alt.condition(over, alt.value(3.5), alt.value(1.6 if len(usable) <= 40 else 0.9)),
            opacity=alt.condition(over, alt.value(1.0), alt.value(0.85 if len(usable) <= 40 else 0.45)),
            tooltip=[
                alt.Tooltip("site:N"),
                alt.Tooltip("place:Q", title="place in the graph"),
                alt.Tooltip("components:N", title="components for 95 %"),
            ],
        )
        .add_params(over)
    )
    rule = alt.Chart(alt.Data(values=[{"y": KEPT}])).mark_rule(strokeDash=[4, 4], opacity=0.7).encode(y="y:Q")
    chart = alt.layer(rule, line).properties(width=width, height=300)
    return (Figure(name, title, f"{caption} One line a site; dashed: 95 % of the variance.", chart),)


def _r2(reading: Reading, width: Width) -> tuple[Figure, ...]:
    rows, names = [], []
    for index, site in enumerate(reading.sites):
        values = reading.array(index, "r2")
        if values is None or not np.isfinite(values).any():
            continue
        values = values[np.isfinite(values)]
        names.append(site.name)
        counts, _ = np.histogram(values, bins=np.array(EDGES))
        for label, number in zip(BINS, counts, strict=True):
            rows.append(
                {
                    "site": site.name,
                    "r2": label,
                    "share": round(float(number / len(values)), 4),
                    "units": f"{number:,} of {len(values):,}",
                }
            )
    if not rows:
        return ()
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_rect()
        .encode(
            y=site_axis(names),
            x=alt.X(
                "r2:O",
                sort=list(BINS),
                title="R² of a unit on all others, from",
                axis=alt.Axis(labelAngle=0, labelOverlap=False, ticks=False, domain=False),
                scale=alt.Scale(paddingInner=0.04),
            ),
            color=alt.Color(
                "share:Q",
                scale=alt.Scale(domain=[0, 1], range=list(palette.INTENSITY)),
                legend=alt.Legend(
                    title="share of units",
                    orient="top",
                    direction="horizontal",
                    gradientLength=140,
                    gradientThickness=8,
                    values=[0, 0.5, 1],
                    titleOrient="left",
                    format="%",
                ),
            ),
            tooltip=[alt.Tooltip("site:N"), alt.Tooltip("r2:O", title="R² from"), alt.Tooltip("units:N")],
        )
        .properties(width=width, height=height(len(names)))
    )
    caption = (
        "How much of each unit the other units of its site predict, linearly. Far right: all of it (1 − R² below 10⁻⁹)."
        " Copies come in pairs, both predicted, and one of the two can go: more units are predictable than can be "
        "removed together."
    )
    return (Figure("r2", "How well the others predict a unit", caption, chart),)
