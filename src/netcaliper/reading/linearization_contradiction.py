"""Whether a reading of a linearization fits together: checked before it is written and after it is opened."""

import re
from collections.abc import Iterator

import numpy as np

from netcaliper.reading.linearization import LinearizationRecord, Point

ARRAY_KEY = re.compile(r"point/(0|[1-9][0-9]{0,6})/(alphas|active|curve|loss|class_accuracy|class_examples|histogram)")
PER_UNIT = frozenset({"alphas", "active"})
KINDS = {"active": ("b", "booleans"), "class_examples": ("i", "integers")}
PER_EPOCH = frozenset({"curve", "loss"})


def contradiction(record: LinearizationRecord) -> str | None:
    """Return the first way in which a reading does not fit together, in words, or ``None``.

    Checked are that the first point and no other is the reference, that names are unique, that every index points at
    something, that counts, shares and arrays agree, and that every array belongs to a point and has its shape and type.
    """
    return next(_problems(record), None)


def _problems(record: LinearizationRecord) -> Iterator[str]:
    kinds = [point.kind for point in record.points]
    if not kinds or kinds[0] != "unbent" or "unbent" in kinds[1:]:
        yield "the first point and no other must be the unbent reference"
    for what, names in (("sites", [site.name for site in record.sites]), ("points", [p.name for p in record.points])):
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            yield f"two {what} are named {twice!r}"
    for place, point in enumerate(record.points):
        yield from _point(record, place, point)
    core = record.core
    if core is not None:
        for at in (core.point, core.next):
            if at is not None and not 0 <= at < len(record.points):
                yield f"the core is at point {at}, and there are {len(record.points)} points"
            elif at is not None and record.points[at].kind not in ("unbent", "learned"):
                yield f"the core is at point {at}, which is of kind {record.points[at].kind!r}"
    for key, array in record.arrays.items():
        yield from _array(record, key, array)


def _point(record: LinearizationRecord, place: int, point: Point) -> Iterator[str]:
    if point.like is not None and not (0 <= point.like < place and record.points[point.like].kind == "learned"):
        yield f"point {place} has as many bending units as point {point.like}, which is no learned point before it"
    if point.active is not None:
        if not 0 <= point.active <= point.units:
            yield f"point {place} has {point.active} bending units of {point.units}"
        elif point.share is None or (point.units and abs(point.share - point.active / point.units) > 1e-9):
            yield f"point {place} has a share of {point.share}, and {point.active} of {point.units} units bend"
    units = sum(site.units for site in record.sites)
    if point.kind != "shallow" and point.units != units:
        yield f"point {place} has {point.units} units, and the sites have {units}"


def _array(record: LinearizationRecord, key: str, array: np.ndarray) -> Iterator[str]:
    found = ARRAY_KEY.fullmatch(key)
    if found is None:
        yield f"array key {key[:80]!r} is not of the form 'point/<number>/<name>'"
        return
    place, name = int(found[1]), found[2]
    if place >= len(record.points):
        yield f"array {key!r} belongs to point {place}, and there are {len(record.points)} points"
        return
    point = record.points[place]
    kind, words = KINDS.get(name, ("f", "floats"))
    if array.dtype.kind != kind:
        yield f"array {key!r} has dtype {array.dtype}, and {words} are expected"
        return
    size = point.units if name in PER_UNIT else point.epochs if name in PER_EPOCH else array.size
    if point.kind == "shallow" and name in PER_UNIT:
        yield f"array {key!r} belongs to another network, whose units are not those of the sites"
    elif array.shape != (size,):
        yield f"array {key!r} has shape {array.shape}, expected is {(size,)}"
    elif name == "active" and int(array.sum()) != point.active:
        yield f"array {key!r} holds {int(array.sum())} bending units, and the point has {point.active}"
    elif name == "alphas":
        active = record.array(place, "active")
        fits = active is not None and active.shape == array.shape and int(active.sum()) == point.active
        if active is not None and fits and (active != (array != 1)).any():
            yield f"array {key!r} is exactly 1 elsewhere than where no unit bends"
