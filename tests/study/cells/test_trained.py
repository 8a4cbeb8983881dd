"""Trainings of a study: what they keep, and that an interrupted one ends as one that was not."""

import json

import pytest
import torch
from safetensors.torch import load_file

from netcaliper.errors import Diverged, StudyError
from netcaliper.fit.saving import STATE_FILE
from netcaliper.fit.train import fit
from netcaliper.specs.model import load_model
from netcaliper.study.cells import trained as module
from netcaliper.study.cells.trained import Trained, epoch_folder, kept_epochs, saving_in, trained
from netcaliper.study.place import Place
from netcaliper.zoo.data import Options, digits
from netcaliper.zoo.models import build
from netcaliper.zoo.sampling import held_out
from tiny_cells import Interrupt, after, training


def place(folder, tell=None):
    return Place(folder, (), {}, tell or (lambda share, words: None))


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    shares = []
    trained(training(), place(folder, lambda share, words: shares.append((share, words))), share=0.7)
    (folder / "cell.json").write_text(json.dumps({"configuration": training()}), encoding="utf-8")
    return folder, shares


def test_it_is_the_training_that_the_library_makes(whole):
    folder, _ = whole
    model = build("mlp", training()["arguments"], seed=1)
    data = digits("train", batch_size=64, options=Options(examples=300))
    found = fit(model, data, epochs=3, optimizer="sgd", learning_rate=0.05, momentum=0.9, seed=1)
    kept = load_file(folder / "checkpoint" / "model.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.state_dict().items())
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    assert record["loss"] == list(found.loss)
    assert record["updates"] == 15


def test_it_keeps_what_is_asked_for(whole):
    folder, _ = whole
    names = sorted(path.name for path in (folder / "epochs").iterdir())
    assert names == ["epoch-0000", "epoch-0001", "epoch-0002"]
    assert not (folder / "state").exists()
    untrained = load_file(folder / "epochs" / "epoch-0000" / "model.safetensors")
    start = build("mlp", training()["arguments"], seed=1).state_dict()
    assert all(torch.equal(untrained[name], tensor) for name, tensor in start.items())
    load_model(str(folder / "epochs" / "epoch-0001"))  # every command reads it


def test_its_share_of_the_cell_rises(whole):
    shares = [share for share, _ in whole[1]]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(0.7 / 15)
    assert shares[-1] == pytest.approx(0.7)
    assert whole[1][-1][1] == "epoch 3 of 3"


@pytest.mark.parametrize("calls", [3, 5, 12])
def test_an_interrupted_one_ends_the_same(whole, calls, tmp_path):
    with pytest.raises(Interrupt):
        trained(training(), place(tmp_path, after(calls)), share=1.0)
    assert (tmp_path / "state" / STATE_FILE).is_file() == (calls > 5)
    steps = []
    trained(training(), place(tmp_path, lambda share, words: steps.append(words)), share=1.0)
    assert steps[0] == f"epoch {(calls - 1) // 5 + 1} of 3"  # the running epoch alone is done again
    mine, theirs = contents(tmp_path), contents(whole[0])
    theirs.pop("cell.json")
    assert mine == theirs


def test_a_finished_one_is_opened(whole, monkeypatch):
    monkeypatch.setattr(module, "fit", None)
    done = trained(training(), place(whole[0]), share=1.0)
    assert done.epochs == 3


def test_opening_it_from_its_folder(whole):
    done = Trained.of(whole[0])
    assert (done.epochs, done.seed, done.number("final"), done.number(2)) == (3, 1, 3, 2)
    assert done.weights(3) == whole[0] / "checkpoint"
    assert done.weights(2) == epoch_folder(whole[0], 2)
    assert list(done.networks([0, 3])) == ["epoch-0000", "epoch-0003"]
    assert len(done.data({}).train.x) == 300
    kept = load_file(whole[0] / "epochs" / "epoch-0002" / "model.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in done.network(2).model.state_dict().items())
    with pytest.raises(StudyError, match="weights after epoch 7 of 3 were not kept"):
        done.weights(7)


def test_a_folder_without_a_training(tmp_path):
    with pytest.raises(StudyError, match="holds no finished training"):
        Trained.of(tmp_path)


def test_patience_holds_out_examples_unless_labels_are_random(tmp_path):
    recipe = {"epochs": 2, "learning_rate": 0.01, "patience": 1}
    for random_labels, watched in ((False, held_out(300).sum()), (True, 300)):
        folder = tmp_path / str(random_labels)
        folder.mkdir()
        options = {"examples": 300, "random_labels": random_labels}
        asked = training(recipe=recipe, keep=[], data={"spec": "digits", "options": options})
        record = trained(asked, place(folder), share=1.0).record
        assert record["examples"] == 300 - (0 if random_labels else watched)
        assert record["watched"][0] * watched == pytest.approx(round(record["watched"][0] * watched))


def test_updates_say_how_many_epochs(tmp_path):
    record = trained(training(updates=6, keep=[], recipe={}), place(tmp_path), share=1.0).record
    assert (record["epochs"], record["updates"]) == (2, 10)


def test_one_that_diverges_raises(tmp_path):
    with pytest.raises(Diverged):
        trained(training(recipe={"epochs": 2, "optimizer": "sgd", "learning_rate": 1e30}), place(tmp_path), share=1.0)
    assert not (tmp_path / "checkpoint").exists()


def test_an_epoch_behind_the_end(tmp_path):
    with pytest.raises(StudyError, match="epoch 4 is asked for, the training has 3"):
        trained(training(keep=[4]), place(tmp_path), share=1.0)


def test_what_is_read_is_kept_too():
    read = {"width": {"at": [5, 2, "final"]}, "kernel": {"at": [0, 2]}, "layers": {}}
    assert kept_epochs(training(keep=[2, 3], read=read)) == [0, 2, 3, 5]
    assert kept_epochs(training(keep=[])) == []


def test_a_state_is_gone_on_with_if_there_is_one(tmp_path):
    assert not saving_in(tmp_path).resume
    (tmp_path / STATE_FILE).write_bytes(b"")
    assert saving_in(tmp_path).resume
