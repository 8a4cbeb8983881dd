"""``read.compare``: do trained networks say the same, and do they answer the same?"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ttest_ind
from torch import nn

from netcaliper.compare.cka import HELD
from netcaliper.compare.compare import REPRESENTED
from netcaliper.compare.compare import compare as compare_networks
from netcaliper.feed.one_pass import Tell
from netcaliper.reading.layers import Agreement, Crossing, ExampleSpread, LayersRecord
from netcaliper.stats.example_spread import FEWEST
from netcaliper.stats.intervals import clopper_pearson, jackknife
from netcaliper.study.cells.readers.options import checked_options

OPTIONS = {
    "examples": HELD, "passes": 10, "batch": 256, "layers": "all", "features": "flatten", "represented": REPRESENTED,
    "images": True,
}  # fmt: skip
LEVEL = 0.05
"""Of the tests of single classes, adjusted for their number; also the largest share that chance alone finds."""


def read(
    networks: Mapping[str, Sequence[nn.Module]],
    data: Iterable[Any],
    options: Mapping[str, Any],
    *,
    seed: int,
    folder: Path,
    name: str,
    tell: Tell,
) -> dict[str, Any]:
    """Compare networks on test examples and return the columns.

    Args:
        networks: by group.
        data: test examples.
        options: ``images`` (whether pictures of examples are kept), and ``examples``, ``passes``, ``batch``,
            ``layers``, ``features`` and ``represented`` of ``nc.compare``.
        seed: of the reading.
        folder: where it is kept.
        name: of the data.
        tell: called as it goes on.
    """
    chosen = checked_options("compare", options, OPTIONS)
    reading = compare_networks(
        networks,
        data,
        chosen["layers"],
        features=chosen["features"],
        batch=chosen["batch"],
        passes=chosen["passes"],
        examples=chosen["examples"],
        represented=chosen["represented"],
        seed=seed,
        data_name=name,
        progress=tell,
    )
    if not chosen["images"]:
        arrays = {key: array for key, array in reading.arrays.items() if key != "images"}
        reading = reading.model_copy(update={"arrays": arrays, "pictured": ()})
    reading.save(folder, replace=True)
    return columns(reading)


def columns(reading: LayersRecord) -> dict[str, Any]:
    """Return the columns of a reading; what only groups have is ``None`` without them.

    Pairs *within* are two networks of one group, pairs *between* of two groups. With more than two groups, differences
    are means over the pairs of groups, without an interval.
    """
    group_of = {network: number for number, group in enumerate(reading.groups) for network in group.networks}
    within, between = _parted(reading.agreements, group_of)
    inside, across = _parted(reading.crossings, group_of)
    contrast = [(pair, pair.outside - pair.inside) for pair in inside if None not in (pair.outside, pair.inside)]
    return {
        "networks": len(reading.networks),
        "groups": max(len(reading.groups), 1),
        **{f"{name}{end}": _pairs(name, pairs) for name in ("agreement", "churn", "kappa") for end, pairs in (
            ("", within), ("_between", between)
        )},
        **_differences(reading),
        **_over_networks("cka_same_layer_outside", [(pair, pair.outside) for pair in inside]),
        **_over_networks("cka_same_layer_block", [(pair, pair.inside) for pair in inside]),
        **_over_networks("block_contrast", contrast),
        "matched_layers": _mean([pair.matched for pair in inside]),
        "dominant_overlap": _mean([pair.dominant_overlap for pair in inside]),
        "dominant_overlap_chance": _mean([pair.dominant_chance for pair in inside]),
        **_over_networks("cka_between_outside", [(pair, pair.outside) for pair in across]),
        **_over_networks("cka_between_block", [(pair, pair.inside) for pair in across]),
    }  # fmt: skip


def _over_networks(name: str, values: Sequence[tuple[Crossing, float | None]]) -> dict[str, float | None]:
    """Return the mean over pairs of networks with its 95 % interval: the delete-one-network jackknife.

    Pairs that share a network are not independent of each other, networks are. Without an interval: fewer than three
    networks, or one without which no pair is left.
    """
    known = [(pair, value) for pair, value in values if value is not None and np.isfinite(value)]
    networks = sorted({place for pair, _ in known for place in (pair.first, pair.second)})
    mean, found = _mean([value for _, value in known]), None
    left = [_mean([v for pair, v in known if place not in (pair.first, pair.second)]) for place in networks]
    if mean is not None and len(networks) > 2 and None not in left:
        found = jackknife(mean, np.array(left), bounds=(-np.inf, np.inf))
    low, high = found or (None, None)
    return {name: mean, f"{name}_low": low, f"{name}_high": high}


def _parted(pairs: Sequence[Any], group_of: Mapping[int, int]) -> tuple[list[Any], list[Any]]:
    """Return the pairs within and between groups; without groups all are between."""
    within = [pair for pair in pairs if group_of.get(pair.first, pair.first) == group_of.get(pair.second, pair.second)]
    return within, [pair for pair in pairs if pair not in within]


def _pairs(name: str, pairs: Sequence[Agreement]) -> float | None:
    if name == "agreement":
        return _mean([pair.agreement.value for pair in pairs])
    return _mean([getattr(pair, name) for pair in pairs])


def _differences(reading: LayersRecord) -> dict[str, Any]:
    """Return how the first group differs from the second, or the groups from each other."""
    spreads = [found.spread for found in reading.differences if found.spread is not None]
    classes = [[one.holm < LEVEL for one in found.classes] for found in reading.differences if found.classes]
    alone = len(reading.differences) == 1
    difference, low, high = _accuracies(reading)
    fewest, most = clopper_pearson(sum(classes[0]), len(classes[0])) if alone and classes else (None, None)
    return {
        "accuracy_difference": difference,
        "accuracy_difference_low": low,
        "accuracy_difference_high": high,
        "example_spread": _mean([spread.observed for spread in spreads]),
        "example_spread_chance": _mean([spread.chance for spread in spreads]),
        "example_spread_excess": _mean([spread.systematic for spread in spreads]),
        "example_spread_excess_low": spreads[0].low if alone and spreads else None,
        "example_spread_excess_high": spreads[0].high if alone and spreads else None,
        "example_spread_note": _spread_note(spreads) if alone else None,
        "split_half": _mean([half for spread in spreads for half in spread.split_half.values()]),
        "classes_differing": _mean([np.mean(found) for found in classes]),
        "classes_differing_low": fewest,
        "classes_differing_high": most,
        "classes_differing_chance": LEVEL if classes else None,
    }


def _spread_note(spreads: Sequence[ExampleSpread]) -> str | None:
    """Say why the spread of the one pair of groups has no interval, if it has none."""
    if not spreads or np.isfinite(spreads[0].low):
        return None
    return f"an interval over networks needs {FEWEST} of each group"


def _accuracies(reading: LayersRecord) -> tuple[float | None, float | None, float | None]:
    """Return the mean accuracy of the first of two groups minus the second, with Welch's 95 % interval."""
    if len(reading.groups) != 2:
        return None, None, None
    first, second = ([reading.networks[i].accuracy for i in group.networks] for group in reading.groups)
    a, b = ([accuracy for accuracy in group if accuracy is not None] for group in (first, second))
    if len(a) < len(first) or len(b) < len(second):
        return None, None, None
    difference = float(np.mean(a) - np.mean(b))
    if min(len(a), len(b)) < 2 or np.ptp(a) + np.ptp(b) == 0:
        return difference, None, None
    interval: Any = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)  # pyright: ignore[reportAttributeAccessIssue]
    return difference, float(interval.low), float(interval.high)


def _mean(values: Sequence[Any]) -> float | None:
    known = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(known)) if known else None
