"""What the layers of one network say: everything that is read off its representations, put into one record."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float64, Int

from netcaliper.compare.alignment import Component, Method, Network, align
from netcaliper.compare.depth import effective_depth
from netcaliper.compare.held_layers import NEIGHBORS, HeldLayer, held_layers
from netcaliper.feed.one_pass import Tell
from netcaliper.feed.sample import Sample
from netcaliper.reading.block_words import sentence
from netcaliper.reading.layers import Block, Deletion, Dominant, Layer, LayersOf, Probing
from netcaliper.reading.schema import Skipped
from netcaliper.stats import dominant as dominating
from netcaliper.stats.blocks import FoundBlock
from netcaliper.stats.cka import Alignment
from netcaliper.stats.neighbors import overlaps
from netcaliper.stats.principal import cosine_map
from netcaliper.stats.probe import Parts, saturation, split
from netcaliper.stats.procrustes import distances
from netcaliper.trace.layers import LayerValue
from netcaliper.trace.residual import residual_blocks

VARIANT_PASSES = 2
"""Passes of the matrices that stand beside the main one."""

FEWEST_PROBED = 100
"""Held examples below which no linear classifier is trained."""


@dataclass
class NetworkLayers:
    """One network, read step by step.

    Attributes:
        network: with the layers that were compared.
        name: of the network.
        fingerprint: of its weights.
        alignment: CKA of all pairs of its layers.
        found: block structures.
        skipped: what was not compared.
        gaps: layers without values, with the reason.
        warnings: in words.
        accuracy: on the examples, if they have labels.
        arrays: what was computed, by name.
        held: what stays of every layer, once ``read_held`` ran.
        held_index: index in the data of the held examples.
        dominant: the dominant examples.
        probing: the linear classifiers.
        deletion: residual blocks left out.
    """

    network: Network
    name: str
    fingerprint: str
    alignment: Alignment
    found: tuple[FoundBlock, ...]
    skipped: tuple[tuple[str, str], ...]
    gaps: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    accuracy: float | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    held: tuple[HeldLayer, ...] = ()
    held_index: Int[np.ndarray, " n"] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    dominant: Dominant | None = None
    probing: Probing | None = None
    deletion: Deletion | None = None

    def __post_init__(self) -> None:
        self.arrays |= {
            "cka": self.alignment.matrix,
            "standard_error": self.alignment.standard_error,
            "partition_error": self.alignment.partition_error,
        }

    @property
    def layers(self) -> tuple[LayerValue, ...]:
        """The compared layers."""
        return self.network.layers

    def read_held(
        self, sample: Sample, method: Method, parts: Collection[str], *, seed: int, tell: Tell, phase: str
    ) -> None:
        """Read components, neighbors, distances and probes on a held sample.

        Args:
            sample: the held examples.
            method: what the features are.
            parts: of ``PARTS``, which of them are wanted.
            seed: of the split for the probes.
            tell: called after every layer.
            phase: what it is called with.
        """
        labels = sample.labels() if "probes" in parts and sample.size >= FEWEST_PROBED else None
        pieces = None if labels is None else split(sample.size, seed=seed)
        self.held_index = sample.index
        self.held = held_layers(
            self.network,
            sample,
            method,
            probed=self._probed() if labels is not None else (),
            labels=None if labels is None else labels.numpy(),
            parts=pieces,
            tell=tell,
            phase=phase,
        )
        first = [layer.principal.scores[:, 0] for layer in self.held]
        if "components" in parts:
            self.arrays |= {
                "pc_share": np.stack([layer.principal.share for layer in self.held]),
                "pc_scores": np.stack(first),
                "pc_cosine": cosine_map(first),
                "held": sample.index.astype(np.int64),
                "norms": np.sqrt(np.maximum(np.stack([layer.norms for layer in self.held]), 0.0)),
            }
            self.dominant = self._dominant(sample)
        if "neighbors" in parts:
            self.arrays["neighbors"] = overlaps([layer.nearest for layer in self.held])
        if "procrustes" in parts:
            self.arrays["procrustes"] = distances([layer.factor for layer in self.held])
        if labels is not None and pieces is not None:
            self.probing = self._probing(labels.numpy(), pieces)

    def _probed(self) -> frozenset[str]:
        """Return the layers that get a linear classifier: of residual networks the sums and what they add, else all."""
        branches = {block.branch for block in residual_blocks(self.network.graph).blocks}
        chosen = [layer.name for layer in self.layers if layer.kind == "stream" or layer.node in branches]
        ends = [self.layers[0].name, self.layers[-1].name]
        return frozenset([*chosen, *ends] if chosen else [layer.name for layer in self.layers])

    def _probing(self, labels: Int[np.ndarray, " n"], parts: Parts) -> Probing | None:
        probes = {place: layer.probe for place, layer in enumerate(self.held) if layer.probe is not None}
        if not probes:
            return None
        rows = np.full((3, len(self.held)), np.nan)
        for place, probe in probes.items():
            rows[:, place] = probe.accuracy, probe.low, probe.high
        self.arrays |= {"probe": rows[0], "probe_low": rows[1], "probe_high": rows[2]}
        test = labels[parts.test]
        return Probing(
            train=len(parts.fit) + len(parts.select),
            test=len(test),
            missing=next(iter(probes.values())).missing,
            penalty={place: probe.penalty for place, probe in probes.items() if probe.penalty is not None},
            saturation=saturation(rows[0], len(test)),
            chance=float(np.unique(test, return_counts=True)[1].max() / len(test)),
        )

    def _dominant(self, sample: Sample) -> Dominant | None:
        shares = self.arrays["pc_share"][:, 0]
        block = max(self.found, key=lambda one: one.layers, default=None)
        at = dominating.read_at(shares, None if block is None else (block.first, block.last))
        if at is None:
            return None
        sets = self.dominant_sets()
        mine = dominating.dominant(self.arrays["pc_scores"][at], self.held[at].norms)
        assert mine is not None
        inside = sets if block is None else sets[block.first : block.last + 1]
        stability = dominating.stability(inside)
        count = len(mine.examples)
        return Dominant(
            share=mine.share,
            layer=at,
            examples=tuple(int(i) for i in sample.index[mine.examples]),
            variance=mine.variance,
            stability=np.nan if stability is None else stability,
            chance=dominating.chance(sample.size, count, count),
        )

    def dominant_sets(self) -> list[Int[np.ndarray, " m"] | None]:
        """Return the dominant examples of every layer, as positions in the held sample."""
        found = [
            dominating.dominant(scores, layer.norms)
            for scores, layer in zip(self.arrays["pc_scores"], self.held, strict=True)
        ]
        return [None if one is None else one.examples for one in found]

    def read_variants(self, sample: Sample, held: Sample, method: Method, *, tell: Tell, phase: str) -> None:
        """Compare the layers again: examples of norm 1; without the first component; without dominant examples.

        Args:
            sample: all examples.
            held: those that the components were read on.
            method: of the main matrix.
            tell: called after every batch.
            phase: what it is called with.
        """
        few = replace(method, passes=min(method.passes, VARIANT_PASSES))
        networks = [self.network]
        equal = align(networks, sample, replace(few, equal_norms=True), tell=tell, phase=f"{phase}, norms made equal")
        self.arrays["cka_normalized"] = equal.alignment.matrix
        if not self.held:
            return
        removed = {
            place: Component(
                torch.from_numpy(layer.principal.scores[:, 0]).to(self.network.graph.device),
                layer.principal.share[0] * layer.principal.trace,
            )
            for place, layer in enumerate(self.held)
            if layer.principal.reason is None
        }
        exact = replace(few, fast=False)  # rounding of what is removed would be all that is left
        without = align(networks, held, exact, without=removed, tell=tell, phase=f"{phase}, first component removed")
        self.arrays["cka_without_pc"] = without.alignment.matrix
        if self.dominant is not None:
            rest = held.without(np.array(self.dominant.examples))
            apart = align(networks, rest, few, tell=tell, phase=f"{phase}, without dominant examples")
            self.arrays["cka_without_dominant"] = apart.alignment.matrix

    # ---- the record

    def record(self) -> LayersOf:
        """Return all of it."""
        layers = tuple(
            Layer(
                name=layer.name, op=layer.op, kind=layer.kind, stage=layer.stage, shape=layer.shape,
                reason=self.gaps.get(layer.name),
            )
            for layer in self.layers
        )  # fmt: skip
        blocks = tuple(self._block(block) for block in self.found)
        return LayersOf(
            name=self.name,
            fingerprint=self.fingerprint,
            accuracy=self.accuracy,
            layers=layers,
            skipped=tuple(Skipped(name=name, reason=reason) for name, reason in self.skipped),
            blocks=blocks,
            dominant=self.dominant,
            probing=self.probing,
            deletion=self.deletion,
            depth=effective_depth(layers, blocks, self.probing, self.deletion),
            neighbors_k=min(NEIGHBORS, len(self.held_index) - 1) if "neighbors" in self.arrays else None,
            warnings=self.warnings,
        )

    def _block(self, found: FoundBlock) -> Block:
        inside = [
            place
            for place in range(found.first, found.last + 1)
            if found.stratum == "all" or self.layers[place].kind == "stream"
        ]
        share = self.arrays.get("pc_share")
        outside = np.setdiff1d(np.arange(len(self.layers)), np.arange(found.first, found.last + 1))
        block = Block(
            stratum=found.stratum,
            first=found.first,
            last=found.last,
            layers=found.layers,
            share=found.share,
            mean=found.mean,
            low=found.low,
            contrast=found.contrast,
            first_pc_share=None if share is None else _mean(share[inside, 0]),
            first_pc_share_outside=None if share is None else _mean(share[outside, 0]),
            first_pc_cosine=self._inside("pc_cosine", inside),
            without_first_pc=self._inside("cka_without_pc", inside),
            without_dominant=self._inside("cka_without_dominant", inside),
        )
        return block.model_copy(update={"sentence": sentence(block, [layer.name for layer in self.layers])})

    def _inside(self, name: str, layers: Sequence[int]) -> float | None:
        matrix = self.arrays.get(name)
        if matrix is None:
            return None
        pairs = matrix[np.ix_(layers, layers)][np.triu_indices(len(layers), 1)]
        return _mean(pairs)


def _mean(values: Float64[np.ndarray, " n"]) -> float | None:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None
