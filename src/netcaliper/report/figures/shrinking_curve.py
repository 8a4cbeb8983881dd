"""Agreement against size: every network on the way to the small one, and others of its size, as points."""

from typing import Any

import altair as alt

from netcaliper.reading.numerals import count, percent, plural
from netcaliper.reading.shrinking import ShrinkReading
from netcaliper.reading.shrinking_headline import target_words
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, legend, near_or_all, switched_axis

AXES = {
    "parameters": ("parameters", "parameters, of those of the given network"),
    "macs": ("multiply-adds", "multiply-adds, of those of the given network"),
}
"""What agreement is drawn against: (on the switch, below the axis)."""

NEAR = 3.0
"""Without being asked for all, the chart shows what loses at most so many times as much as the small network."""


def draw(reading: ShrinkReading, width: Width = 680) -> tuple[Figure, ...]:
    """Draw agreement with the given network against the share of its parameters, with a switch to multiply-adds.

    Args:
        reading: the plan and the proof.
        width: of the chart in pixels, or ``"container"``.

    Returns:
        ``shrinking_curve``; nothing without a curve and without baselines.
    """
    rows = _rows(reading)
    if len(rows) < 2:
        return ()
    height = 360
    present = [key for key in palette.SHRUNK if any(row["kind"] == key for row in rows)]
    shown = [palette.SHRUNK[key] for key in present]
    across, title = switched_axis("across", AXES, height)
    least, everything, most = _range(reading, rows)
    bottom, how = near_or_all("the small network", least, everything, most)
    scale = alt.Scale(domainMin=bottom, domainMax=most, zero=False, nice=False)
    y = alt.Y("y:Q", title="agreement", scale=scale, axis=alt.Axis(format=".1~%", tickCount=6))
    x = alt.X(
        "x:Q", title=None, scale=alt.Scale(zero=False, nice=False, padding=14),
        axis=alt.Axis(format=".0~%", grid=False, tickCount=6),
    )  # fmt: skip
    base = alt.Chart(alt.Data(values=rows)).transform_calculate(x="datum[across]")
    names = [label for label, _, _ in shown]
    key = legend(symbolType=alt.Undefined, symbolOpacity=1, symbolStrokeWidth=0, labelLimit=320)
    color = alt.Color("whose:N", scale=alt.Scale(domain=names, range=[ink for _, ink, _ in shown]), legend=key)
    shape = alt.Shape("whose:N", scale=alt.Scale(domain=names, range=[form for _, _, form in shown]), legend=key)
    tips = [
        alt.Tooltip(f"{field}:N", title=words)
        for field, words in (
            ("whose", "network"), ("same", "agreement"), ("size", "parameters"), ("work", "multiply-adds"),
        )
    ]  # fmt: skip
    way = base.transform_filter("datum.kind == 'select'")
    others = base.transform_filter("datum.kind != 'select'")
    layers = [
        *_targets(reading, scale, x),
        way.mark_line(strokeWidth=2, clip=True).encode(x=x, y=y, color=color, order=alt.Order("x:Q")),
        base.mark_rule(strokeWidth=2, opacity=0.4, clip=True).encode(
            x=x, y=alt.Y("low:Q", scale=scale), y2="y:Q", color=color
        ),
        way.mark_point(filled=True, opacity=1, size=34, clip=True).encode(
            x=x, y=y, color=color, shape=shape, tooltip=tips
        ),
        way.transform_filter("datum.chosen")
        .mark_point(filled=False, size=330, strokeWidth=2, style="twin", tooltip=None, clip=True)
        .encode(x=x, y=y),
        others.mark_point(filled=True, opacity=1, size=95, clip=True).encode(
            x=x, y=y, color=color, shape=shape, tooltip=tips
        ),
        title,
    ]
    chart = alt.layer(*layers).properties(width=width, height=height).add_params(across, *how)
    below = sum(row["y"] < least for row in rows)
    return (Figure("shrinking_curve", "Agreement against size", _caption(reading, below), chart),)


def _rows(reading: ShrinkReading) -> list[dict[str, Any]]:
    """Lay out the networks on the way, the small one, and the others of its size."""
    plan, proof = reading.plan, reading.proof
    rows = [
        _row(reading, "select", point.parameters, point.macs, point.agreement, point.agreement_low)
        | {"chosen": point.chosen}
        for point in plan.curve
    ]
    size = proof.parameters_after, proof.macs_after
    rows.append(_row(reading, "verify", *size, proof.agreement, proof.agreement_low))
    rows += [
        _row(
            reading, f"{found.name}{'_refitted' if found.refitted else ''}", *size, found.agreement, found.agreement_low
        )
        for found in proof.baselines
    ]
    return rows


def _row(
    reading: ShrinkReading, kind: str, parameters: int, macs: int, agreement: float, low: float | None
) -> dict[str, Any]:
    proof = reading.proof
    sure = "" if low is None else f", at least {percent(low)} at 95 %"
    return {
        "kind": kind,
        "whose": palette.SHRUNK[kind][0],
        "parameters": round(parameters / max(proof.parameters_before, 1), 5),
        "macs": round(macs / max(proof.macs_before, 1), 5),
        "y": round(agreement, 5),
        "low": round(agreement if low is None else low, 5),
        "same": f"{percent(agreement, digits=2)}{sure}",
        "size": f"{count(parameters)} of {count(proof.parameters_before)}",
        "work": f"{count(macs)} of {count(proof.macs_before)}",
        "chosen": False,
    }


def _range(reading: ShrinkReading, rows: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Return the lowest agreement that is shown at first, the lowest of all, and the highest."""
    proof, target = reading.proof, reading.plan.target
    lows = [proof.agreement if proof.agreement_low is None else proof.agreement_low]
    lows += [row["low"] for row in rows if row["chosen"]]
    lows += [target.value] if target.kind == "agreement" and target.value is not None else []
    most = max(1.0, *(row["y"] for row in rows))
    near = most - NEAR * (most - min(lows))
    inside = [row["low"] for row in rows if row["y"] >= near]
    everything = min(row["low"] for row in rows)
    least = min([*inside, *lows])
    room = most - least or 0.01
    return least - 0.05 * room, everything, most + 0.05 * room


def _targets(reading: ShrinkReading, scale: alt.Scale, x: alt.X) -> list[Any]:
    """Draw what was asked for as a dashed line, where it is drawn."""
    target = reading.plan.target
    if target.value is None or target.kind not in ("agreement", *AXES):
        return []
    if target.kind == "agreement":
        rule = alt.Chart(alt.Data(values=[{"y": target.value}]))
        return [rule.mark_rule(strokeDash=[4, 4], opacity=0.8, clip=True).encode(y=alt.Y("y:Q", scale=scale))]
    # A layer without any place on the axis that is drawn would be complained about: there the rule is made invisible.
    place = alt.Chart(alt.Data(values=[dict.fromkeys(AXES, target.value)])).transform_calculate(x="datum[across]")
    seen = alt.ExprRef(f"across == '{target.kind}' ? 0.8 : 0")
    return [place.mark_rule(strokeDash=[4, 4], opacity=seen, clip=True).encode(x=x)]


def _caption(reading: ShrinkReading, below: int) -> str:
    plan, proof = reading.plan, reading.proof
    said = []
    if plan.curve:
        said.append(
            f"Line: networks on the way, on {plural(plan.splits.select, 'select example')}; ring: the one that was made"
        )
    said.append(f"Diamond: that network on {plural(proof.examples, 'verify example')}, which nothing was chosen on")
    if proof.baselines:
        said.append("Squares and triangles: as many units of every site taken away by another rule, verify examples")
    said.append("Bars go down to the one-sided 95 % bound")
    if plan.target.kind in ("agreement", *AXES):
        said.append(f"Dashed: what was asked for, {target_words(plan.target)}")
    if below:
        said.append(f"Below the chart until you show all: {plural(below, 'network')}")
    return ". ".join(said) + "."
