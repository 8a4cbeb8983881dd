"""Columns of width: from a made reading, and from a network."""

import numpy as np
import pytest

from netcaliper.reading.reading import Reading
from netcaliper.reading.store import load_as
from netcaliper.study.cells.cell_data import CellData
from netcaliper.study.cells.networks import build_network
from netcaliper.study.cells.readers import width
from netcaliper.study.cells.readers.subject import Subject
from netcaliper.zoo.data import digits
from readings import there, whole

COLUMNS = {
    "units", "needed_units", "needed", "redundant", "redundant_low", "redundant_high", "redundant_units", "prunable",
    "prunable_low", "prunable_high", "prunable_units", "removable", "linear_zone", "agreement", "agreement_low",
    "path_length_on_data", "path_length_normalized_on_data", "later_more_prunable", "first_more_redundant",
    "width_note",
}  # fmt: skip


def test_columns_of_a_made_reading():
    reading = whole()
    row, network = width.columns(reading), reading.network
    assert COLUMNS | {f"twin_{name}" for name in COLUMNS} <= row.keys()
    assert (row["units"], row["needed_units"]) == (network.units, network.needed_units)
    assert row["needed"] == there(network.needed_units) / network.units
    for name in ("redundant", "prunable"):
        share = getattr(network, name)
        assert [row[name], row[f"{name}_low"], row[f"{name}_high"]] == [share.value, share.low, share.high]
    inner = [site for site in reading.sites if site.kind != "stream"]
    ablated = [site for site in inner if site.prunable is not None]
    assert row["prunable_units"] == pytest.approx(there(network.prunable).value * sum(site.units for site in ablated))
    losses = ("dead", "constant", "duplicate", "dependent", "absorbable")
    judged = [site for site in inner if site.needed is not None]
    lost = sum(getattr(site, name) or 0 for site in judged for name in losses)
    assert row["removable"] == pytest.approx(lost / sum(site.units for site in judged))
    for site in inner:
        for name in ("prunable", "redundant"):
            share = getattr(site, name)
            assert row[f"{name}:{site.name}"] == (None if share is None else share.value)
        assert f"twin_needed:{site.name}" in row
    twin = there(reading.twin).network
    assert (row["twin_units"], row["twin_redundant"]) == (twin.units, there(twin.redundant).value)
    assert (row["agreement"], row["agreement_low"]) == (network.agreement, network.agreement_low)
    assert row["width_note"] == (" ".join(reading.warnings) or None)


def test_later_sites_have_more():
    assert width.later_is_more([0.1, 0.2, 0.5, 0.4]) == pytest.approx(0.8)
    assert width.later_is_more([0.1, None, 0.5, 0.2]) == pytest.approx(0.5)
    assert width.later_is_more([0.1, 0.3]) is None
    assert width.later_is_more([0.1, 0.1, 0.1]) is None


def test_the_first_site_has_more():
    assert width.first_is_more([0.5, 0.1, None, 0.3]) == pytest.approx(0.3)
    assert width.first_is_more([None, 0.1]) is None
    assert width.first_is_more([0.5]) is None
    assert width.first_is_more([]) is None


def test_reading_a_network(tmp_path):
    network = build_network("zoo:mlp", {"inputs": 64, "widths": [8, 6], "classes": 10}, seed=2)
    data = CellData(digits("test"), digits("test"), "digits (test)")
    subject = Subject(network, data, 5, tmp_path / "width", lambda *step: None)
    row = width.read(subject, {"examples": 300, "skip": ["prunable", "needed_at_97"]})
    reading = load_as(Reading, tmp_path / "width")
    assert width.columns(reading) == row
    assert sum(reading.provenance.examples.values()) == 300
    assert (reading.provenance.seed, there(reading.twin).kind) == (5, "factory")
    assert row["units"] == row["twin_units"] == 14
    assert row["needed_units"] == sum(there(site.needed) for site in reading.sites)
    assert row["redundant_units"] == pytest.approx(
        sum(there(site.redundant).value * site.units for site in reading.sites)
    )
    assert row["linear_zone"] == pytest.approx(
        np.average([there(site.linear_zone).value for site in reading.sites], weights=[8, 6])
    )
    # The twin is the untrained network of the same seed.
    other = width.read(
        Subject(network, data, 5, tmp_path / "twin", lambda *step: None), {"examples": 300, "only": ["unit_states"]}
    )
    assert other["twin_linear_zone"] == row["twin_linear_zone"] != row["linear_zone"]
    alone = width.read(subject, {"only": ["unit_states"], "twin": False})
    assert not any(name.startswith("twin_") for name in alone)
    assert alone["prunable"] is alone["needed_units"] is alone["redundant_units"] is alone["removable"] is None
