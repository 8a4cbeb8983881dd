"""The core network of a sweep: the smallest bending part whose quality stays within a margin of the reference."""

from collections.abc import Sequence

from netcaliper.reading.linearization import Core, Point

MARGIN = 0.01
"""One point of accuracy."""


def core(points: Sequence[Point], margin: float) -> Core | None:
    """Return the core network among the reference (the first point) and the learned points.

    A learned point is as good as the reference where ``select >= reference's select - margin``. Of these the one with
    the smallest share is the core's point. Between it and the learned point of the next smaller share the select
    quality is taken as a straight line; where it crosses the margin, the core's numbers are read.

    Returns:
        The core, ``None`` if the reference has no quality (it diverged) or is no better than chance.
    """
    reference = points[0]
    if reference.status in ("diverged", "collapsed") or reference.select is None:
        return None
    judged = [
        place
        for place, point in enumerate(points)
        if point.kind in ("unbent", "learned") and point.share is not None and point.select is not None
    ]
    least = reference.select.value - margin
    enough = [place for place in judged if _quality(points[place]) >= least]
    best = min(enough, key=lambda place: (_share(points[place]), -_quality(points[place])))
    smaller = [place for place in judged if _share(points[place]) < _share(points[best])]
    here = points[best]
    if not smaller:
        return Core(
            point=best,
            margin=margin,
            share=_share(here),
            path_length=here.lengths.normalized,
            effective_width=here.effective_width,
        )
    following = max(smaller, key=lambda place: (_share(points[place]), _quality(points[place])))
    there = points[following]
    part = (_quality(here) - least) / (_quality(here) - _quality(there))  # in [0, 1): `there` is below `least`
    return Core(
        point=best,
        next=following,
        margin=margin,
        share=_between(_share(here), _share(there), part),
        path_length=_mixed(here.lengths.normalized, there.lengths.normalized, part),
        effective_width=_mixed(here.effective_width, there.effective_width, part),
    )


def _quality(point: Point) -> float:
    assert point.select is not None
    return point.select.value


def _share(point: Point) -> float:
    assert point.share is not None
    return point.share


def _between(here: float, there: float, part: float) -> float:
    return here + part * (there - here)


def _mixed(here: float | None, there: float | None, part: float) -> float | None:
    return None if here is None or there is None else _between(here, there, part)
