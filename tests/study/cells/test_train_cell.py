"""Cells of trainings: their rows, against direct computations; the same after an interrupt."""

import json

import pytest
import torch
from safetensors.numpy import load_file
from scipy.stats import binomtest

from netcaliper.errors import StudyError
from netcaliper.feed import traced as feed_traced
from netcaliper.fit.train import accuracy
from netcaliper.specs.model import load_model
from netcaliper.study.cells import train_cell, trained
from netcaliper.trace.batches import IGNORED
from netcaliper.zoo.bleu import translation_bleu
from netcaliper.zoo.data import Options, digits
from netcaliper.zoo.translation import TranslationOptions, multi30k
from readings import there
from tiny_cells import TRANSLATING, Cells, Interrupt, training, translations

READ = {
    "width": {"at": [0, "final"], "only": ["unit_states"], "examples": 100},
    "kernel": {"examples": 12},
}
ALWAYS = {"parameters", "train_accuracy", "test_accuracy", "test_low", "test_high", "loss", "updates"} | {
    "path_length", "path_length_normalized",
}  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    cells = Cells(tmp_path_factory.mktemp("cells"))
    folder, rows = cells.run("train", training(read=READ))
    return cells, folder, rows


def test_one_row_for_every_epoch_that_was_read(ran):
    _, _, rows = ran
    assert [(row["epoch"], row["final"]) for row in rows] == [(0, False), (1, False), (2, False), (3, True)]
    assert {"units", "twin_units", "kernel_velocity"} < rows[0].keys()
    assert rows[1].keys() == {"epoch", "final", "kernel_velocity"}
    assert rows[3].keys() == rows[0].keys() | ALWAYS
    scalars = (int, float, bool, str, type(None))
    assert all(isinstance(value, scalars) for row in rows for value in row.values())


def test_what_every_training_leaves(ran):
    _, folder, rows = ran
    row, model = rows[-1], load_model(str(folder / "checkpoint")).model
    assert row["parameters"] == sum(tensor.numel() for tensor in model.parameters())
    assert row["train_accuracy"] == accuracy(model, digits("train", options=Options(examples=300)))
    test = digits("test")
    labels = there(test.y)
    with torch.no_grad():
        answer = model(test.x).argmax(1)
    kept = load_file(folder / "answers.safetensors")
    assert kept["answer"].tolist() == answer.tolist()
    assert kept["label"].tolist() == labels.tolist()
    assert kept["right"].tolist() == (answer == labels).tolist()
    right = int((answer == labels).sum())
    interval = binomtest(right, 450).proportion_ci(method="exact")
    assert row["test_accuracy"] == right / 450
    assert (row["test_low"], row["test_high"]) == pytest.approx((interval.low, interval.high))
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    assert (row["path_length"], row["path_length_normalized"]) == (2.0, 2.0)  # two hidden layers
    assert (row["loss"], row["updates"]) == (record["loss"][-1], 15)


def test_progress_rises_to_the_end(ran):
    shares = [share for share, _ in ran[0].told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert any(words.startswith("width: ") for _, words in ran[0].told)


def test_the_same_cell_has_the_same_rows_and_weights(ran):
    cells, folder, rows = ran
    again, same = cells.run("train", training(read=READ))
    assert same == rows
    for file in ("checkpoint/model.safetensors", "answers.safetensors", "readings/width/reading.json"):
        assert (again / file).read_bytes() == (folder / file).read_bytes()


def test_a_cell_that_is_interrupted_while_it_reads_goes_on(ran, monkeypatch):
    cells, folder, rows = ran

    def stop(share, words):
        if words.startswith("kernel"):
            raise Interrupt

    with pytest.raises(Interrupt):
        cells.run("train", training(read=READ), name="stopped", tell=stop)
    (cells.root / "stopped" / "readings" / "kernel.json").unlink(missing_ok=True)
    monkeypatch.setattr(trained, "fit", None)  # neither trained again ...
    told = []
    again, same = cells.run("train", training(read=READ), name="stopped", tell=lambda _, words: told.append(words))
    assert same == rows
    assert not any(words.startswith("width") for words in told)  # ... nor read again
    weights = "checkpoint/model.safetensors"
    assert (again / weights).read_bytes() == (folder / weights).read_bytes()


def test_a_training_that_nothing_reads(tmp_path):
    tmp_path = tmp_path / "cells"
    tmp_path.mkdir()
    _, rows = Cells(tmp_path).run("train", training(keep=[], recipe={"epochs": 1}, data={
        "spec": "digits", "options": {"classes": [0, 1], "label_noise": 1.0},
    }))  # fmt: skip
    (row,) = rows
    assert row.keys() == ALWAYS | {"epoch", "final"}
    # With all labels flipped the network learns to answer wrongly.
    assert row["train_accuracy"] > 0.5 > row["test_accuracy"]


def test_what_cannot_be_read(ran):
    cells, folder, _ = ran
    with pytest.raises(StudyError, match="`read` of a training names 'widht'; it takes width, layers, kernel"):
        cells.run("train", training(read={"widht": {}}), name=folder.name)
    with pytest.raises(StudyError, match="weights after epoch 9 of 3 were not kept"):
        cells.run("train", training(read={"layers": {"at": [9]}}), name=folder.name)
    with pytest.raises(StudyError, match="`read.layers` has no option `pases`; did you mean `passes`"):
        cells.run("train", training(read={"layers": {"pases": 3}}), name=folder.name)


def test_the_final_network_is_traced_once_for_all_that_read_it(ran, monkeypatch):
    cells, _, rows = ran
    traced = []
    for module in (train_cell, feed_traced):
        inner = module.trace
        monkeypatch.setattr(module, "trace", lambda *a, inner=inner, **k: traced.append(1) or inner(*a, **k))
    _, same = cells.run("train", training(read=READ), name="counted")
    assert len(traced) == 2, "the first network for the width, the final one for its path lengths and the width"
    assert same == rows


def test_a_translation_has_its_bleu(tmp_path):
    cells, folders = translations(tmp_path)
    folder, (row,) = cells.run("train", training(**TRANSLATING), folders=folders)
    options = TranslationOptions(vocabulary=300)
    model, pairs = load_model(str(folder / "checkpoint")).model, multi30k(tmp_path / "texts", "test", options=options)
    assert row["bleu"] == translation_bleu(model, pairs).score
    kept = load_file(folder / "answers.safetensors")
    tokens = sum(int((batch["labels"] != IGNORED).sum()) for batch in pairs)
    assert len(kept["answer"]) == tokens
    assert row["test_accuracy"] == kept["right"].mean()
