"""``nc.compare``: two networks, many, or groups of seeds: do they say the same, and do they answer the same?"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from netcaliper.compare.alignment import Features, Method, Network, align
from netcaliper.compare.cka import HELD, check_memory, check_method, comparable
from netcaliper.compare.held_layers import check_one_shape, held_runs
from netcaliper.compare.layers import TOGETHER, cost_words, estimator, origin, pictures, within
from netcaliper.compare.layers_of import NetworkLayers
from netcaliper.compare.members import Member, Networks, named_networks, traced_members
from netcaliper.compare.prediction import Predictions, predictions
from netcaliper.compare.scores import ask
from netcaliper.errors import DataError, InputError
from netcaliper.feed.clock import Clock
from netcaliper.feed.fingerprint import model_fingerprint
from netcaliper.feed.one_pass import Tell
from netcaliper.feed.sample import hold
from netcaliper.measure.estimate import available_memory
from netcaliper.reading.layers import Crossing, Depth, LayersOf
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.schema import Cost
from netcaliper.stats import dominant as dominating
from netcaliper.stats.cka import Alignment
from netcaliper.trace.layers import Chosen

REPRESENTED = 2
"""Networks of each group whose layers are compared; all of them answer."""

TIE = 1e-6
"""Difference of two values of CKA that is rounding."""


def compare(
    networks: Networks,
    data: Iterable[Any],
    layers: Chosen = "all",
    *,
    features: Features = "flatten",
    batch: int = 256,
    passes: int = 10,
    examples: int = HELD,
    together: int = TOGETHER,
    fast: bool = False,
    represented: int = REPRESENTED,
    classes: Sequence[str] | None = None,
    superclasses: Mapping[str, str] | None = None,
    seed: int = 0,
    memory: int | None = None,
    device: str | torch.device | None = None,
    data_name: str | None = None,
    progress: Tell | None = None,
) -> LayersReading:
    """Compare what networks say (their layers) and what they answer (their predictions), on the same batches.

    Args:
        networks: by name a network, or several that differ in their seed only; or a list of networks.
        data: any re-iterable of batches, one for all networks. Everything about being right reads the labels.
        layers: ``"all"`` operations, ``"sites"``, ``"streams"``, or names and shell patterns, in every network.
        features: ``"flatten"``, ``"pool"`` or ``"tokens"``, as in ``nc.cka``.
        batch: examples a batch of CKA.
        passes: reshuffled passes.
        examples: held for CKA, chosen by (seed, index).
        together: so many of them are used for principal components.
        fast: Gram matrices in bfloat16.
        represented: networks of each group whose layers are compared; predictions are those of all.
        classes: their names, in the order of the outputs.
        superclasses: to what each class belongs.
        seed: of the choice of examples, their order, and resampling.
        memory: bytes that this may take beside the models; what is free by default.
        device: where to run; each model's own by default.
        data_name: of the data in the reading.
        progress: called with ``(phase, done, total)``.

    Raises:
        InputError: fewer than two networks, or an argument that cannot be used.
        DataError: several loaders, data that a network does not take, networks with unequal classes.
        TraceError: a model cannot be read.
    """
    method = Method(features=features, batch=batch, passes=passes, fast=fast)
    check_method(method, examples, together=together)
    if isinstance(represented, bool) or not isinstance(represented, int) or represented < 1:
        raise InputError(f"`represented` must be a whole number of at least 1, got {represented!r}.")
    if superclasses is not None and not isinstance(superclasses, Mapping):
        raise InputError(
            f"`superclasses` must map names of classes to what they belong to, got {type(superclasses).__name__}; give "
            'for instance {"cat": "animal"}.'
        )
    named = named_networks(networks)
    _check_one_loader(data)
    tell = progress or (lambda phase, done, total: None)
    clock = Clock()
    with clock("trace"):
        members = traced_members(named, data, device)
        groups = {group: [i for i, m in enumerate(members) if m.group == group] for group in named}
        shown = [place for places in groups.values() for place in places[:represented]]
        chosen = [comparable(members[place].graph, layers, method) for place in shown]
        compared = [Network(members[place].graph, own) for place, (own, _) in zip(shown, chosen, strict=True)]
    first = members[0].graph
    limit = available_memory(first.device) if memory is None else memory
    with clock("hold"):
        sample = hold(data, first.form, examples=examples, seed=seed, limit=limit)
        held = sample.smaller(together)
        check_one_shape(held, method)
        needed = check_memory(compared, sample, method, limit)
    runs = sum(passes * sample.size + held_runs(network, held) * held.size for network in compared)
    cost = len(members) + runs / sample.examples
    tell(cost_words(cost, needed), 0, 1)
    with clock("predictions"):  # first: networks with other classes, or names that do not fit, are refused soon
        asked = ask(members, data, tell)
        several = any(len(places) > 1 for places in groups.values())
        answers = Predictions()
        if asked.scores:
            answers = predictions(
                asked.scores, asked.labels, groups=groups if several else None, classes=classes,
                superclasses=superclasses, task=asked.task, valid=asked.valid, seed=seed,
            )  # fmt: skip
        accuracies = [asked.accuracy(member.name) for member in members]
        said = (*asked.warnings, *answers.warnings)
        del asked  # up to a gigabyte
    with clock("CKA"):
        found = align(compared, sample, method, tell=tell, phase="CKA of all layers")
        starts = np.cumsum([0, *(len(network.layers) for network in compared)])
        spans = [slice(a, b) for a, b in pairwise(starts.tolist())]
        read = [
            within(found, network, span, members[place].name, left)
            for network, span, place, (_, left) in zip(compared, spans, shown, chosen, strict=True)
        ]
    with clock("components"):
        for one in read:
            one.read_held(
                held, method, frozenset({"components"}), seed=seed, tell=tell, phase=f"components of {one.name}"
            )
    arrays = {
        f"{place}/{key}": array for place, one in zip(shown, read, strict=True) for key, array in one.arrays.items()
    }
    crossings = []
    for a, b in combinations(range(len(shown)), 2):
        alignment = found.alignment.of(spans[a], spans[b])
        arrays |= {
            f"cross/{len(crossings)}/cka": alignment.matrix,
            f"cross/{len(crossings)}/standard_error": alignment.standard_error,
            f"cross/{len(crossings)}/partition_error": alignment.partition_error,
        }
        crossings.append(_crossing(alignment, shown[a], shown[b], read[a], read[b], held.size))
    arrays |= {
        f"group/{place}/right": answers.right[g.name]
        for place, g in enumerate(answers.groups)
        if g.name in answers.right
    }
    dominant = dict.fromkeys(example for one in read if one.dominant is not None for example in one.dominant.examples)
    pictured, images = pictures(sample, tuple(dominant))
    if images is not None:
        arrays["images"] = images
    records = {place: one.record() for place, one in zip(shown, read, strict=True)}
    return LayersReading(
        origin=origin(data, data_name, sample, seed, first),
        estimator=estimator(method, sample, held, layers),
        networks=tuple(
            _network(records.get(place), member, accuracy)
            for place, (member, accuracy) in enumerate(zip(members, accuracies, strict=True))
        ),
        crossings=tuple(crossings),
        agreements=answers.agreements,
        groups=answers.groups,
        differences=answers.differences,
        pictured=pictured,
        warnings=said,
        cost=Cost(seconds=clock.seconds, passes=cost),
        arrays=arrays,
    )


def _crossing(
    alignment: Alignment, first: int, second: int, one: NetworkLayers, other: NetworkLayers, held: int
) -> Crossing:
    matrix = alignment.matrix
    names, theirs = [layer.name for layer in one.layers], [layer.name for layer in other.layers]
    alike = names == theirs
    best = [_best(row, place if alike else None) for place, row in enumerate(matrix)]
    matched = None
    if alike:
        known = [(place, found) for place, found in enumerate(best) if found >= 0]
        matched = float(np.mean([place == found for place, found in known])) if known else None
    rows = np.arange(len(names))
    columns = np.round(rows * (len(theirs) - 1) / max(len(names) - 1, 1)).astype(int)
    depth = matrix[rows, columns]
    blocked = _covered(one)[rows] | _covered(other)[columns]
    overlap = _dominant_overlap(one, other)
    count = dominating.count_of(held)
    return Crossing(
        first=first,
        second=second,
        best=tuple(best),
        matched=matched,
        inside=_mean(depth[blocked]),
        outside=_mean(depth[~blocked]),
        dominant_overlap=overlap,
        dominant_chance=None if overlap is None else dominating.chance(held, count, count),
    )


def _best(row: Float[np.ndarray, " M"], own: int | None) -> int:
    """Return the layer with the largest CKA, of equal ones (a layer and a multiple of it) the one of the same name."""
    if np.isnan(row).all():
        return -1
    if own is not None and row[own] >= np.nanmax(row) - TIE:
        return own
    return int(np.nanargmax(row))


def _covered(network: NetworkLayers) -> np.ndarray:
    inside = np.zeros(len(network.layers), dtype=bool)
    for block in network.found:
        inside[block.first : block.last + 1] = True
    return inside


def _dominant_overlap(one: NetworkLayers, other: NetworkLayers) -> float | None:
    if one.dominant is None or other.dominant is None:
        return None
    mine, theirs = set(one.dominant.examples), set(other.dominant.examples)
    return len(mine & theirs) / len(mine | theirs)


def _mean(values: Float[np.ndarray, " n"]) -> float | None:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None


def _check_one_loader(data: Any) -> None:
    """Refuse one loader a network: layers are compared on the same examples, in the same batches."""
    if not isinstance(data, (list, tuple, Mapping)):
        return
    values = list(data.values()) if isinstance(data, Mapping) else list(data)
    if len(values) > 1 and all(map(_is_loader, values)):
        raise DataError(
            f"`data` must be one loader for all networks, got {len(values)}: two loaders pair different examples; pass "
            "one of them."
        )


def _is_loader(value: Any) -> bool:
    """Tell whether a value gives batches, and is none itself."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(
            isinstance(batch, (list, tuple)) and any(isinstance(part, Tensor) for part in batch) for batch in value
        )
    if isinstance(value, torch.utils.data.Dataset):
        return True
    return isinstance(value, Iterable) and not isinstance(value, (Tensor, np.ndarray, Mapping, str, bytes))


def _network(record: LayersOf | None, member: Member, accuracy: float | None) -> LayersOf:
    """Return the record of a network, also of one that only answered."""
    if record is not None:
        return record.model_copy(update={"accuracy": accuracy})
    return LayersOf(
        name=member.name,
        fingerprint=model_fingerprint(member.graph.program.tensors),
        accuracy=accuracy,
        layers=(),
        depth=Depth(layers=0, distinct=0),
    )
