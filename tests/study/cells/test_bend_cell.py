"""Bends: what the library does step by step, the same after an interrupt; random units and whole layers."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import netcaliper as nc
from netcaliper.errors import Diverged, StudyError
from netcaliper.fit.train import fit
from netcaliper.specs.model import load_model
from netcaliper.stats.sampling import folds
from netcaliper.study.cells import bend_cell
from netcaliper.zoo.data import Options, digits
from readings import there
from tiny_cells import TRANSLATING, Cells, Interrupt, after, bend, training, translations

FAMILY = training(
    data={"spec": "digits", "options": {"examples": 450}},
    batch_size=32,
    recipe={"epochs": 3, "optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4},
    keep=[0, 1],
)
LEARNED = bend(start=1, omega=0.04, penalty=2, final=1, alpha_rate=2.0)
BATCHES = 15  # of an epoch


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    cells = Cells(tmp_path_factory.mktemp("cells"))
    trained, _ = cells.run("train", FAMILY)
    cells.told.clear()
    folder, (row,) = cells.run("bend", LEARNED, needs=[trained])
    return cells, trained, folder, row


def by_hand(folder, omega):
    """Bend as ``benchmarks/linearization_study.py`` does."""
    data = digits("train", batch_size=32, options=Options(examples=450))
    model = load_model(str(folder / "epochs" / "epoch-0001")).model
    bending = nc.Bending(model, next(iter(data))[0][:32], omega=omega, alpha_rate=2.0)
    steps = {"learning_rate": 0.1, "optimizer": "sgd", "momentum": 0.9, "weight_decay": 5e-4}
    fit(bending.model, data, epochs=2, bending=bending, seed=101, **steps)
    bending.freeze()
    fit(bending.model, data, epochs=3, schedule="cosine", seed=102, **steps)
    return bending


def test_it_is_what_the_library_does_step_by_step(ran):
    _, trained, folder, row = ran
    bending = by_hand(trained, 0.04)
    active = {site: units.numpy() for site, units in bending.active().items()}
    kept = load_file(folder / "arrays.safetensors")
    assert {name: units.tolist() for name, units in kept.items()} == {
        f"active/{site}": units.astype(int).tolist() for site, units in active.items()
    }
    count = sum(int(units.sum()) for units in active.values())
    assert 0 < count < 32
    assert (row["active_units"], row["active_share"]) == (count, count / 32)
    for site, units in active.items():
        assert row[f"active:{site}"] == units.mean()
    length = nc.path_length(bending.graph, active=active)
    assert (row["path_length"], row["path_length_normalized"]) == (length.mean, length.normalized)
    assert (row["status"], row["epoch"], row["final"]) == ("ok", 6, True)
    test = digits("test")
    labels = there(test.y)
    with torch.no_grad():
        right = (bending.model(test.x).argmax(1) == labels).numpy()
    verify = folds(np.arange(450), 0, 2) == 1
    assert row["select_accuracy"] == right[~verify].mean()
    assert row["test_accuracy"] == right[verify].mean()
    assert row["test_low"] < row["test_accuracy"] < row["test_high"]
    by_class = [right[verify & (labels.numpy() == label)].mean() for label in range(10)]
    assert [row[f"class_accuracy:{label}"] for label in range(10)] == pytest.approx(by_class)
    assert row["worst_class_accuracy"] == pytest.approx(min(by_class))


@pytest.mark.parametrize("calls", [BATCHES + 4, 3 * BATCHES + 5])
def test_an_interrupted_one_ends_the_same(ran, calls):
    cells, trained, folder, row = ran
    name = f"stopped{calls}"
    with pytest.raises(Interrupt):
        cells.run("bend", LEARNED, needs=[trained], name=name, tell=after(calls))
    again, rows = cells.run("bend", LEARNED, needs=[trained], name=name)
    assert rows == [row]
    assert (again / "arrays.safetensors").read_bytes() == (folder / "arrays.safetensors").read_bytes()
    left = {path.name for path in again.iterdir()}
    assert left == {"cell.json", "arrays.safetensors", "readings"}


def test_progress_rises_to_the_end(ran):
    told = [share for share, _ in ran[0].told[: 5 * BATCHES + 1]]
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_the_reference_is_trained_as_long_and_keeps_all_units(ran):
    cells, trained, _, learned = ran
    _, (row,) = cells.run("bend", LEARNED | {"omega": 0.0}, needs=[trained])
    assert (row["active_units"], row["active_share"], row["epoch"]) == (32, 1.0, learned["epoch"])
    assert row["path_length"] == row["path_length_normalized"] == 2.0
    assert row["test_accuracy"] > 0.7


def test_random_units_are_as_many_at_every_site(ran):
    cells, trained, folder, learned = ran
    random, (row,) = cells.run("bend", LEARNED | {"choose": "random"}, needs=[trained, folder])
    sites = [name for name in learned if name.startswith("active:")]
    assert len(sites) == 2
    assert [row[site] for site in sites] == [learned[site] for site in sites]
    theirs, mine = load_file(folder / "arrays.safetensors"), load_file(random / "arrays.safetensors")
    assert any((theirs[name] != mine[name]).any() for name in theirs)
    with pytest.raises(StudyError, match="stands on the learned bend of the same point"):
        cells.run("bend", LEARNED | {"choose": "random"}, needs=[trained])


def test_layers_bend_as_a_whole(ran):
    cells, trained, _, _ = ran
    _, (row,) = cells.run("bend", LEARNED | {"choose": "layer", "start": 0}, needs=[trained])
    assert {value for name, value in row.items() if name.startswith("active:")} <= {0.0, 1.0}
    assert row["epoch"] == 0 + 2 + 3 + 1


def test_without_any_unit_it_is_collapsed(ran):
    cells, trained, _, _ = ran
    _, (row,) = cells.run("bend", LEARNED | {"omega": 0.2, "start": "final", "final": 0}, needs=[trained])
    assert (row["status"], row["active_units"], row["path_length"]) == ("collapsed", 0, 0.0)
    assert row["epoch"] == 3 + 2
    assert row["test_accuracy"] > 0.5  # a linear classifier


def test_one_that_diverges_is_a_row(ran, monkeypatch):
    def diverge(*given, **more):
        raise Diverged("the loss is nan")

    cells, trained, _, _ = ran
    monkeypatch.setattr(bend_cell, "fit", diverge)
    folder, (row,) = cells.run("bend", LEARNED | {"read": {"linear_zone": {}}}, needs=[trained])
    assert (row["status"], row["active_units"]) == ("diverged", 32)
    assert row["test_accuracy"] is row["select_accuracy"] is None
    assert row["linear_zone_note"] == "the bending diverged"
    assert json.loads((folder / "readings" / "bend.json").read_text(encoding="utf-8"))["status"] == "diverged"


def test_what_cannot_be_bent(ran):
    cells, trained, _, _ = ran
    with pytest.raises(StudyError, match="`choose` must be one of learned, random, layer, got 'best'"):
        cells.run("bend", LEARNED | {"choose": "best"}, needs=[trained])
    with pytest.raises(StudyError, match="`read` of a bend names 'width'; it takes linear_zone"):
        cells.run("bend", LEARNED | {"read": {"width": {}}}, needs=[trained])
    with pytest.raises(StudyError, match="weights after epoch 2 of 3 were not kept"):
        cells.run("bend", LEARNED | {"start": 2}, needs=[trained])


def test_a_translation_bends_by_a_proximal_step_and_has_the_bleu_of_its_reported_half(tmp_path):
    cells, folders = translations(tmp_path)
    trained, _ = cells.run("train", training(**TRANSLATING), folders=folders)
    rows = [
        cells.run("bend", bend(omega=omega, proximal=True), needs=[trained], folders=folders)[1][0]
        for omega in (0.0, 50.0)
    ]
    assert rows[0]["active_share"] == 1.0
    assert rows[1]["status"] == "collapsed"
    assert rows[0]["bleu"] != rows[1]["bleu"]
    assert all(0 <= row["bleu"] <= 100 and row["worst_class_accuracy"] is None for row in rows)


def test_a_translation_that_diverges_has_no_bleu(tmp_path):
    cells, folders = translations(tmp_path)
    recipe = TRANSLATING["recipe"] | {"optimizer": "sgd"}
    trained, _ = cells.run("train", training(**TRANSLATING | {"recipe": recipe}), folders=folders)
    record = json.loads((trained / "cell.json").read_text(encoding="utf-8"))
    record["configuration"]["recipe"]["learning_rate"] = 1e30
    (trained / "cell.json").write_text(json.dumps(record), encoding="utf-8")
    _, (row,) = cells.run("bend", bend(), needs=[trained], folders=folders)
    assert row["status"] == "diverged"
    assert row["bleu"] is None
