"""Predictions: do networks answer alike, and do groups of seeds that are equally good answer different examples right?

Everything is read off the outputs of the networks on the same examples. Between two networks: agreement, overlap of
errors, distance of logits. In a group of seeds: what seeds alone do, below which no comparison means anything. Between
two groups see ``group_prediction.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from jaxtyping import Float64
from scipy.special import softmax

from netcaliper.compare.answers import Answers, Array, answers
from netcaliper.compare.group_prediction import difference, named_classes
from netcaliper.errors import InputError
from netcaliper.feed.outputs import Task
from netcaliper.reading.layers import Agreement, Group, GroupDifference
from netcaliper.reading.schema import Share
from netcaliper.stats.ablation_curve import t_interval
from netcaliper.stats.agreement import Overlap, overlap
from netcaliper.stats.intervals import clopper_pearson
from netcaliper.stats.logit_distance import Distances, squared_distances


@dataclass(frozen=True)
class Predictions:
    """How the predictions of networks compare.

    Attributes:
        agreements: all pairs of networks.
        groups: what seeds do in each group.
        differences: all pairs of groups.
        right: by group, the share of its networks that get each example right, NaN for examples without a label;
            empty without labels.
        warnings: what was not compared, in words.
    """

    agreements: tuple[Agreement, ...] = ()
    groups: tuple[Group, ...] = ()
    differences: tuple[GroupDifference, ...] = ()
    right: dict[str, Float64[np.ndarray, " examples"]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def predictions(
    scores: Mapping[str, Array],
    labels: Array | None = None,
    *,
    groups: Mapping[str, Sequence[int]] | None = None,
    classes: Sequence[str] | None = None,
    superclasses: Mapping[str, str] | None = None,
    task: Task = "classification",
    valid: Array | None = None,
    seed: int = 0,
) -> Predictions:
    """Compare what networks predict for the same examples.

    Args:
        scores: by name of the network, its logits ``[examples, classes]``, of tokens ``[examples, tokens, classes]``.
        labels: right classes, ``[examples]``, -100 for none; those of tokens are not read.
        groups: by name, the networks that differ in their seed only, as indices into ``scores``.
        classes: names of the classes; their numbers by default.
        superclasses: of classes, by name; classes without one are left out of these tests.
        task: what ``netcaliper.feed.outputs.prediction`` calls the outputs. Of tokens only agreement and distance
            are defined here, of a regression nothing.
        valid: for tokens the positions that count, ``[examples, tokens]``.
        seed: of relabelings, halves and resamples.

    Raises:
        InputError: groups, names or mappings do not fit the networks and their classes.
        DataError: the networks have not the same classes or examples, or scores are not finite.
    """
    groups = groups or {}
    _check_groups(groups, len(scores))
    if task == "regression":
        said = "predictions are not compared: outputs of a regression are no choice between classes."
        return Predictions(warnings=(said,))
    found = answers(scores, labels, valid)
    named = named_classes(found.classes, classes, superclasses)
    distances = squared_distances(found.scores)
    if task == "tokens":
        said = "of tokens only agreement and logit distance are compared; accuracy, errors and groups are not."
        pairs = tuple(_of_tokens(found, distances, a, b) for a, b in combinations(range(len(found.names)), 2))
        return Predictions(agreements=pairs, warnings=(said,))
    pairs = [(a, b, overlap(found.chosen[a], found.chosen[b], found.labels)) for a, b in _pairs(len(found.names))]
    agreements = tuple(_agreement(distances, *pair) for pair in pairs)
    made = tuple(_group(found, distances, agreements, name, tuple(members)) for name, members in groups.items())
    return Predictions(
        agreements,
        made,
        tuple(difference(found, *two, named, seed=seed) for two in combinations(made, 2)),
        _right(found, groups),
        (*_unsaid(found, pairs), *_alone(made)),
    )


def _pairs(networks: int) -> list[tuple[int, int]]:
    return list(combinations(range(networks), 2))


def _agreement(distances: Distances, first: int, second: int, found: Overlap) -> Agreement:
    low, high = clopper_pearson(found.same, found.examples)
    return Agreement(
        first=first,
        second=second,
        agreement=Share(
            value=found.same / found.examples,
            low=low,
            high=high,
            over=f"95 % Clopper-Pearson over {found.examples:,} examples",
            sample=found.examples,
        ),
        both_wrong=found.both_wrong,
        same_wrong=found.same_wrong,
        kappa=found.kappa,
        churn=found.churn,
        logit_distance=distances.between(first, second),
    )


def _of_tokens(found: Answers, distances: Distances, first: int, second: int) -> Agreement:
    """Return the agreement on tokens; those of one example hang together, so the example is the unit."""
    tokens = np.bincount(found.example)
    shares = np.bincount(found.example, found.chosen[first] == found.chosen[second]) / tokens
    interval = t_interval(shares)
    over = f"95 % t over {len(shares):,} examples, each the share of its tokens"
    low, high = interval or (None, None)
    share = Share(
        value=float(shares.mean()),
        low=low,
        high=high,
        over=over if interval else "no interval: one example",
        sample=len(shares),
    )
    return Agreement(first=first, second=second, agreement=share, logit_distance=distances.between(first, second))


def _group(
    found: Answers, distances: Distances, agreements: Sequence[Agreement], name: str, members: tuple[int, ...]
) -> Group:
    inside = [one.agreement.value for one in agreements if one.first in members and one.second in members]
    several = len(members) > 1
    accuracy = ensemble = None
    if found.labeled.any():
        accuracy = _accuracy(found.right(members).mean(1), int(found.labeled.sum()))
        ensemble = _ensemble(found, members) if several else None
    return Group(
        name=name,
        networks=members,
        accuracy=accuracy,
        ensemble=ensemble,
        seed_variance=distances.seed_variance(members) if several else None,
        agreement=float(np.mean(inside)) if several else None,
    )


def _accuracy(accuracies: Float64[np.ndarray, " networks"], examples: int) -> Share:
    low, high = t_interval(accuracies) or (None, None)
    count = len(accuracies)
    over = "no interval: one network" if low is None else f"95 % t over {count:,} networks"
    first = accuracies[0]  # the mean of equal accuracies is exactly theirs
    value = float(first + (accuracies - first).mean())
    return Share(value=value, low=low, high=high, over=over, sample=examples)


def _ensemble(found: Answers, members: Sequence[int]) -> float:
    """Return the accuracy of the mean of the networks' probabilities."""
    assert found.labels is not None
    labeled = found.labeled
    total = np.zeros((int(labeled.sum()), found.classes))
    for network in members:
        total += softmax(found.scores[network][labeled].astype(np.float64), axis=1)
    return float(np.mean(total.argmax(1) == found.labels[labeled]))


def _right(found: Answers, groups: Mapping[str, Sequence[int]]) -> dict[str, Float64[np.ndarray, " examples"]]:
    if not found.labeled.any():
        return {}
    right = {}
    for name, members in groups.items():
        right[name] = np.full(len(found.example), np.nan)
        right[name][found.labeled] = found.right(members).mean(0)
    return right


def _check_groups(groups: Mapping[str, Sequence[int]], networks: int) -> None:
    """Refuse groups of networks that are not there, or are in two groups."""
    home: dict[int, str] = {}
    for name, members in groups.items():
        if not len(members):
            raise InputError(f"`groups` must hold networks, {name!r} holds none; name some, or leave it out.")
        for member in members:
            if not 0 <= member < networks:
                raise InputError(
                    f"`groups` must hold indices of networks from 0 to {networks - 1}, {name!r} holds {member}; "
                    "count the networks as they are given."
                )
            if member in home:
                raise InputError(
                    f"`groups` must hold every network once at most, {member} is in {home[member]!r} and {name!r}; "
                    "leave it out of one."
                )
            home[member] = name


def _unsaid(found: Answers, pairs: Sequence[tuple[int, int, Overlap]]) -> list[str]:
    """Say why numbers of pairs are missing."""
    if not found.labeled.any():
        return ["without labels nothing is said of accuracy, errors, classes and examples; agreement needs none."]
    whys = (
        ("both_wrong", "no overlap of errors where neither network errs"),
        ("same_wrong", "no share of equal errors where no example is wrong in both networks"),
        ("kappa", "no kappa where both networks are always right, or both always wrong"),
    )
    said = []
    for name, why in whys:
        missing = [(a, b) for a, b, one in pairs if getattr(one, name) is None]
        if missing:
            a, b = (found.names[i] for i in missing[0])
            more = "" if len(missing) == 1 else f" and {len(missing) - 1:,} other pairs"
            said.append(f"{why}: {a} and {b}{more}.")
    return said


def _alone(groups: Sequence[Group]) -> list[str]:
    """Say of which groups nothing is known about seeds."""
    return [
        f"group {group.name} has one network: no seed variance, no ensemble and no noise floor; give at least 2 seeds."
        for group in groups
        if len(group.networks) == 1
    ]
