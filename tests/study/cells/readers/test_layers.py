"""Columns of layers: from a planted reading, and from a network."""

import itertools

import numpy as np
import pytest

from layers_readings import FIRST, LAST, bare, one
from netcaliper.compare.layers import PARTS
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.store import load_as
from netcaliper.study.cells.cell_data import CellData
from netcaliper.study.cells.networks import build_network
from netcaliper.study.cells.readers import layers
from netcaliper.study.cells.readers.subject import Subject
from netcaliper.zoo.data import Options, digits
from readings import there

COLUMNS = {
    "layers", "depth", "distinct_layers", "blocks", "block_layers", "largest_block", "block_share", "contrast",
    "first_pc_in_block", "first_pc_outside", "cosine_in_block", "cosine_outside", "cka_in_block",
    "cka_in_block_removed", "cka_without_dominant", "dominant_share", "saturation_layer", "saturation",
    "probe_plateau_in_block", "residual_dip", "droppable_blocks", "droppable_share", "droppable_in_block",
}  # fmt: skip


def test_columns_of_a_planted_block():
    reading = one()
    row = layers.columns(reading)
    number, inside = LAST - FIRST + 1, np.arange(40)
    inside = (inside >= FIRST) & (inside <= LAST)
    assert COLUMNS | {"twin_contrast", "twin_block_share", "twin_cka_in_block"} <= row.keys()
    assert (row["layers"], row["depth"], row["distinct_layers"]) == (40, 13, 9)
    assert (row["blocks"], row["block_layers"], row["largest_block"]) == (1, number, number)
    assert row["block_share"] == number / 40
    assert (row["contrast"], row["cka_in_block"], row["cka_in_block_removed"]) == (0.41, 0.97, 0.42)
    assert (row["cka_without_dominant"], row["dominant_share"]) == (0.51, 0.44)
    share, cosine = there(reading.array(0, "pc_share")), there(reading.array(0, "pc_cosine"))
    assert row["first_pc_in_block"] == 0.78
    assert row["first_pc_outside"] == pytest.approx(np.nanmean(share[~inside, 0]))
    outside = np.flatnonzero(~inside)
    pairs = [cosine[a, b] for a in outside for b in outside if a != b]
    assert row["cosine_outside"] == pytest.approx(np.nanmean(pairs))
    assert (row["saturation_layer"], row["saturation"]) == (22, 22 / 39)
    free = there(reading.networks[0].depth.residual_blocks)
    assert (row["droppable_blocks"], row["droppable_share"]) == (4, 4 / free)
    assert row["droppable_in_block"] == 1.0  # those inside are droppable, the others are not
    assert row["twin_blocks"] == row["twin_block_layers"] == 0
    assert row["twin_contrast"] is row["twin_cka_in_block"] is None
    assert "twin_droppable_blocks" not in row


def test_probes_inside_and_outside_of_the_block():
    row, probe = layers.columns(one()), there(one().array(0, "probe"))
    sums = [i for i in range(4, 40) if i % 3 == 0]
    gains = {(a, b): probe[b] - probe[a] for a, b in itertools.pairwise(sums)}
    within = [gain for (a, b), gain in gains.items() if a >= FIRST and b <= LAST]
    others = [gain for pair, gain in gains.items() if gain not in within]
    assert row["probe_plateau_in_block"] == pytest.approx(np.mean(others) - np.mean(within))
    dips = [probe[i] - probe[i - 1] for i in sums if FIRST <= i <= LAST]
    assert row["residual_dip"] == pytest.approx(np.mean(dips))
    assert row["residual_dip"] > 0.09


def test_columns_of_a_reading_without_parts():
    row = layers.columns(bare())
    assert row.keys() >= COLUMNS
    for name in ("saturation", "dominant_share", "cosine_outside", "droppable_share", "probe_plateau_in_block"):
        assert row[name] is None
    assert not any(name.startswith("twin_") for name in row)


def test_reading_a_network(tmp_path):
    network = build_network("zoo:resnet", {"depth": 8, "width": 0.25, "channels": 1, "size": 8}, seed=2)
    test = digits("test", options=Options(examples=200))
    data = CellData(test, test, "digits (test)")
    told = []
    subject = Subject(network, data, 5, tmp_path / "layers", lambda *step: told.append(step))
    options = {"examples": 128, "together": 64, "passes": 1, "batch": 64, "layers": "streams"}
    row = layers.read(subject, options | {"skip": ["variants", "procrustes", "neighbors", "probes"]})
    reading = load_as(LayersReading, tmp_path / "layers")
    assert layers.columns(reading) == row
    assert (reading.origin.seed, reading.origin.data, reading.twin_kind) == (5, "digits (test)", "factory")
    assert row["layers"] == len(reading.networks[0].layers)
    assert row["twin_layers"] == row["layers"]
    assert told
    alone = layers.read(subject, options | {"skip": list(PARTS), "twin": False})
    assert not any(name.startswith("twin_") for name in alone)
