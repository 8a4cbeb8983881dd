"""Predictions of two groups of networks: equally good, and yet right on different examples and classes?

The network is the unit of every test, for the groups differ in what their networks have in common, and examples of one
network hang together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from jaxtyping import Bool, Int, Int64

from netcaliper.compare.answers import Answers
from netcaliper.errors import InputError
from netcaliper.reading.layers import ClassDifference, Equivalence, ExampleSpread, Group, GroupDifference
from netcaliper.stats.equivalence import MARGIN, equivalence
from netcaliper.stats.example_spread import FEWEST, example_spread
from netcaliper.stats.group_difference import Relabelings, adjusted, permutation, relabelings, welch

LEVEL = 0.05

NAMED = 5
"""Names that a reason lists before it only counts."""


@dataclass(frozen=True)
class Classes:
    """Names of classes and of what they belong to.

    Attributes:
        names: of the classes.
        superclasses: by name, the classes that belong to it.
    """

    names: tuple[str, ...]
    superclasses: Mapping[str, tuple[int, ...]]


def named_classes(count: int, names: Sequence[str] | None, superclasses: Mapping[str, str] | None) -> Classes:
    """Check names.

    Args:
        count: number of classes.
        names: of the classes; their numbers by default.
        superclasses: by name of the class.

    Raises:
        InputError: names are not one a class, or the mapping names a class that is not there or twice.
    """
    known = tuple(map(str, range(count))) if names is None else tuple(names)
    if len(known) != count:
        raise InputError(
            f"`classes` must name each of the {count} classes of the networks, got {len(known)} names; give one "
            "for each."
        )
    belonging: dict[str, list[int]] = {}
    for name, above in (superclasses or {}).items():
        times = known.count(name)
        if times != 1:
            what = "is no class" if not times else f"are {times} classes"
            some = ", ".join(map(repr, known[:NAMED]))
            raise InputError(
                f"`superclasses` must map names of classes, {name!r} {what}; classes are called {some}, ...: rename it."
            )
        belonging.setdefault(above, []).append(known.index(name))
    return Classes(known, {name: tuple(members) for name, members in belonging.items()})


def difference(found: Answers, first: Group, second: Group, classes: Classes, *, seed: int) -> GroupDifference:
    """Compare two groups.

    Args:
        found: what all networks answer.
        first: the first group.
        second: the other one.
        classes: their names.
        seed: of relabelings, halves and resamples.

    Returns:
        The comparison; what needs labels or more networks is missing, with its reason.
    """
    sizes = (len(first.networks), len(second.networks))
    named = {"first": first.name, "second": second.name, "sizes": sizes}
    if not found.labeled.any():
        return GroupDifference(**named, reasons=("no labels: who is right is not known",))
    if min(sizes) < 2:
        few = first.name if sizes[0] < 2 else second.name
        said = f"nothing is tested: Welch's test needs at least 2 networks in either group, {few} has 1; add seeds"
        return GroupDifference(**named, reasons=(said,))
    right = found.right(first.networks + second.networks)
    inside = np.arange(len(right)) < sizes[0]
    labels = relabelings(inside, seed)
    same, unjudged = _equivalence(right, inside)
    counts, examples = _counts(right, found)
    spread = example_spread(right[inside], right[~inside], seed=seed)
    reasons = [*unjudged, *_few_networks(sizes, labels)]
    by_class, said = _tested(counts, examples, [(name, (i,)) for i, name in enumerate(classes.names)], labels)
    above, more = _tested(counts, examples, list(classes.superclasses.items()), labels)
    return GroupDifference(
        **named,
        equivalence=same,
        spread=ExampleSpread(
            observed=spread.observed,
            chance=spread.chance,
            split_half=dict(zip((first.name, second.name), spread.split_half, strict=True)),
            systematic=spread.systematic,
            low=spread.low,
            high=spread.high,
        ),
        classes=by_class,
        superclasses=above,
        reasons=(*reasons, *said, *more, *_homeless(classes)),
    )


def _equivalence(
    right: Bool[np.ndarray, "networks examples"], inside: Bool[np.ndarray, " networks"]
) -> tuple[Equivalence | None, list[str]]:
    points = 100 * right.mean(1)
    found = equivalence(points[inside], points[~inside])
    if found is None:
        gap = float(points[inside][0] - points[~inside][0])
        return None, [
            "equal accuracy is not tested: within either group all networks are equally accurate, so that seeds give "
            f"no scale to judge {gap:+.2f} points by"
        ]
    return Equivalence(
        difference=found.difference,
        low=found.low,
        high=found.high,
        margin=MARGIN,
        p=found.p,
        equivalent=found.equivalent,
    ), []


def _counts(
    right: Bool[np.ndarray, "networks examples"], found: Answers
) -> tuple[Int64[np.ndarray, "networks classes"], Int64[np.ndarray, " classes"]]:
    """Return right answers and examples by class."""
    assert found.labels is not None
    labels = found.labels[found.labeled]
    counts = np.stack([np.bincount(labels[one], minlength=found.classes) for one in right])
    return counts.astype(np.int64), np.bincount(labels, minlength=found.classes).astype(np.int64)


def _tested(
    counts: Int[np.ndarray, "networks classes"],
    examples: Int[np.ndarray, " classes"],
    columns: Sequence[tuple[str, tuple[int, ...]]],
    labels: Relabelings,
) -> tuple[tuple[ClassDifference, ...], list[str]]:
    """Test columns (classes, or superclasses that pool the examples of several), and say which cannot be."""
    sizes = [int(examples[list(members)].sum()) for _, members in columns]
    empty = [name for (name, _), size in zip(columns, sizes, strict=True) if not size]
    tested = [(*column, size) for column, size in zip(columns, sizes, strict=True) if size]
    if not tested:
        return (), []
    pooled = np.stack([counts[:, list(members)].sum(1) for _, members, _ in tested], axis=1)
    inside = labels.first[0]
    p, shuffled = welch(pooled, labels.first[:1])[0], permutation(pooled, labels)
    corrected = adjusted(p)
    found = []
    for k, (name, members, size) in enumerate(tested):
        mine, theirs = (float(pooled[side, k].mean()) / size for side in (inside, ~inside))
        found.append(
            ClassDifference(
                name=name,
                classes=len(members),
                examples=size,
                first=mine,
                second=theirs,
                difference=mine - theirs,
                p=float(p[k]),
                holm=float(corrected.holm[k]),
                fdr=float(corrected.fdr[k]),
                permutation=float(shuffled[k]),
            )
        )
    constant = [tested[k][0] for k in np.flatnonzero(np.isnan(p))]
    reasons = []
    if empty:
        reasons.append(f"without labeled examples, and not tested: {_listed(empty)}")
    if constant:
        reasons.append(
            f"no Welch test where all networks of a group are equally accurate in both groups, and the groups differ: "
            f"{_listed(constant)}; see the permutation test"
        )
    found.sort(key=lambda one: (one.permutation if np.isnan(one.p) else one.p, -abs(one.difference)))
    return tuple(found), reasons


def _few_networks(sizes: tuple[int, int], labels: Relabelings) -> list[str]:
    said = []
    if min(sizes) < FEWEST:
        said.append(
            f"no interval of the systematic spread: it resamples networks and needs at least {FEWEST} in either group, "
            f"there are {sizes[0]} and {sizes[1]}"
        )
    if labels.smallest >= LEVEL:
        said.append(
            f"permutation tests cannot show anything at {LEVEL:g}: {sizes[0]} + {sizes[1]} networks have "
            f"{len(labels.first)} relabelings, so that p is at least {labels.smallest:.2g}; give more seeds"
        )
    return said


def _homeless(classes: Classes) -> list[str]:
    """Say which classes have no superclass."""
    if not classes.superclasses:
        return []
    held = set(chain.from_iterable(classes.superclasses.values()))
    left = [name for i, name in enumerate(classes.names) if i not in held]
    return [f"in no superclass: {_listed(left)}"] if left else []


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
