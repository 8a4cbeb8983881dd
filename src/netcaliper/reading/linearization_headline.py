"""What a linearization says, in sentences: how much of the network must bend, and whether learning what does pays."""

import numpy as np

from netcaliper.reading.linearization import Core, LinearizationRecord, Point, PointKind
from netcaliper.reading.numerals import MISSING, count, decimal, percent, plural, points

KIND_WORDS: dict[PointKind, str] = {
    "unbent": "unbent",
    "learned": "learned",
    "random": "random units",
    "layer": "whole layers",
    "one_shot": "straightest first",
    "shallow": "shallow from scratch",
}
"""How each kind of point is called where there is room for a word or two."""

HEADS = ("network", "omega", "bending", "share", "path length", "select", "verify", "interval", "lost", "status")


def headline(record: LinearizationRecord) -> str:
    """Say in one sentence how much of the network must bend."""
    core = record.core
    if core is None:
        return f"{record.name}: there is no core network, because the unbent reference {record.points[0].status}."
    point, units = record.points[core.point], sum(site.units for site in record.sites)
    share = percent(core.share)
    if point.active == 0:
        said = f"none of {plural(units, 'unit')} must bend"
    elif core.next is None and point.kind == "unbent":
        return f"{record.name}: no training made it linear anywhere, so that nothing is known of its core."
    else:
        said = f"{'at most ' if core.next is None else ''}{share} of {plural(units, 'unit')} must bend"
    length = ""
    if core.path_length is not None:
        before = record.points[0].lengths.normalized
        length = f"; effective depth {decimal(core.path_length)}" + ("" if before is None else f" of {decimal(before)}")
    return f"{record.name}: {said} for {_within(record, core)}{length}."


def lead(record: LinearizationRecord) -> str:
    """Say what stands below the headline: the core network's quality on verify examples, and what else was tried."""
    parts = []
    core = record.core
    if core is not None:
        point = record.points[core.point]
        parts.append(f"The core network ({point.name}) has {quality_words(record, point)} on verify examples")
        reference = record.points[0]
        parts[-1] += "." if point is reference else f"; the unbent reference {quality_words(record, reference)}."
        if point.lost is not None and point is not reference:
            parts.append(_lost(point.lost.value, point.lost.low, point.lost.high))
        worst = worst_class(record, core.point)
        if worst is not None and point is not reference:
            parts.append(f"Class {worst[0]} loses most: {points(-worst[1])} points.")
    parts += [sentence for kind in ("random", "one_shot") if (sentence := against(record, kind))]
    return " ".join(parts)


def against(record: LinearizationRecord, kind: PointKind) -> str:
    """Say how the learned points do against baselines with as many bending units; nothing if there is none."""
    pairs = [
        (record.points[point.like].verify, point.verify)
        for point in record.points
        if point.kind == kind and point.like is not None
    ]
    gaps = [mine.value - other.value for mine, other in pairs if mine is not None and other is not None]
    if not gaps:
        return ""
    better = sum(gap > 0 for gap in gaps)
    least, most = min(gaps), max(gaps)
    if _is_accuracy(record):
        span = f"{points(least)} points" if points(least) == points(most) else f"{points(least, most)} points"
    else:
        span = f"{least:+.3g} to {most:+.3g} {record.protocol.quality}"
    return (
        f"Learned units do better than {KIND_WORDS[kind]} of the same number in {better} of {len(gaps)} networks "
        f"({span})."
    )


def worst_class(record: LinearizationRecord, point: int) -> tuple[int, float] | None:
    """Return the class that loses most accuracy against the reference on verify examples, and how much."""
    before, after = record.array(0, "class_accuracy"), record.array(point, "class_accuracy")
    if before is None or after is None or before.shape != after.shape:
        return None
    lost = np.where(np.isfinite(before) & np.isfinite(after), before - after, 0.0)
    worst = int(lost.argmax())
    return (worst, float(lost[worst])) if lost[worst] > 0 else None


def quality_words(record: LinearizationRecord, point: Point) -> str:
    """Say the quality of a point on verify examples, e.g. ``accuracy 96.1 %``."""
    return f"{record.protocol.quality} {quality(record, None if point.verify is None else point.verify.value)}"


def quality(record: LinearizationRecord, value: float | None) -> str:
    """Write a quality: accuracy as a percentage, other measures as they are."""
    if value is None:
        return MISSING
    return percent(value) if _is_accuracy(record) else f"{value:.4g}"


def rows(record: LinearizationRecord) -> list[tuple[str, ...]]:
    """Return a table of the points in words, its columns ``HEADS``."""
    laid = []
    for place, point in enumerate(record.points):
        verify = point.verify
        span = None if verify is None or verify.low is None or verify.high is None else (verify.low, verify.high)
        mark = " *" if record.core is not None and record.core.point == place else ""
        laid.append(
            (
                f"{KIND_WORDS[point.kind]}{mark}",
                MISSING if point.omega is None else f"{point.omega:.3g}",
                count(point.active),
                percent(point.share),
                decimal(point.lengths.normalized),
                quality(record, None if point.select is None else point.select.value),
                quality(record, None if verify is None else verify.value),
                MISSING if span is None else f"{100 * span[0]:.1f} to {100 * span[1]:.1f} %",
                MISSING if point.lost is None or point.kind == "unbent" else points(point.lost.value),
                point.status,
            )
        )
    return laid


def all_warnings(record: LinearizationRecord) -> list[str]:
    """Return every warning with what it is about."""
    own = [f"{point.name}: {warning}." for point in record.points for warning in point.warnings]
    return list(dict.fromkeys([*record.warnings, *own]))


def _lost(value: float, low: float, high: float) -> str:
    """Say what is lost, as a size; what is gained is not called a negative loss."""
    if value < 0:
        value, low, high, verb = -value, -high, -low, "gains"
    else:
        verb = "loses"
    return f"It {verb} {100 * value:.1f} points (one-sided 95 % bounds {100 * low:.1f} to {100 * high:.1f})."


def _is_accuracy(record: LinearizationRecord) -> bool:
    return record.protocol.quality.endswith("accuracy")


def _within(record: LinearizationRecord, core: Core) -> str:
    if _is_accuracy(record):
        return (
            f"an accuracy within {100 * core.margin:g} {'point' if core.margin == 0.01 else 'points'} of the unbent one"
        )
    return f"a {record.protocol.quality} within {core.margin:g} of the unbent one"
