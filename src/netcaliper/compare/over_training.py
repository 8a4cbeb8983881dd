"""``nc.over_training``: when the layers of a network came to say what they say in the end.

Nguyen, Raghu and Kornblith, arXiv 2202.07184: the shape of a block structure appears early in training, but the CKA of
its layers with the final ones and the examples that dominate them keep changing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from netcaliper.compare.alignment import Features, Method, Network, align, carried
from netcaliper.compare.checkpoints import Checkpoint, checkpoint_names, final_graph, named, over_weights
from netcaliper.compare.cka import CARRIED, HELD, check_memory, check_method, comparable
from netcaliper.compare.held_layers import HeldLayer, held_layers
from netcaliper.compare.layers import TOGETHER, estimator, origin, pictures, within
from netcaliper.compare.layers_of import NetworkLayers
from netcaliper.compare.ntk_velocity import kernels_of, moves
from netcaliper.errors import InputError
from netcaliper.feed.clock import Clock
from netcaliper.feed.hits import accuracy, hits
from netcaliper.feed.one_pass import Tell
from netcaliper.feed.sample import Sample, hold
from netcaliper.measure.estimate import available_memory
from netcaliper.reading.layers import Trajectory
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.numerals import decimal, percent
from netcaliper.reading.schema import Cost
from netcaliper.stats import dominant as dominating
from netcaliper.stats.blocks import find_blocks, indices
from netcaliper.stats.cka import FEWEST
from netcaliper.trace.graph import Graph
from netcaliper.trace.layers import INPUT, Chosen, LayerValue

LEVEL = 0.9
"""CKA with the final network from which on a layer counts as settled."""

PASSES = 2
"""Reshuffled passes by default: every checkpoint takes that many of two networks."""


@dataclass(frozen=True)
class OverTraining:
    """What the checkpoints of one training say.

    Attributes:
        record: in words and single numbers.
        arrays: by name, without ``training/``; see ``Trajectory``.
        warnings: in words.
    """

    record: Trajectory
    arrays: dict[str, Float64[np.ndarray, "..."]]
    warnings: tuple[str, ...]


def over_training(
    checkpoints: Mapping[str, Checkpoint],
    data: Iterable[Any],
    layers: Chosen = "all",
    *,
    final: str | None = None,
    features: Features = "flatten",
    batch: int = 256,
    passes: int = PASSES,
    examples: int = HELD,
    together: int = TOGETHER,
    ntk: int = 0,
    fast: bool = False,
    seed: int = 0,
    memory: int | None = None,
    device: str | torch.device | None = None,
    example: Any = None,
    name: str | None = None,
    data_name: str | None = None,
    progress: Tell | None = None,
) -> LayersReading:
    """Compare every layer of each checkpoint of a training with the same layer of the final network.

    All checkpoints run in eval mode, on the same batches. The mapping may load a checkpoint when it is asked for it
    (``netcaliper.zoo.series.epochs`` does); besides the final network one is in memory at a time.

    Args:
        checkpoints: by name, in the order of training: modules or state dicts of one architecture, at least one of them
            a module.
        data: any re-iterable of batches. Accuracies read the labels, nothing else does.
        layers: ``"all"`` operations, ``"sites"``, ``"streams"`` (residual sums), or names and shell patterns.
        final: name of the checkpoint that the others are compared with, the last by default.
        features: ``"flatten"``, ``"pool"`` or ``"tokens"``, as in ``nc.cka``.
        batch: examples a batch of CKA.
        passes: reshuffled passes.
        examples: held for CKA, chosen by (seed, index).
        together: so many of them are used for principal components and dominant examples.
        ntk: so many of them are used for the tangent kernel of every checkpoint (``netcaliper.compare.ntk``); 0, the
            default, takes none.
        fast: Gram matrices of CKA in bfloat16.
        seed: of the choice of examples and of their order.
        memory: bytes that this may take beside the models; what is free by default.
        device: where to run; the final network's own by default.
        example: a batch to trace the model with; the first batch of ``data`` by default.
        name: of the network in the reading.
        data_name: of the data in the reading.
        progress: called with ``(phase, done, total)``.

    Returns:
        A reading of the final network (its CKA, principal components, dominant examples) with its ``trajectory``.

    Raises:
        InputError: fewer than two checkpoints, one of another architecture, or an argument that cannot be used.
        DataError: too few examples, or a layer's values are not finite.
        TraceError: the network cannot be read.
    """
    method = Method(features=features, batch=batch, passes=passes, fast=fast)
    check_method(method, examples, together=together)
    if ntk and not FEWEST <= ntk <= examples:
        raise InputError(f"`ntk` must be 0, or from {FEWEST} to `examples` = {examples}, got {ntk}.")
    names = checkpoint_names(checkpoints)
    final = names[-1] if final is None else final
    if final not in names:
        raise InputError(f"`final` must name one of the checkpoints ({', '.join(names)}), got {final!r}.")
    tell = progress or (lambda phase, done, total: None)
    clock = Clock()
    with clock("trace"):
        graph = final_graph(checkpoints, names, final, data, example, device, name)
        chosen, skipped = comparable(graph, layers, method)
    limit = available_memory(graph.device) if memory is None else memory
    with clock("hold"):
        sample = hold(data, graph.form, examples=examples, seed=seed, limit=limit)
        held = sample.smaller(together)
        network = Network(graph, chosen)
        check_memory([network, network], sample, method, limit)
    with clock("final network"):
        aligned = align([network], sample, method, keep=hits, tell=tell, phase=f"CKA of {final}")
        mine = within(aligned, network, slice(None), name or graph.name, skipped)
        mine.accuracy = accuracy(aligned.outputs[0])
        mine.read_held(held, method, {"components"}, seed=seed, tell=tell, phase=f"components of {final}")
    with clock("checkpoints"):
        found = follow(mine, final, checkpoints, sample, held, method, tell=tell)
    arrays = {f"0/{key}": array for key, array in mine.arrays.items()}
    arrays |= {f"training/{key}": array for key, array in found.arrays.items()}
    if ntk:
        with clock("tangent kernels"):
            kernels = kernels_of(checkpoints, graph.model, sample.smaller(ntk), tell=tell)
        arrays["training/ntk"] = np.array([np.nan, *moves(kernels)])
    pictured, images = pictures(sample, mine.dominant.examples if mine.dominant is not None else ())
    if images is not None:
        arrays["images"] = images
    return LayersReading(
        origin=origin(data, data_name, sample, seed, graph),
        estimator=estimator(method, sample, held, layers),
        networks=(mine.record(),),
        trajectory=found.record,
        pictured=pictured,
        warnings=found.warnings,
        cost=Cost(seconds=clock.seconds, passes=0.0),
        arrays=arrays,
    )


# ---- one after the other


@dataclass(frozen=True)
class _Row:
    """One checkpoint beside the final network."""

    cka: Float64[np.ndarray, " L"]
    cka_error: Float64[np.ndarray, " L"]
    pc_share: Float64[np.ndarray, " L"]
    dominant: Float64[np.ndarray, " L"]
    blocks: float
    excess: float
    map_difference: float
    accuracy: float | None
    carried: float


def follow(
    mine: NetworkLayers,
    final: str,
    checkpoints: Mapping[str, Checkpoint],
    sample: Sample,
    held: Sample,
    method: Method,
    *,
    tell: Tell,
) -> OverTraining:
    """Compare each checkpoint with the final network, whose held examples were read (``read_held``).

    Args:
        mine: the final network.
        final: its name among the checkpoints.
        checkpoints: all of them, in the order of training.
        sample: the examples for CKA.
        held: those that its components were read on.
        method: how layers are compared.
        tell: called as every checkpoint advances.
    """
    names = tuple(checkpoints)
    rows = []
    for name in names:
        if name == final:
            rows.append(_final_row(mine))
            continue
        # as an argument, so that nothing keeps it when the next one is loaded
        rows.append(
            named(
                name,
                _row,
                mine,
                over_weights(mine.network.graph, checkpoints[name], name, final),
                f"{name} beside {final}",
                sample,
                held,
                method,
                tell,
            )
        )
    arrays = {
        key: np.stack([np.asarray(getattr(row, key), dtype=np.float64) for row in rows])
        for key in ("cka", "cka_error", "pc_share", "dominant", "blocks", "excess", "map_difference")
    }
    place = names.index(final)
    count = dominating.count_of(held.size)
    record = Trajectory(
        checkpoints=names,
        final=place,
        accuracy=tuple(row.accuracy for row in rows),
        settled=_settled(arrays["cka"][: place + 1]),
        level=LEVEL,
        dominant_share=dominating.SHARE,
        chance=dominating.chance(held.size, count, count),
    )
    record = record.model_copy(update={"sentence": _sentence(record, arrays, mine.layers)})
    return OverTraining(record, arrays, _warnings(names, rows, mine.layers, place))


def _row(
    mine: NetworkLayers, graph: Graph, what: str, sample: Sample, held: Sample, method: Method, tell: Tell
) -> _Row:
    """Read one checkpoint; nothing of it stays when this returns but the numbers."""
    layers, count = mine.layers, len(mine.layers)
    network = Network(graph, layers)
    found = align([network, mine.network], sample, method, keep=hits, tell=tell, phase=f"CKA of {what}")
    ours, theirs = slice(0, count), slice(count, 2 * count)
    own, cross = found.alignment.of(ours), found.alignment.of(ours, theirs)
    blocks = indices(find_blocks(own.matrix, [layer.kind for layer in layers], own.standard_error))
    held_here = held_layers(network, held, method, tell=tell, phase=f"components of {what}")
    return _Row(
        cka=cross.matrix.diagonal().copy(),
        cka_error=cross.standard_error.diagonal().copy(),
        pc_share=_shares(held_here),
        dominant=np.array([_overlap(a, b) for a, b in zip(held_here, mine.held, strict=True)]),
        blocks=blocks.fraction,
        excess=np.nan if blocks.excess is None else blocks.excess,
        map_difference=_map_difference(own.matrix, found.alignment.of(theirs).matrix),
        accuracy=accuracy(found.outputs[0]),
        carried=float(carried(found.weight[ours]).max()),
    )


def _final_row(mine: NetworkLayers) -> _Row:
    """Return what the final network is beside itself, which is so by definition."""
    same = mine.alignment.matrix.diagonal().copy()
    blocks = indices(mine.found)
    return _Row(
        cka=same,
        cka_error=np.full(len(same), np.nan),
        pc_share=_shares(mine.held),
        dominant=np.array([_overlap(layer, layer) for layer in mine.held]),
        blocks=blocks.fraction,
        excess=np.nan if blocks.excess is None else blocks.excess,
        map_difference=0.0,
        accuracy=mine.accuracy,
        carried=0.0,  # said in the warnings of the network itself
    )


def _shares(held: Sequence[HeldLayer]) -> Float64[np.ndarray, " L"]:
    return np.array([layer.principal.share[0] for layer in held])


def _overlap(here: HeldLayer, there: HeldLayer) -> float:
    """Return the Jaccard overlap of the dominant examples of two layers, NaN if one is a gap."""
    sets = [dominating.dominant(layer.principal.scores[:, 0], layer.norms) for layer in (here, there)]
    return float(dominating.jaccard([None if one is None else one.examples for one in sets])[0, 1])


def _map_difference(own: Float64[np.ndarray, "L L"], other: Float64[np.ndarray, "L L"]) -> float:
    """Return the mean absolute difference of two CKA matrices over pairs of layers, NaN without a pair in both."""
    apart = np.abs(own - other)[np.triu_indices(len(own), 1)]
    apart = apart[np.isfinite(apart)]
    return float(apart.mean()) if len(apart) else np.nan


def _settled(cka: Float64[np.ndarray, "C L"]) -> tuple[int | None, ...]:
    """Return for every layer the first of the checkpoints from which on it stays at ``LEVEL``, the last the final."""
    below = ~(cka >= LEVEL)  # a gap on the way is not settled
    first = np.where(below.any(0), len(cka) - below[::-1].argmax(0), 0)
    return tuple(int(at) if at < len(cka) else None for at in first)


# ---- words


def _sentence(record: Trajectory, arrays: Mapping[str, np.ndarray], layers: Sequence[LayerValue]) -> str:
    """Say when the layers settled; the input, which is always the same, does not count."""
    names, final = record.checkpoints, record.final
    computed = np.array([layer.op != INPUT for layer in layers])
    others = [place for place in range(len(names)) if place != final]
    ends = list(dict.fromkeys((others[0], others[-1])))
    said = f"{len(names)} checkpoints, {names[0]} to {names[-1]}"

    def at_ends(key: str) -> str | None:
        rows = arrays[key][ends][:, computed]
        if not np.isfinite(rows).any(1).all():
            return None
        return " and ".join(
            f"{decimal(float(np.nanmean(row)))} at {names[place]}" for place, row in zip(ends, rows, strict=True)
        )

    similar, shared = at_ends("cka"), at_ends("dominant")
    if similar is not None:
        said += f": CKA with the same layer of {names[final]} is on average {similar}"
    settled = {layer.name: at for layer, at in zip(layers, record.settled, strict=True) if layer.op != INPUT}
    known = {name: at for name, at in settled.items() if at is not None}
    if known:
        half, last = sorted(known.values())[(len(known) - 1) // 2], max(known, key=lambda name: known[name])
        said += f". Half of the layers stay at {decimal(LEVEL)} or above from {names[half]} on"
        said += f", all of them from {names[known[last]]} on" + (f" (last `{last}`)" if known[last] > half else "")
    if shared is not None:
        said += (
            f". Dominant examples in common with {names[final]} (Jaccard overlap): {shared}; by chance "
            f"{decimal(record.chance)}"
        )
    blocks = arrays["blocks"]
    if blocks[final] > 0:
        count = int(np.count_nonzero(blocks[others] > 0))
        said += (
            f". {percent(float(blocks[final]), digits=0)} of the layers of {names[final]} lie in a block structure, "
            f"and {count} of the {len(others)} other checkpoints have one"
        )
    return said + "."


def _warnings(names: Sequence[str], rows: Sequence[_Row], layers: Sequence[LayerValue], final: int) -> tuple[str, ...]:
    said = []
    led = [name for name, row in zip(names, rows, strict=True) if row.carried > CARRIED]
    if led:
        said.append(
            f"at {len(led)} of {len(names)} checkpoints ({_some(led)}) 1 % of the examples carry more than "
            f"{CARRIED:.0%} of a layer: the standard error is too small there, and CKA speaks of these examples first."
        )
    alive = ~np.isnan(rows[final].cka)
    dead = {
        layer.name: name
        for name, row in zip(names, rows, strict=True)
        for layer, gap in zip(layers, np.isnan(row.cka) & alive, strict=True)
        if gap
    }
    if dead:
        layer = next(iter(dead))
        said.append(
            f"{len(dead)} of {len(layers)} layers are the same for all examples at some checkpoint and have no CKA "
            f"there, e.g. `{layer}` at {dead[layer]}."
        )
    return tuple(said)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
