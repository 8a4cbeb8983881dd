"""Columns of comparisons: from made readings, and from networks."""

import numpy as np
import pytest
import torch
from scipy.stats import t, ttest_ind

from layers_readings import groups, several
from netcaliper.reading.layers import Crossing
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.store import load_as
from netcaliper.study.cells.networks import build_network
from netcaliper.study.cells.readers import compare
from netcaliper.zoo.data import Options, digits
from readings import there

COLUMNS = {
    "networks", "groups", "agreement", "agreement_between", "churn", "churn_between", "kappa", "kappa_between",
    "accuracy_difference", "accuracy_difference_low", "accuracy_difference_high", "example_spread",
    "example_spread_chance", "example_spread_excess", "example_spread_excess_low", "example_spread_excess_high",
    "example_spread_note",
    "split_half", "classes_differing", "classes_differing_low", "classes_differing_high", "classes_differing_chance",
    "matched_layers", "dominant_overlap", "dominant_overlap_chance",
} | {
    column + end for end in ("", "_low", "_high") for column in (
        "cka_same_layer_outside", "cka_same_layer_block", "block_contrast", "cka_between_outside", "cka_between_block",
    )
}  # fmt: skip


def test_two_groups():
    reading = groups()
    row = compare.columns(reading)
    assert row.keys() == COLUMNS
    assert (row["networks"], row["groups"]) == (len(reading.networks), 2)
    group = {network: one.name for one in reading.groups for network in one.networks}
    for name, same in (("", True), ("_between", False)):
        pairs = [pair for pair in reading.agreements if (group[pair.first] == group[pair.second]) == same]
        for column, value in (
            ("agreement", lambda pair: pair.agreement.value),
            ("churn", lambda pair: pair.churn),
            ("kappa", lambda pair: pair.kappa),
        ):
            known = [value(pair) for pair in pairs if value(pair) is not None]
            assert row[column + name] == (pytest.approx(np.mean(known)) if known else None)
    difference = reading.differences[0]
    spread = there(difference.spread)
    assert row["example_spread_excess"] == spread.systematic
    assert (row["example_spread_note"] is None) == np.isfinite(spread.low)
    assert row["split_half"] == pytest.approx(np.mean(list(spread.split_half.values())))
    assert row["classes_differing"] == np.mean([one.holm < 0.05 for one in difference.classes])
    first, second = ([there(reading.networks[i].accuracy) for i in one.networks] for one in reading.groups)
    test = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert row["accuracy_difference"] == pytest.approx(np.mean(first) - np.mean(second))
    assert (row["accuracy_difference_low"], row["accuracy_difference_high"]) == pytest.approx((test.low, test.high))


def test_networks_without_groups_differ_between():
    row = compare.columns(several())
    assert row["agreement"] is row["cka_same_layer_outside"] is row["accuracy_difference"] is None
    assert row["agreement_between"] == pytest.approx(np.mean([p.agreement.value for p in several().agreements]))


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare") / "reading"
    spec = ("zoo:mlp", {"inputs": 64, "widths": [8], "classes": 10})
    models = [build_network(*spec, seed=seed).model for seed in range(3)]
    data = digits("test", options=Options(examples=200))
    options = {"examples": 128, "passes": 1, "batch": 64, "images": False}
    row = compare.read(
        {"all": models}, data, options, seed=4, folder=folder, name="digits (test)", tell=lambda *step: None
    )
    return models, data, folder, row


def test_one_group_of_networks(read):
    models, data, folder, row = read
    reading = load_as(LayersReading, folder)
    assert compare.columns(reading) == row
    assert (reading.origin.seed, reading.origin.data) == (4, "digits (test)")
    assert "images" not in reading.arrays
    with torch.no_grad():
        answers = [model(data.x).argmax(1) for model in models]
    pairs = [(0, 1), (0, 2), (1, 2)]
    same = np.mean([float((answers[a] == answers[b]).float().mean()) for a, b in pairs])
    assert row["agreement"] == pytest.approx(same)
    wrong = [answer != data.y for answer in answers]
    assert row["churn"] == pytest.approx(np.mean([float((wrong[a] != wrong[b]).float().mean()) for a, b in pairs]))
    assert (row["networks"], row["groups"]) == (3, 1)
    assert row["agreement_between"] is row["accuracy_difference"] is row["classes_differing"] is None


def test_same_layers_of_two_seeds(read):
    _, _, folder, row = read
    reading = load_as(LayersReading, folder)
    matrix = reading.arrays["cross/0/cka"]
    assert len(reading.crossings) == 1  # two networks of a group are represented
    assert row["cka_same_layer_block"] is row["block_contrast"] is None
    assert row["cka_same_layer_outside"] == pytest.approx(np.nanmean(np.diag(matrix)))


def test_the_interval_over_networks_leaves_out_one_network_at_a_time():
    """Of four networks; a pair's value is planted as the sum of what its two networks bring."""
    brings = [0.1, 0.2, 0.35, 0.5]
    pairs = [(i, j) for i in range(4) for j in range(i)]
    values = [(Crossing(first=i, second=j, best=()), brings[i] + brings[j]) for i, j in pairs]
    row = compare._over_networks("cka", values)
    without = [np.mean([brings[i] + brings[j] for i, j in pairs if place not in (i, j)]) for place in range(4)]
    error = np.sqrt(3 / 4 * np.sum((np.array(without) - np.mean(without)) ** 2))
    assert row["cka"] == pytest.approx(np.mean([value for _, value in values]))
    assert there(row["cka_high"]) - there(row["cka"]) == pytest.approx(t.ppf(0.975, 3) * error)
    assert there(row["cka"]) - there(row["cka_low"]) == pytest.approx(t.ppf(0.975, 3) * error)
    assert compare._over_networks("cka", values[:1])["cka_low"] is None
    assert compare._over_networks("cka", [(values[0][0], None)]) == {"cka": None, "cka_low": None, "cka_high": None}
