"""CKA: how similar are the representations of two layers, over all pairs of layers of a network?

Minibatch debiased linear CKA (Nguyen, Raghu and Kornblith, ICLR 2021): what is estimated is the value on the whole
population of examples, whatever the size of a batch. It may be a little below 0 for layers that have nothing in common;
such values are reported as they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Float64
from torch import nn

from netcaliper.compare.alignment import (
    Features,
    Kernel,
    Method,
    Network,
    Statistic,
    align,
    carried,
    dominant_count,
)
from netcaliper.errors import InputError
from netcaliper.feed.dry_run import dry_run
from netcaliper.feed.one_pass import Tell
from netcaliper.feed.sample import Sample, hold
from netcaliper.feed.traced import traced
from netcaliper.measure.estimate import available_memory
from netcaliper.stats.blocks import FoundBlock, find_blocks
from netcaliper.stats.cka import FEWEST, FEWEST_BATCHES, Alignment
from netcaliper.trace.graph import Graph
from netcaliper.trace.layers import Chosen, LayerValue, chosen_layers

HELD = 2048
"""Examples that are held by default."""

CARRIED = 0.2
"""Share of a layer that 1 % of the examples may carry before the report warns; 1 % of equal ones carry .01."""

CONSTANT = "constant: it is the same for all examples"
SINGLE = "different for single examples of a batch only: no pair of examples says anything"
INFINITE = "not finite: it holds infinity (attention scores under a mask do) or NaN, or its products overflow float32"


@dataclass(frozen=True)
class CKA:
    """Similarities of all pairs of layers.

    Attributes:
        layers: names.
        matrix: ``[L, L]``; NaN in the rows and columns of gaps.
        standard_error: how far each value would move with other examples (see ``netcaliper.stats.cka.Alignment``).
        partition_error: how far it would move with other partitions of the same examples into batches.
        blocks: block structures found in it.
        values: what was compared: operation, kind, stage, shape of every layer.
        gaps: layers without values, with the reason.
        skipped: what was not compared, by name with the reason.
        method: name of what was computed.
        examples, batch, batches, passes: sample size N, examples a batch, batches a pass, passes.
        warnings: in words.
    """

    layers: tuple[str, ...]
    matrix: Float64[np.ndarray, "L L"]
    standard_error: Float64[np.ndarray, "L L"]
    partition_error: Float64[np.ndarray, "L L"]
    blocks: tuple[FoundBlock, ...]
    values: tuple[LayerValue, ...]
    gaps: Mapping[str, str]
    skipped: tuple[tuple[str, str], ...]
    method: str
    examples: int
    batch: int
    batches: int
    passes: int
    warnings: tuple[str, ...] = field(default=())


def cka(
    model: nn.Module | Graph,
    data: Iterable[Any],
    layers: Chosen = "all",
    *,
    statistic: Statistic = "debiased",
    kernel: Kernel = "linear",
    features: Features = "flatten",
    equal_norms: bool = False,
    batch: int = 256,
    passes: int = 10,
    examples: int = HELD,
    fast: bool = False,
    seed: int = 0,
    memory: int | None = None,
    device: str | torch.device | None = None,
    example: Any = None,
    progress: Tell | None = None,
) -> CKA:
    """Compare all layers of a network with each other.

    ``CKA = sum <K_b, L_b> / sqrt(sum <K_b, K_b> sum <L_b, L_b>)`` over batches b of reshuffled passes, K_b and L_b the
    centered Gram matrices of two layers on a batch. U-centered ones make it a ratio of unbiased estimates (Song et al.
    2012); ``statistic="biased"`` centers them in the usual way, which grows with the number of features.

    Args:
        model: a module (left exactly as it is), or its graph from ``nc.trace``.
        data: any re-iterable of batches.
        layers: ``"all"`` operations, ``"sites"``, ``"streams"`` (residual sums), or names and shell patterns.
        statistic: ``"debiased"`` or ``"biased"``.
        kernel: ``"linear"``, or ``"rbf"``: ``exp(-|x - y|^2 / (2 s))`` with s the median squared distance.
        features: ``"flatten"``, every position of an example is a feature (as the paper); ``"pool"``, the mean over
            positions; ``"tokens"``, one token of every example at a time is what is compared.
        equal_norms: bring every example to norm 1 first, so that no example dominates by its size.
        batch: examples a batch.
        passes: how often the examples are shuffled and run.
        examples: how many to hold, chosen by (seed, index).
        fast: multiply in bfloat16 (matrix units); differences to the exact values are below 1e-3 where measured.
        seed: of the choice of examples and of their order.
        memory: bytes that this may take beside the model; what is free by default.
        device: where to run; the model's own by default.
        example: a batch to trace the model with; the first batch of ``data`` by default.
        progress: called with ``(phase, done, total)``.

    Raises:
        InputError: an argument cannot be used, no layer has that name, or it would take more than ``memory``.
        DataError: too few examples, or a layer's values are not finite.
        TraceError: the model cannot be read.
    """
    method = Method(statistic, kernel, features, equal_norms, batch, passes, fast)
    check_method(method, examples)
    graph = traced(model, data, example, device, None)
    chosen, skipped = comparable(graph, layers, method)
    limit = available_memory(graph.device) if memory is None else memory
    sample = hold(data, graph.form, examples=examples, seed=seed, limit=limit)
    check_memory([Network(graph, chosen)], sample, method, limit)
    found = align([Network(graph, chosen)], sample, method, tell=progress)
    names = tuple(layer.name for layer in chosen)
    return CKA(
        layers=names,
        matrix=found.alignment.matrix,
        standard_error=found.alignment.standard_error,
        partition_error=found.alignment.partition_error,
        blocks=find_blocks(found.alignment.matrix, [layer.kind for layer in chosen], found.alignment.standard_error),
        values=chosen,
        gaps=gaps(chosen, found.alignment, found.weight),
        skipped=skipped,
        method=method.name,
        examples=sample.size,
        batch=min(batch, sample.size),
        batches=found.alignment.batches,
        passes=passes,
        warnings=alignment_warnings(found.alignment, found.weight, chosen),
    )


def check_method(method: Method, examples: int, **more: int) -> None:
    """Refuse arguments that cannot be used.

    Args:
        method: how layers are compared.
        examples: to hold.
        more: other numbers of examples, by the name of their argument.

    Raises:
        InputError: the message names the argument.
    """
    for argument, given, known in (
        ("statistic", method.statistic, get_args(Statistic)),
        ("kernel", method.kernel, get_args(Kernel)),
        ("features", method.features, get_args(Features)),
    ):
        if given not in known:
            raise InputError(f"`{argument}` must be one of {', '.join(known)}, got {given!r}; choose one of these.")
    for argument, number, least in (
        ("batch", method.batch, FEWEST),
        ("passes", method.passes, 1),
        ("examples", examples, FEWEST),
        *((argument, number, FEWEST) for argument, number in more.items()),
    ):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise InputError(f"`{argument}` must be a whole number of at least {least}, got {number!r}.")


def comparable(
    graph: Graph, layers: Chosen, method: Method
) -> tuple[tuple[LayerValue, ...], tuple[tuple[str, str], ...]]:
    """Choose layers, without those that the method cannot compare; these are returned by name with the reason."""
    chosen, skipped = chosen_layers(graph, layers)
    if method.features == "flatten":
        return chosen, skipped
    reasons = {layer.name: _no_units(graph, layer, method) for layer in chosen}
    left = tuple(layer for layer in chosen if reasons[layer.name] is None)
    if len(left) < 2:
        raise InputError(
            f"`features` = {method.features!r} must leave at least 2 layers, got {len(left)} of {len(chosen)} "
            f"({next(filter(None, reasons.values()))}); use features='flatten'."
        )
    return left, (*skipped, *((name, reason) for name, reason in reasons.items() if reason is not None))


def _no_units(graph: Graph, layer: LayerValue, method: Method) -> str | None:
    tokens = graph.example.token_length()
    if method.features == "tokens" and tokens is None:
        return "the network takes no tokens"
    if layer.units_axis is None:
        return "which of its axes holds the units is not known"
    if method.features == "tokens" and (len(layer.shape) != 2 or tokens not in layer.shape):
        return "it has no value for every token"
    return None


def check_memory(networks: Sequence[Network], sample: Sample, method: Method, limit: int | None) -> int:
    """Return what a comparison takes, in bytes beside the models, and refuse it if that is more than there is.

    Held are the inputs, ``4 L n^2`` bytes of Gram matrices, the products of a pass, and the largest values of a batch.

    Raises:
        InputError: the message holds the estimate and what to choose instead.
    """
    count, n = sum(len(network.layers) for network in networks), min(method.batch, sample.size)
    alive = max(dry_run(network.graph, sample.groups[0].first(2)).held for network in networks) * n
    parts = {
        "inputs": sample.bytes,
        "Gram matrices": 4 * count * n * n,
        "their products": 8 * count * count * sample.batches(n),
        "values of a batch": alive,
    }
    total = sum(parts.values())
    if limit is not None and total > limit:
        named = ", ".join(f"{what} {size / 2**30:.2f} GiB" for what, size in parts.items())
        raise InputError(
            f"`memory` must hold what comparing {count} layers takes, about {total / 2**30:.2f} GiB ({named}), got "
            f"{limit / 2**30:.2f} GiB; compare fewer layers (layers='streams' or 'sites'), smaller batches (`batch`), "
            "or fewer examples (`examples`)."
        )
    return total


def gaps(layers: Sequence[LayerValue], alignment: Alignment, weight: Float64[np.ndarray, "L held"]) -> dict[str, str]:
    """Return the layers whose rows are empty, with the reason.

    Args:
        layers: the layers.
        alignment: of these layers.
        weight: what every example carries of each of them (``Aligned.weight``).
    """
    empty = np.isnan(np.diag(alignment.matrix))
    reasons = [INFINITE if np.isnan(own) else SINGLE if own > 0 else CONSTANT for own in weight.sum(1)]
    return {layer.name: reason for layer, reason, gap in zip(layers, reasons, empty, strict=True) if gap}


def alignment_warnings(
    alignment: Alignment, weight: Float64[np.ndarray, "L held"], layers: Sequence[LayerValue]
) -> tuple[str, ...]:
    """Say in words what makes the values of some layers less sure.

    Args:
        alignment: of these layers.
        weight: what every example carries of each of them.
        layers: the layers.
    """
    said = []
    share = carried(weight)
    if (share > CARRIED).any():
        most = int(np.nanargmax(share))
        said.append(
            f"{dominant_count(weight)} of {weight.shape[1]:,} examples carry {share[most]:.0%} of "
            f"what `{layers[most].name}` says "
            f"({np.count_nonzero(share > CARRIED)} of {len(layers)} layers are above {CARRIED:.0%}): the standard "
            "error is too small there, and CKA speaks of these examples first. Compare with examples of equal norm, "
            "and without the dominant ones."
        )
    if alignment.batches < FEWEST_BATCHES:
        said.append(
            f"no standard error: it takes {FEWEST_BATCHES} batches a pass, there are {alignment.batches}; give "
            "more examples or smaller batches."
        )
    reasons = gaps(layers, alignment, weight)
    for reason, words in (
        (CONSTANT, "are the same for all examples"),
        (SINGLE, "differ in single examples only"),
        (INFINITE, "hold infinity or NaN"),
    ):
        empty = [name for name, found in reasons.items() if found == reason]
        if empty:
            names = ", ".join(empty[:4]) + (", ..." if len(empty) > 4 else "")
            said.append(f"{len(empty)} of {len(layers)} layers {words} and have no CKA: {names}.")
    return tuple(said)
