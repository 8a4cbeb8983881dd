"""Residual blocks dropped: from the end of each stage, one alone, in random order, and as many as can go together."""

from typing import Any

import altair as alt
import numpy as np

from netcaliper.reading.layers import Deletion
from netcaliper.reading.layers_names import everyone
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.numerals import count, percent, plural, span
from netcaliper.report import palette
from netcaliper.report.figures.figure import Figure, Width, legend, percent_axis

MOST_NETWORKS = 4
STAYS = {"accuracy": "accuracy", "agreement": "same answers as the whole network"}
END, ALONE = "from the end of its stage up to here", "this one alone"
RANDOM, CHOSEN = "in random order", "in the chosen order (select examples)"


def draw(reading: LayersReading, width: Width = 680) -> tuple[Figure, ...]:
    """Draw what dropped blocks cost.

    Args:
        reading: the record; the arrays ``drop_*`` are used.
        width: of the charts in pixels, or ``"container"``.

    Returns:
        ``deletion-<network>`` and ``deletion_together-<network>``, those that the arrays allow.
    """
    found: list[Figure] = []
    for place, label, network in everyone(reading)[:MOST_NETWORKS]:
        if network.deletion is None:
            continue
        arrays = {
            name: reading.array(place, f"drop_{name}")
            for name in (
                "stage_end", "stage_end_low", "stage_end_high", "leave_one_out", "leave_one_out_low",
                "leave_one_out_high", "random", "together",
            )
        }  # fmt: skip
        whose = "" if len(reading.networks) == 1 else f"{label}: "
        found += _blocks(network.deletion, arrays, width, f"deletion-{place}", whose)
        found += _together(network.deletion, arrays, width, f"deletion_together-{place}", whose)
    return tuple(found)


def _blocks(
    deletion: Deletion, arrays: dict[str, np.ndarray | None], width: Width, name: str, whose: str
) -> tuple[Figure, ...]:
    rows: list[dict[str, Any]] = []
    for array, way in (("stage_end", END), ("leave_one_out", ALONE)):
        values, low, high = (arrays[f"{array}{end}"] for end in ("", "_low", "_high"))
        for k, block in enumerate(deletion.blocks):
            if values is None or not np.isfinite(values[k]):
                continue
            row = {
                "x": k + 1,
                "y": round(float(values[k]), 4),
                "way": way,
                "line": f"{way} {block.stage}",
                "block": f"{k + 1} · {block.name}",
                "words": percent(float(values[k])),
            }
            if low is not None and high is not None and np.isfinite(low[k]):
                row |= {"low": round(float(low[k]), 4), "high": round(float(high[k]), 4)}
                row["words"] += f" ({span(float(low[k]), float(high[k]))})"
            rows.append(row)
    if not rows:
        return ()
    ways = [way for way in (END, ALONE) if any(row["way"] == way for row in rows)]
    colors = {END: palette.NETWORKS[0], ALONE: palette.NETWORKS[1]}
    color = alt.Color(
        "way:N",
        scale=alt.Scale(domain=ways, range=[colors[way] for way in ways]),
        legend=legend(symbolType="circle", symbolOpacity=1, labelLimit=320),
    )
    scale = alt.Scale(domain=[0, 1])
    x = alt.X(
        "x:Q",
        title="residual block",
        scale=alt.Scale(domain=[0.5, len(deletion.blocks) + 0.5], nice=False, zero=False),
        axis=alt.Axis(grid=False, tickMinStep=1, format="d"),
    )
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, color=color)
    y = alt.Y("y:Q", title=STAYS[deletion.metric], scale=scale, axis=percent_axis())
    tip = [alt.Tooltip("block:N"), alt.Tooltip("way:N", title="dropped"), alt.Tooltip("words:N", title="stays")]
    dot = float(np.clip(1800 / len(deletion.blocks), 14, 60))
    chart = alt.layer(
        *_plain(deletion, scale),
        base.transform_filter(alt.datum.way == END).mark_line(strokeWidth=1.8).encode(y=y, detail="line:N"),
        base.mark_rule(strokeWidth=2, opacity=0.35).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        base.mark_circle(size=dot, opacity=1).encode(y=y, tooltip=tip),
    ).properties(width=width, height=280)
    fixed = [block for block in deletion.blocks if block.reason]
    caption = (
        f"The branch of a block is set to zero, its shortcut stays; nothing is trained again. One line a stage. Upper "
        f"rule: nothing dropped ({percent(deletion.plain)}); dashed: {100 * deletion.margin:.1f} points lower. Bars: "
        f"95 % over {plural(deletion.examples, 'example')}."
    )
    if fixed:
        caption += f" {plural(len(fixed), 'block')} cannot be dropped: {fixed[0].reason}."
    return (Figure(name, f"{whose}Residual blocks dropped".strip(), caption, chart),)


def _together(
    deletion: Deletion, arrays: dict[str, np.ndarray | None], width: Width, name: str, whose: str
) -> tuple[Figure, ...]:
    rows: list[dict[str, Any]] = []
    random, together = arrays["random"], arrays["together"]
    orders = [] if random is None else [(RANDOM, f"random {k}", values) for k, values in enumerate(random)]
    if together is not None:
        orders.append((CHOSEN, "chosen", together))
    for way, line, values in orders:
        rows.append({"x": 0, "y": round(deletion.plain, 4), "way": way, "line": line, "words": percent(deletion.plain)})
        rows += [
            {"x": k + 1, "y": round(float(value), 4), "way": way, "line": line, "words": percent(float(value))}
            for k, value in enumerate(values)
            if np.isfinite(value)
        ]
    if not rows:
        return ()
    ways = [way for way in (CHOSEN, RANDOM) if any(row["way"] == way for row in rows)]
    colors = {CHOSEN: palette.LINE, RANDOM: palette.TWIN}
    scale = alt.Scale(domain=[0, 1])
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("x:Q", title="residual blocks dropped together", axis=alt.Axis(grid=False, tickMinStep=1, format="d")),
        y=alt.Y("y:Q", title=STAYS[deletion.metric], scale=scale, axis=percent_axis()),
        color=alt.Color(
            "way:N",
            scale=alt.Scale(domain=ways, range=[colors[way] for way in ways]),
            legend=legend(symbolType="circle", symbolOpacity=1, labelLimit=320),
        ),
        detail="line:N",
    )
    tip = [
        alt.Tooltip("x:Q", title="blocks dropped", format="d"),
        alt.Tooltip("way:N", title="how"),
        alt.Tooltip("words:N", title="stays"),
    ]
    chart = alt.layer(
        *_plain(deletion, scale),
        base.mark_line(strokeWidth=1.8),
        base.mark_circle(size=26, opacity=1).encode(tooltip=tip),
    ).properties(width=width, height=260)
    return (Figure(name, f"{whose}Several at once", _confirmed(deletion), chart),)


def _confirmed(deletion: Deletion) -> str:
    """Say what was confirmed on examples that nothing was chosen on."""
    if deletion.sentence:
        return deletion.sentence
    if deletion.droppable is None:
        return "How many can go together was not confirmed."
    words = f"{count(deletion.droppable)} can go together within {100 * deletion.margin:.1f} points"
    if deletion.lost is not None and deletion.lost_high is not None:
        words += (
            f": on {plural(deletion.verified, 'verify example')} they lose {100 * deletion.lost:.1f}, at most "
            f"{100 * deletion.lost_high:.1f} (one-sided 95 %)"
        )
    return words + "."


def _plain(deletion: Deletion, scale: alt.Scale) -> list[Any]:
    """Draw the rule of the whole network, and the one that may be reached."""
    rows = [{"y": round(deletion.plain, 4)}]
    lower = [{"y": round(deletion.plain - deletion.margin, 4)}]
    y = alt.Y("y:Q", scale=scale)
    return [
        alt.Chart(alt.Data(values=rows)).mark_rule(opacity=0.7).encode(y=y),
        alt.Chart(alt.Data(values=lower)).mark_rule(strokeDash=[4, 4], opacity=0.7).encode(y=y),
    ]
