"""``read.layers``: what the layers of a network say, and how much of it is block structure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from netcaliper.compare.cka import HELD
from netcaliper.compare.layers import TOGETHER
from netcaliper.compare.layers import layers as read_layers
from netcaliper.reading.layers import LayersOf, LayersRecord
from netcaliper.reading.layers_names import Place
from netcaliper.study.cells.readers.options import checked_options
from netcaliper.study.cells.readers.subject import Subject

OPTIONS = {
    "examples": HELD, "together": TOGETHER, "passes": 10, "batch": 256, "layers": "all", "features": "flatten",
    "skip": None, "twin": True,
}  # fmt: skip

_NOT_OF_TWIN = ("saturation_layer", "saturation", "droppable_blocks", "droppable_share", "droppable_in_block")


def read(subject: Subject, options: Mapping[str, Any]) -> dict[str, Any]:
    """Read the layers on test examples and return the columns, those of the twin with ``twin_`` before.

    Args:
        subject: the network; the reading is kept in its folder.
        options: ``twin`` (whether to read it), and ``examples``, ``together``, ``passes``, ``batch``, ``layers``,
            ``features`` and ``skip`` of ``nc.layers``.
    """
    chosen = checked_options("layers", options, OPTIONS)
    network, make = subject.network, subject.network.twin
    reading = read_layers(
        subject.model,
        subject.data.test,
        chosen["layers"],
        features=chosen["features"],
        batch=chosen["batch"],
        passes=chosen["passes"],
        examples=chosen["examples"],
        together=chosen["together"],
        skip=chosen["skip"],
        twin=False if not chosen["twin"] else True if make is None else lambda: make(subject.seed),
        seed=subject.seed,
        name=network.name,
        data_name=subject.data.name,
        progress=subject.tell,
    )
    reading.save(subject.folder, replace=True)
    return columns(reading)


def columns(reading: LayersRecord) -> dict[str, Any]:
    """Return the columns of a reading."""
    found = _of(reading, 0, reading.networks[0])
    if reading.twin is not None:
        twin = _of(reading, "twin", reading.twin)
        found |= {f"twin_{name}": value for name, value in twin.items() if name not in _NOT_OF_TWIN}
    return found


def _of(reading: LayersRecord, place: Place, network: LayersOf) -> dict[str, Any]:
    layers, blocks = len(network.layers), network.blocks
    largest = max(blocks, key=lambda block: block.last - block.first, default=None)
    covered = np.zeros(layers, dtype=bool)
    for block in blocks:
        covered[block.first : block.last + 1] = True
    inside = np.zeros(layers, dtype=bool)
    if largest is not None:
        inside[largest.first : largest.last + 1] = True
    first, cosine = reading.array(place, "pc_share"), reading.array(place, "pc_cosine")
    return {
        "layers": layers,
        "depth": network.depth.layers,
        "distinct_layers": network.depth.distinct,
        "blocks": int(np.count_nonzero(np.diff(covered, prepend=False) & covered)),
        "block_layers": int(covered.sum()),
        "largest_block": int(inside.sum()),
        "block_share": float(covered.mean()),
        "contrast": None if largest is None else largest.contrast,
        "first_pc_in_block": None if largest is None else largest.first_pc_share,
        "first_pc_outside": None if first is None else _mean(first[~inside, 0]),
        "cosine_in_block": None if largest is None else largest.first_pc_cosine,
        "cosine_outside": None if cosine is None else _off_diagonal(cosine, ~inside),
        "cka_in_block": None if largest is None else largest.mean,
        "cka_in_block_removed": None if largest is None else largest.without_first_pc,
        "cka_without_dominant": None if largest is None else largest.without_dominant,
        "dominant_share": None if network.dominant is None else network.dominant.variance,
        "saturation_layer": None if network.probing is None else network.probing.saturation,
        "saturation": _relative(None if network.probing is None else network.probing.saturation, layers),
        **_probes(reading.array(place, "probe"), [layer.kind == "stream" for layer in network.layers], inside),
        **_deletion(network, covered),
    }


def _probes(
    probe: Float64[np.ndarray, " L"] | None, stream: list[bool], inside: Bool[np.ndarray, " L"]
) -> dict[str, float | None]:
    """Return how probes go on along residual sums inside the block, and what the branch before a sum lacks there.

    - ``probe_plateau_in_block``: mean gain of accuracy from one residual sum to the next outside of the block, minus
      the same inside; above 0 for a plateau.
    - ``residual_dip``: mean accuracy of the residual sums inside, minus that of the layers right before them.
    """
    found: dict[str, float | None] = {"probe_plateau_in_block": None, "residual_dip": None}
    sums = np.flatnonzero(stream)
    if probe is None or not inside.any() or len(sums) < 2:
        return found
    gains = np.diff(probe[sums])
    within = inside[sums[:-1]] & inside[sums[1:]]
    in_block, outside = _mean(gains[within]), _mean(gains[~within])
    if in_block is not None and outside is not None:
        found["probe_plateau_in_block"] = outside - in_block
    ends = [place for place in sums if place > 0 and inside[place] and not stream[place - 1]]
    found["residual_dip"] = _mean(np.array([probe[place] - probe[place - 1] for place in ends]))
    return found


def _deletion(network: LayersOf, covered: Bool[np.ndarray, " L"]) -> dict[str, float | int | None]:
    """Return how many residual blocks can go, and how many more of those in block structures than of the others."""
    deletion, depth = network.deletion, network.depth
    known = [] if deletion is None else [block for block in deletion.blocks if block.droppable is not None]
    shares = {
        where: [bool(block.droppable) for block in known if block.layer is not None and covered[block.layer] == where]
        for where in (True, False)
    }
    both = all(shares.values())
    return {
        "droppable_blocks": depth.droppable,
        "droppable_share": depth.droppable / depth.residual_blocks
        if depth.droppable is not None and depth.residual_blocks
        else None,
        "droppable_in_block": float(np.mean(shares[True]) - np.mean(shares[False])) if both else None,
    }


def _relative(place: int | None, layers: int) -> float | None:
    return None if place is None or layers < 2 else place / (layers - 1)


def _mean(values: Float64[np.ndarray, " n"]) -> float | None:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None


def _off_diagonal(matrix: Float64[np.ndarray, "L L"], among: Bool[np.ndarray, " L"]) -> float | None:
    """Return the mean over pairs of two different layers."""
    chosen = matrix[np.ix_(among, among)]
    return _mean(chosen[~np.eye(len(chosen), dtype=bool)])
