"""What takes all held examples of a layer at once: components, neighbors, probes; layer by layer, so that it fits.

A layer's features are collected over the batches, become one Gram matrix, and are dropped; the Gram matrix is read and
dropped too. What stays of a layer is a few numbers an example.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from netcaliper.compare.alignment import Method, Network, feed
from netcaliper.errors import DataError
from netcaliper.feed.one_pass import Tell
from netcaliper.feed.sample import Sample
from netcaliper.stats.gram import GramMaker, double_center_
from netcaliper.stats.neighbors import nearest
from netcaliper.stats.principal import Principal, principal
from netcaliper.stats.probe import Parts, Probe, probe
from netcaliper.stats.procrustes import factor
from netcaliper.trace.layers import LayerValue, features

COMPONENTS = 8
NEIGHBORS = 10
PROCRUSTES = 128
"""Examples that the Procrustes distance is taken on: its cost grows with their cube for every pair of layers."""

AT_ONCE = 2**30
"""Bytes of features that are collected at a time; a larger layer comes alone."""


@dataclass(frozen=True)
class HeldLayer:
    """What stays of one layer.

    Attributes:
        principal: its first principal components in example space.
        norms: squared norm of every centered example.
        nearest: the nearest other examples of every example, ``None`` for a gap.
        factor: what Procrustes distances are computed from, ``None`` for a gap.
        probe: the linear classifier, where it was asked for.
    """

    principal: Principal
    norms: Float64[np.ndarray, " n"]
    nearest: Int64[np.ndarray, "n k"] | None
    factor: Float64[Tensor, "m r"] | None
    probe: Probe | None


def held_layers(
    network: Network,
    sample: Sample,
    method: Method,
    *,
    probed: Collection[str] = (),
    labels: Int64[np.ndarray, " n"] | None = None,
    parts: Parts | None = None,
    tell: Tell | None = None,
    phase: str = "reading layers",
) -> tuple[HeldLayer, ...]:
    """Read every layer on all held examples.

    Args:
        network: with the layers that are read.
        sample: the held examples.
        method: what the features are, and how many examples run at a time.
        probed: names of layers that get a linear classifier.
        labels: classes of the held examples.
        parts: which of them fit, select and test.
        tell: called after every layer.
        phase: what ``tell`` is called with.

    Raises:
        DataError: examples differ in shape, and with it the number of features.
    """
    check_one_shape(sample, method)
    found = []
    few = torch.arange(min(PROCRUSTES, sample.size))
    for layer, gram in _grams(network, sample, method):
        wanted = layer.name in probed and labels is not None and parts is not None
        near = nearest(gram, min(NEIGHBORS, sample.size - 1))
        found.append(
            HeldLayer(
                principal=principal(gram, min(COMPONENTS, sample.size - 1)),
                norms=gram.diagonal().double().cpu().numpy().copy(),  # the next layer's matrix lies in the same memory
                nearest=near,
                factor=None if near is None else factor(gram[few][:, few]),
                probe=probe(gram, labels, parts) if wanted else None,  # type: ignore[arg-type]
            )
        )
        if tell is not None:
            tell(phase, len(found), len(network.layers))
    return tuple(found)


def check_one_shape(sample: Sample, method: Method) -> None:
    """Refuse examples whose layers cannot be laid side by side.

    Raises:
        DataError: examples differ in shape, and with it the number of features.
    """
    if method.features == "flatten" and len(sample.groups) > 1:
        raise DataError(
            "`data` must give examples of one shape to read all of them at once with features='flatten', got "
            f"{len(sample.groups)} shapes; pad them to one length, or use features='pool'."
        )


def held_runs(network: Network, sample: Sample) -> int:
    """Return how often the held examples are run."""
    return sum(1 for _ in _together(network.layers, sample.size))


def _grams(network: Network, sample: Sample, method: Method) -> Iterator[tuple[LayerValue, Tensor]]:
    """Give the centered Gram matrix of every layer over all held examples."""
    graph, n = network.graph, sample.size
    dtype = torch.float64 if graph.dtype is torch.float64 else torch.float32
    maker = GramMaker(n, graph.device, dtype)
    gram = torch.empty(n, n, dtype=dtype, device=graph.device)
    for layers in _together(network.layers, n):
        collected: dict[int, Tensor] = {}
        row = 0

        def take(place: int, rows: Tensor, collected: dict[int, Tensor] = collected) -> None:
            if place not in collected:
                collected[place] = torch.empty(n, rows.shape[1], dtype=rows.dtype, device=rows.device)
            collected[place][row : row + len(rows)] = rows  # noqa: B023 (called before row moves on)

        for batch in sample.in_order(method.batch):
            feed(Network(graph, layers), batch, method, sample.seed, 0, take)
            row += batch.size
        for place, layer in enumerate(layers):
            maker(collected.pop(place), gram)
            double_center_(gram).diagonal().clamp_(min=0.0)  # squared norms: below 0 is rounding
            yield layer, gram


def _together(layers: Sequence[LayerValue], n: int) -> Iterator[tuple[LayerValue, ...]]:
    """Cut the layers into runs whose features fit into memory together."""
    group: list[LayerValue] = []
    size = 0
    for layer in layers:
        own = 4 * n * features(layer)
        if group and size + own > AT_ONCE:
            yield tuple(group)
            group, size = [], 0
        group.append(layer)
        size += own
    if group:
        yield tuple(group)
