"""One engine for all layers: networks run on shuffled batches, each layer becomes a Gram matrix as soon as it exists.

The activation is dropped at once, so that memory grows with layers times the square of the batch, not with features;
an operation that overwrites its input cannot spoil anything, for the graph has none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from netcaliper.errors import DataError
from netcaliper.feed.one_pass import Tell
from netcaliper.feed.sample import Sample
from netcaliper.stats.cka import FEWEST, Alignment, AlignmentState
from netcaliper.stats.gram import (
    GramMaker,
    double_center_,
    equal_norms,
    median_distance,
    rbf_,
    squared_norms,
    u_center_,
)
from netcaliper.stats.sampling import one_token
from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import Graph, Tap
from netcaliper.trace.layers import INPUT, LayerValue, tap_key

Features = Literal["flatten", "pool", "tokens"]
Kernel = Literal["linear", "rbf"]
Statistic = Literal["debiased", "biased"]

LARGEST_FREED = 2**25 - 2**16
"""Bytes of the largest block whose release moves glibc's thresholds, which is 32 MiB with what is added to it."""

DOMINANT_SHARE = 0.01
"""Examples that a jackknife over batches cannot judge if they carry much of a layer."""

ROUNDING = 1e-5
"""Share of a Gram matrix that may be left by rounding when all of it was taken away."""


@dataclass(frozen=True)
class Network:
    """A network and those of its layers that are compared."""

    graph: Graph
    layers: tuple[LayerValue, ...]


@dataclass(frozen=True)
class Method:
    """How two layers are compared.

    Attributes:
        statistic: ``debiased`` (U-centered Gram matrices) or ``biased``.
        kernel: ``linear``, or ``rbf`` with the median squared distance of the first batch as bandwidth.
        features: ``flatten`` (all positions, as the paper), ``pool`` (their mean), or ``tokens`` (one token of every
            example, another in every pass).
        equal_norms: bring every example to norm 1 first.
        batch: examples a batch.
        passes: reshuffled passes over the sample.
        fast: Gram matrices in bfloat16.
    """

    statistic: Statistic = "debiased"
    kernel: Kernel = "linear"
    features: Features = "flatten"
    equal_norms: bool = False
    batch: int = 256
    passes: int = 10
    fast: bool = False

    @property
    def name(self) -> str:
        """The name that is printed beside the numbers."""
        kernel = "linear" if self.kernel == "linear" else "Gaussian-kernel"
        norms = " of examples with norm 1" if self.equal_norms else ""
        return f"minibatch {self.statistic} {kernel} CKA{norms}"


@dataclass(frozen=True)
class Component:
    """One direction in example space that a layer loses before it is compared.

    Attributes:
        scores: the unit vector over all examples of the sample, in the order of ``Sample.index``.
        variance: its eigenvalue in their (linear) Gram matrix.
    """

    scores: Float64[Tensor, " held"]
    variance: float


@dataclass
class Aligned:
    """What came out.

    Attributes:
        alignment: of all layers of all networks, one after the other.
        weight: share of every layer's ``||K||^2`` (centered by batch, diagonal included) that each example carries,
            ``[L, held]`` in the order of ``Sample.index``; 0 for a constant layer, NaN for one that is not finite. With
            the diagonal an example shows that dominates alone in its batch, which U-centering cannot see.
        outputs: for every network what ``keep`` made of its outputs in the first pass, with the batches.
    """

    alignment: Alignment
    weight: Float64[np.ndarray, "L held"]
    outputs: list[list[tuple[Batch, Any]]] = field(default_factory=list)


def align(
    networks: Sequence[Network],
    sample: Sample,
    method: Method,
    *,
    without: Mapping[int, Component] | None = None,
    keep: Callable[[Any, Batch], Any] | None = None,
    tell: Tell | None = None,
    phase: str = "comparing layers",
) -> Aligned:
    """Compare all layers of some networks with each other, on the same batches.

    Args:
        networks: run one after the other on every batch.
        sample: the examples.
        method: how.
        without: for a layer (counted over all networks) what it loses first.
        keep: called with every output of the first pass; what it returns is kept.
        tell: called after every batch.
        phase: what ``tell`` is called with.

    Raises:
        DataError: the last layer's values are not finite, or no 4 examples are of one shape.
    """
    places = [(network, layer) for network in networks for layer in network.layers]
    first = places[0][0].graph
    if first.device.type == "cpu":
        keep_freed_memory()
    dtype = torch.float64 if first.dtype is torch.float64 else torch.float32
    size = max(FEWEST, min(method.batch, max(group.size for group in sample.groups)))
    maker = GramMaker(size, first.device, dtype, fast=method.fast)
    memory = torch.empty(len(places), size * size, dtype=dtype, device=first.device)
    batches = sample.batches(size)
    if not batches:
        raise DataError(
            f"`data` must give at least {FEWEST} examples of one shape to compare layers on, got at most "
            f"{max(group.size for group in sample.groups)}; bring them to one length (pad, with a mask), or give more."
        )
    state = AlignmentState(len(places), batches)
    place_of = torch.empty(sample.examples, dtype=torch.int64)
    place_of[torch.from_numpy(sample.index)] = torch.arange(sample.size)
    weight = torch.zeros(len(places), sample.size, dtype=torch.float64, device=first.device)
    center = u_center_ if method.statistic == "debiased" else double_center_
    bandwidth: dict[int, Tensor] = {}
    outputs: list[list[tuple[Batch, Any]]] = [[] for _ in networks]
    for of_pass in range(method.passes):
        for number, batch in enumerate(sample.partition(of_pass, size)):
            stack = memory[:, : batch.size**2]
            grams = stack.view(len(places), batch.size, batch.size)
            index = place_of[batch.indices].to(first.device)

            def centered(
                place: int, features: Float[Tensor, "n p"], index: Tensor = index, grams: Tensor = grams
            ) -> None:
                gram = grams[place]
                constant = maker(equal_norms(features) if method.equal_norms else features, gram)
                if method.kernel == "rbf":
                    if place not in bandwidth:
                        bandwidth[place] = median_distance(gram)
                    rbf_(gram, bandwidth[place]).masked_fill_(constant, 0.0)
                norms = squared_norms(gram).square()
                center(gram)
                lost = (without or {}).get(place)
                if lost is not None:
                    _remove(
                        gram, center((lost.variance * torch.outer(lost.scores[index], lost.scores[index])).to(gram))
                    )
                rows = torch.linalg.vector_norm(gram, dim=1, dtype=torch.float64).square()
                # where one example alone differs, U is 0 but for rounding
                gram.masked_fill_(rows.sum() <= (16 * torch.finfo(dtype).eps) ** 2 * norms.sum(), 0.0)
                weight[place, index] += rows + norms if method.statistic == "debiased" else rows

            start = 0
            for which, network in enumerate(networks):
                output = feed(network, batch, method, sample.seed, of_pass, partial(_shifted, centered, start))
                if keep is not None and of_pass == 0:
                    outputs[which].append((batch, keep(output, batch)))
                start += len(network.layers)
            state.update(stack, of_pass, number)
            if tell is not None:
                tell(phase, of_pass * batches + number + 1, method.passes * batches)
    total = weight.sum(1, keepdim=True)
    _check_finite(total, networks)
    shares = torch.where(total == 0, 0.0, weight / total)
    shares[~torch.isfinite(total[:, 0])] = torch.nan
    return Aligned(state.finish(), shares.cpu().numpy(), outputs)


def _remove(gram: Float[Tensor, "n n"], lost: Float[Tensor, "n n"]) -> None:
    """Take a part off a centered Gram matrix; what is left of a layer that was nothing else is rounding, and made 0."""
    whole = torch.linalg.vector_norm(gram, dtype=torch.float64)
    gram.sub_(lost)
    gram.masked_fill_(torch.linalg.vector_norm(gram, dtype=torch.float64) <= ROUNDING * whole, 0.0)


def _shifted(take: Callable[[int, Tensor], None], start: int, place: int, features: Tensor) -> None:
    take(start + place, features)


def feed(
    network: Network, batch: Batch, method: Method, seed: int, of_pass: int, take: Callable[[int, Tensor], None]
) -> Any:
    """Run a network on a batch and hand over the features of each of its layers as soon as they exist.

    Args:
        network: with the layers that are wanted.
        batch: the examples.
        method: says what the features are.
        seed: of the choice of tokens.
        of_pass: the same.
        take: called with the place of a layer and its features, ``[examples, features]``, valid during the call only.

    Returns:
        The output of the network.
    """
    graph, batch = network.graph, units_last(batch, network.graph.device)
    tokens = None
    if method.features == "tokens":
        mask = batch.output_mask()
        length = batch.token_length() or 1
        counts = np.full(batch.size, length) if mask is None else mask.sum(1).cpu().numpy()
        tokens = torch.from_numpy(one_token(batch.indices.numpy(), counts, seed, of_pass))

    def features(layer: LayerValue, value: Tensor) -> Tensor:
        if method.features == "flatten":
            return layer.rows(value, batch.size)
        assert layer.units_axis is not None
        valid = graph.padding.valid(batch, layer.node, layer.units_axis, layer.batch_axis, value.shape)
        if isinstance(valid, str):
            raise DataError(f"layer `{layer.name}`: {valid}")
        if tokens is None:
            return layer.pooled(value, batch.size, None if valid is None else valid.to(value.device))
        return layer.token(value, batch.size, tokens, valid)

    def tap(place: int, layer: LayerValue) -> Tap:
        pieces: list[Tensor] = []

        def seen(value: Tensor, *inputs: Tensor) -> None:
            if graph.dynamic_batch:
                take(place, features(layer, value))
                return
            # a graph that is bound to a number of examples runs a batch in pieces
            pieces.append(value.clone())
            if len(pieces) == -(-batch.size // graph.traced_batch):
                take(place, features(layer, torch.cat(pieces, layer.batch_axis)))

        return seen

    taps = {}
    for place, layer in enumerate(network.layers):
        if layer.op == INPUT:
            take(place, features(layer, graph.input(batch, layer.node)))
        else:
            taps[tap_key(layer)] = tap(place, layer)
    return graph.run(batch, taps=taps).output


def keep_freed_memory() -> None:
    """Let the C allocator keep what one layer frees for the next one, by freeing a large block once.

    glibc gives free memory back to the system where it is more than twice the largest block that was ever freed. With
    the default the pages of most layers are given back and made anew, at a fifth of the cost of a forward pass.
    """
    torch.empty(LARGEST_FREED, dtype=torch.uint8)


def units_last(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its images laid out units last in memory, where the processor runs the network.

    Convolutions keep that layout, and need no reordering in it: a forward pass takes a quarter less.
    """
    if device.type != "cpu":
        return batch

    def laid(value: Any) -> Any:
        images = isinstance(value, Tensor) and value.dim() == 4
        return value.contiguous(memory_format=torch.channels_last) if images else value

    return replace(batch, args=tuple(map(laid, batch.args)), kwargs={k: laid(v) for k, v in batch.kwargs.items()})


def _check_finite(total: Float64[Tensor, "L 1"], networks: Sequence[Network]) -> None:
    """Refuse a network whose last layer is not finite; attention scores under a mask are not, and what follows is."""
    start = 0
    for network in networks:
        fine = torch.isfinite(total[start : start + len(network.layers), 0]).tolist()
        start += len(network.layers)
        if not fine[-1]:
            raise DataError(
                f"layer `{network.layers[fine.index(False)].name}` of {network.graph.name}, and the last one, hold NaN "
                "or infinity (or values whose products overflow float32); find the example that causes it, or run the "
                "network in float64."
            )


def carried(weight: Float64[np.ndarray, "L held"]) -> Float64[np.ndarray, " L"]:
    """Return which share of every layer the 1 % of examples that carry most of it carry."""
    return np.sort(weight, axis=1)[:, -dominant_count(weight) :].sum(1)


def dominant_count(weight: Float64[np.ndarray, "L held"]) -> int:
    """Return how many examples 1 % are."""
    return max(1, round(DOMINANT_SHARE * weight.shape[1]))
