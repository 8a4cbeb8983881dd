"""``nc.layers``: what the layers of a network say, and how deep it really is."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn

from netcaliper.compare.alignment import Aligned, Features, Method, Network, align
from netcaliper.compare.cka import HELD, alignment_warnings, check_memory, check_method, comparable, gaps
from netcaliper.compare.deletion import delete_blocks, deletion_passes
from netcaliper.compare.held_layers import check_one_shape, held_runs
from netcaliper.compare.layers_of import VARIANT_PASSES, NetworkLayers
from netcaliper.errors import InputError
from netcaliper.feed.clock import Clock
from netcaliper.feed.fingerprint import model_fingerprint
from netcaliper.feed.hits import accuracy, hits
from netcaliper.feed.one_pass import Tell
from netcaliper.feed.origin import described, versions
from netcaliper.feed.protocol import Plan
from netcaliper.feed.sample import Sample, hold
from netcaliper.feed.traced import traced
from netcaliper.measure.estimate import available_memory
from netcaliper.measure.twin import make_twin, twin_passes
from netcaliper.reading.layers import Estimator, LayersOf, Origin
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.schema import Cost
from netcaliper.stats.blocks import find_blocks
from netcaliper.trace.graph import Graph
from netcaliper.trace.layers import Chosen

PARTS = ("components", "neighbors", "procrustes", "variants", "probes", "deletion")
"""What is read beside CKA: principal components and dominant examples; mutual nearest neighbors; Procrustes distance;
CKA of examples with norm 1, without the first component, without dominant examples; linear classifiers; residual blocks
left out."""

TOGETHER = 1024
"""Examples on which what takes all of them at once is read."""

MOST_PICTURES, OTHERS = 96, 12
"""Images of dominant examples that a reading keeps at most, and of others beside them."""


def layers(
    model: nn.Module | Graph,
    data: Iterable[Any],
    layers: Chosen = "all",
    *,
    features: Features = "flatten",
    batch: int = 256,
    passes: int = 10,
    examples: int = HELD,
    together: int = TOGETHER,
    fast: bool = False,
    skip: str | Sequence[str] | None = None,
    twin: Callable[[], nn.Module] | bool = True,
    seed: int = 0,
    memory: int | None = None,
    device: str | torch.device | None = None,
    example: Any = None,
    name: str | None = None,
    data_name: str | None = None,
    progress: Tell | None = None,
) -> LayersReading:
    """Read what the layers of a trained network say, find block structure, and say how deep the network really is.

    Args:
        model: a module (left exactly as it is), or its graph from ``nc.trace``.
        data: any re-iterable of batches. Probes and accuracies read the labels, nothing else does.
        layers: ``"all"`` operations, ``"sites"``, ``"streams"`` (residual sums), or names and shell patterns.
        features: ``"flatten"``, ``"pool"`` or ``"tokens"``, as in ``nc.cka``.
        batch: examples a batch of CKA.
        passes: reshuffled passes.
        examples: held for CKA, chosen by (seed, index).
        together: so many of them are used where all are needed at once: components, neighbors, distances, probes.
        fast: Gram matrices of CKA in bfloat16.
        skip: of ``PARTS``, what to leave out.
        twin: a function without arguments that builds the same network untrained; ``True`` for the trained weights with
            the entries of each tensor permuted; ``False`` for no twin.
        seed: of the choice of examples, their order, the probes' parts, and the twin.
        memory: bytes that this may take beside the model; what is free by default.
        device: where to run; the model's own by default.
        example: a batch to trace the model with; the first batch of ``data`` by default.
        name: of the model in the reading.
        data_name: of the data in the reading.
        progress: called with ``(phase, done, total)``.

    Raises:
        InputError: an argument cannot be used, no layer has that name, or it would take more than ``memory``.
        DataError: too few examples, or a layer's values are not finite.
        TraceError: the model cannot be read.
    """
    method = Method(features=features, batch=batch, passes=passes, fast=fast)
    check_method(method, examples, together=together)
    parts = wanted_parts(skip)
    if not (isinstance(twin, bool) or callable(twin)):
        raise InputError(
            f"`twin` must be True, False or a function without arguments that builds the network anew, got {twin!r}."
        )
    tell = progress or (lambda phase, done, total: None)
    clock = Clock()
    with clock("trace"):
        graph = traced(model, data, example, device, name)
        chosen, skipped = comparable(graph, layers, method)
    limit = available_memory(graph.device) if memory is None else memory
    with clock("hold"):
        sample = hold(data, graph.form, examples=examples, seed=seed, limit=limit)
        held = sample.smaller(together)
        if parts & {"components", "neighbors", "procrustes", "probes"}:
            check_one_shape(held, method)
        network = Network(graph, chosen)
        needed = check_memory([network], sample, method, limit)
    plan = Plan(sample.examples, seed)
    cost = _passes(network, sample, held, method, parts, plan, twin=bool(twin))
    tell(cost_words(cost, needed), 0, 1)

    def read(network: Network, name: str, prefix: str, parts: frozenset[str]) -> NetworkLayers:
        with clock(f"{prefix}CKA"):
            aligned = align([network], sample, method, keep=hits, tell=tell, phase=f"{prefix}CKA of all layers")
            found = within(aligned, network, slice(None), name, skipped)
            found.accuracy = accuracy(aligned.outputs[0])
        if parts & {"components", "neighbors", "procrustes", "probes"}:
            with clock(f"{prefix}components and probes"):
                found.read_held(held, method, parts, seed=seed, tell=tell, phase=f"{prefix}components and probes")
        if "variants" in parts:
            with clock(f"{prefix}CKA variants"):
                found.read_variants(sample, held, method, tell=tell, phase=f"{prefix}CKA")
        return found

    mine = read(network, name or graph.name, "", parts)
    if "deletion" in parts:
        with clock("deletion"):
            deleted = delete_blocks(graph, data, plan, tell=tell)
        if isinstance(deleted, str):
            mine.warnings += (f"No residual block was left out: {deleted}.",)
        else:
            mine.deletion = deleted.record({layer.name: place for place, layer in enumerate(chosen)})
            mine.arrays |= deleted.arrays
            mine.warnings += deleted.warnings
            mine.skipped += deleted.found.skipped
    arrays = {f"0/{key}": array for key, array in mine.arrays.items()}
    record: LayersOf | None = None
    kind = None
    if twin:
        with clock("twin"):
            made = make_twin(graph, data, plan, twin if callable(twin) else "shuffled", seed=seed)
        other = read(Network(made.graph, chosen), f"{mine.name}, untrained", "twin: ", parts - {"deletion"})
        other.warnings += made.warnings
        record, kind = other.record(), made.kind
        arrays |= {f"twin/{key}": array for key, array in other.arrays.items()}
    pictured, images = pictures(sample, mine.dominant.examples if mine.dominant is not None else ())
    if images is not None:
        arrays["images"] = images
    return LayersReading(
        origin=origin(data, data_name, sample, seed, graph),
        estimator=estimator(method, sample, held, layers),
        networks=(mine.record(),),
        twin=record,
        twin_kind=kind,
        pictured=pictured,
        cost=Cost(seconds=clock.seconds, passes=cost),
        arrays=arrays,
    )


def _passes(
    network: Network, sample: Sample, held: Sample, method: Method, parts: frozenset[str], plan: Plan, *, twin: bool
) -> float:
    """Return the forward passes of all the data that a reading takes at most; Gram matrices are not counted."""
    runs = float(method.passes * sample.size)
    if parts & {"components", "neighbors", "procrustes", "probes"}:
        runs += held_runs(network, held) * held.size
    if "variants" in parts:
        runs += min(method.passes, VARIANT_PASSES) * (sample.size + 2 * held.size)
    made = twin_passes(network.graph, plan) if twin else 0.0
    deletion = deletion_passes(network.graph, plan) if "deletion" in parts else 0.0
    return (1 + twin) * runs / plan.examples + made + deletion


def cost_words(passes: float, memory: int) -> str:
    """Say what a run takes, before it runs."""
    return f"{passes:.1f} forward passes of the data and the Gram matrices of the layers, {memory / 2**30:.2f} GiB"


def wanted_parts(skip: str | Sequence[str] | None) -> frozenset[str]:
    """Return the parts that are read; variants need components.

    Raises:
        InputError: an unknown name.
    """
    left_out = [skip] if isinstance(skip, str) else list(skip or ())
    for unknown in set(left_out) - set(PARTS):
        raise InputError(f"`skip` must name parts among {', '.join(PARTS)}, got {unknown!r}; choose from these.")
    return frozenset(PARTS) - frozenset(left_out)


def within(
    found: Aligned, network: Network, span: slice, name: str, skipped: tuple[tuple[str, str], ...]
) -> NetworkLayers:
    """Return what was compared within one network.

    Args:
        found: of all networks that were compared together.
        network: one of them.
        span: its layers among all of them.
        name: of the network.
        skipped: what was not compared, by name with the reason.
    """
    mine = found.alignment.of(span)
    return NetworkLayers(
        network=network,
        name=name,
        fingerprint=model_fingerprint(network.graph.program.tensors),
        alignment=mine,
        found=find_blocks(mine.matrix, [layer.kind for layer in network.layers], mine.standard_error),
        skipped=skipped,
        gaps=gaps(network.layers, mine, found.weight[span]),
        warnings=alignment_warnings(mine, found.weight[span], network.layers),
    )


def origin(data: Any, name: str | None, sample: Sample, seed: int, graph: Graph) -> Origin:
    """Say on what a reading was made."""
    return Origin(
        data=name or described(data),
        data_fingerprint=sample.fingerprint,
        seed=seed,
        device=str(graph.device),
        versions=versions(),
    )


def estimator(method: Method, sample: Sample, held: Sample, layers: Chosen) -> Estimator:
    """Say how layers were compared."""
    size = min(method.batch, sample.size)
    return Estimator(
        name=method.name,
        batch=size,
        batches=sample.batches(size),
        passes=method.passes,
        examples=sample.size,
        held=held.size,
        features=method.features,
        precision="bfloat16 products" if method.fast else "float32 products",
        chosen=layers if isinstance(layers, str) else ", ".join(layers),
    )


def pictures(
    sample: Sample, dominant: Sequence[int]
) -> tuple[tuple[int, ...], UInt8[np.ndarray, "m height width 3"] | None]:
    """Return images of the dominant examples and, beside them, of some others, if the data are images.

    Every channel is stretched to what the held examples span.
    """
    group = sample.groups[0]
    image = next((t for t in group.tensors() if t.dim() == 4 and t.shape[1] in (1, 3) and t.is_floating_point()), None)
    if image is None or len(sample.groups) > 1 or max(image.shape[2:]) > 256:
        return (), None
    index = group.indices.numpy()
    mine = np.searchsorted(index, dominant)[:MOST_PICTURES].tolist()
    even = np.linspace(0, len(index) - 1, num=min(OTHERS, len(index))).round().astype(int).tolist()
    places = [*mine, *(place for place in even if place not in mine)]
    low, high = image.amin((0, 2, 3), keepdim=True), image.amax((0, 2, 3), keepdim=True)
    shown = ((image[places] - low) / (high - low).clamp(min=1e-12) * 255).round().to(torch.uint8)
    return tuple(int(index[place]) for place in places), shown.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy()
