"""A training that was stopped and resumed ends with the weights of one that was not, bit for bit."""

import json
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from netcaliper.errors import CorruptReading, InputError, NewerSchema, ReadingError
from netcaliper.fit.optimizers import OPTIMIZERS
from netcaliper.fit.saving import Position, Saving
from netcaliper.fit.train import fit
from netcaliper.zoo.data import Options, digits
from netcaliper.zoo.models import build


class Stopped(Exception):
    pass


def network():
    """Build a network with a buffer, dropout and convolutions: everything that has a state."""
    model = build("cnn", {"widths": [4, 6]}, seed=1)
    return nn.Sequential(model, nn.Dropout(0.3))


def data():
    return digits("train", batch_size=50, options=Options(examples=230))


def stop_at(epoch, batch):
    def progress(step):
        if (step.epoch, step.batch) == (epoch, batch):
            raise Stopped

    return progress


def same(a, b):
    return all(torch.equal(tensor, b.state_dict()[name]) for name, tensor in a.state_dict().items())


def interrupted(folder, settings, at, load=data, **saving):
    """Train, stop after the batch ``at``, go on in a new model: return it and its record."""
    with pytest.raises(Stopped):
        fit(network(), load(), **settings, saving=Saving(folder, **saving), progress=stop_at(*at))
    steps = []
    model = build("cnn", {"widths": [4, 6]}, seed=99)  # other weights: all of them must come from the state
    model = nn.Sequential(model, nn.Dropout(0.3))
    record = fit(model, load(), **settings, saving=Saving(folder, **saving, resume=True), progress=steps.append)
    return model, record, steps


SETTINGS: dict[str, Any] = {"epochs": 4, "seed": 3, "learning_rate": 0.02, "weight_decay": 1e-3, "augment": "crop_flip"}


ONE_EPOCH: dict[str, Any] = {**SETTINGS, "epochs": 1}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_between_epochs(tmp_path, optimizer):
    settings = SETTINGS | {"optimizer": optimizer, "schedule": "cosine"}
    whole = network()
    expected = fit(whole, data(), **settings)
    model, record, steps = interrupted(tmp_path, settings, (3, 2))
    assert (steps[0].epoch, steps[0].batch) == (3, 1)
    assert record == expected
    assert same(model, whole)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(("at", "first"), [((2, 4), (2, 4)), ((1, 3), (1, 3)), ((3, 1), (3, 1))])
def test_within_an_epoch(tmp_path, precision, at, first):
    """With a state after every third batch and every epoch."""
    settings = SETTINGS | {"precision": precision, "optimizer": "sgd", "schedule": "step"}
    whole = network()
    expected = fit(whole, data(), **settings)
    model, record, steps = interrupted(tmp_path, settings, at, every_batches=3 if at != (1, 3) else 2)
    assert (steps[0].epoch, steps[0].batch) == first
    assert record == expected
    assert same(model, whole)


def test_a_loader_that_shuffles_by_itself(tmp_path):
    """Its order comes from torch's random state when the epoch begins, which is saved too."""

    def load():
        return torch.utils.data.DataLoader(data().dataset, batch_size=50, shuffle=True)

    whole = network()
    expected = fit(whole, load(), **SETTINGS)
    model, record, _ = interrupted(tmp_path, SETTINGS, (2, 4), load, every_batches=2)
    assert record == expected
    assert same(model, whole)


@pytest.mark.parametrize(("at", "every_batches"), [((3, 2), None), ((2, 4), 3)])
def test_the_directions_of_a_principal_penalty(tmp_path, at, every_batches):
    """The resumed training starts from the saved directions: from new ones it would end elsewhere."""
    settings: dict[str, Any] = {**SETTINGS, "pc_penalty": 10.0}
    whole = network()
    expected = fit(whole, data(), **settings)
    model, record, _ = interrupted(tmp_path, settings, at, every_batches=every_batches)
    assert record == expected
    assert same(model, whole)
    edited(tmp_path, lambda r, t: [t.pop(name) for name in list(t) if name.startswith("directions/")])
    with pytest.raises(CorruptReading, match="is damaged: KeyError: 'directions/'"):
        fit(network(), data(), **settings, saving=Saving(tmp_path, resume=True))


def test_directions_that_were_not_saved_change_the_end(tmp_path, monkeypatch):
    """The test above can fail."""
    from netcaliper.fit.epoch import Run

    settings: dict[str, Any] = {**SETTINGS, "pc_penalty": 10.0}
    whole = network()
    fit(whole, data(), **settings)
    start = Run.start

    def forgetful(run):
        state = start(run)
        run.penalty.directions.clear()
        return state

    monkeypatch.setattr(Run, "start", forgetful)
    model, _, _ = interrupted(tmp_path, settings, (3, 2))
    assert not same(model, whole)


WATCHED: dict[str, Any] = {
    **SETTINGS,
    "epochs": 60,  # more than enough: processors round differently, and the run must stop early on all of them
    "optimizer": "sgd",
    "learning_rate": 0.2,
    "warmup": 2,
    "patience": 3,
    "watch": digits("test", options=Options(examples=60)),
}


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize(("back", "batch", "precision"), [(4, 2, "float32"), (1, 1, "float32"), (1, 4, "bf16")])
def test_early_stopping_and_warm_up(tmp_path, back, batch, every, precision):
    """The best weights so far are part of the state: the interrupted run finds them in its own file alone.

    Interrupted before the best epoch and after it.
    """
    settings = WATCHED | {"precision": precision}
    whole = network()
    expected = fit(whole, data(), **settings)
    ran = len(expected.watched)
    assert back < ran < 60
    assert expected.kept_epoch == ran - 3
    at = (ran - back, batch)
    for batches in (None, 3):
        model, record, _ = interrupted(tmp_path / str(batches), settings, at, every=every, every_batches=batches)
        assert record == expected
        assert same(model, whole)


def test_a_training_that_stopped_early_stays_stopped(tmp_path):
    whole, again, steps = network(), network(), []
    expected = fit(whole, data(), **WATCHED, saving=Saving(tmp_path, every=100))
    record = fit(again, data(), **WATCHED, saving=Saving(tmp_path, resume=True), progress=steps.append)
    assert steps == []
    assert record == expected
    assert same(again, whole)


def test_best_weights_that_are_missing(tmp_path):
    fit(network(), data(), **WATCHED, saving=Saving(tmp_path))
    edited(tmp_path, lambda r, t: t.pop("best/0.head.bias"))
    with pytest.raises(CorruptReading, match="'0.head.bias' has shape None in the file"):
        fit(network(), data(), **WATCHED, saving=Saving(tmp_path, resume=True))


def test_saving_changes_nothing_and_a_finished_training_stays_finished(tmp_path):
    plain, saved = network(), network()
    expected = fit(plain, data(), **SETTINGS)
    assert fit(saved, data(), **SETTINGS, saving=Saving(tmp_path, every_batches=1)) == expected
    assert same(plain, saved)
    steps, again = [], network()
    record = fit(again, data(), **SETTINGS, saving=Saving(tmp_path, resume=True), progress=steps.append)
    assert steps == []
    assert record == expected
    assert same(again, plain)
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_the_last_epoch_is_always_saved(tmp_path):
    fit(network(), data(), **SETTINGS, saving=Saving(tmp_path, every=3))
    assert position(tmp_path)["epoch"] == 5


def position(folder):
    with safe_open(folder / "state.safetensors", framework="pt") as stream:
        return json.loads(stream.metadata()["netcaliper"])["position"]


def test_intervals(tmp_path):
    saving = Saving(tmp_path, every=2, every_batches=5)
    due = [(e, b) for e in range(1, 6) for b in range(12) if saving.due(Position(e, b))]
    within = [(e, b) for e in range(1, 6) for b in (5, 10)]
    assert due == sorted([*within, (3, 0), (5, 0)])
    assert not Saving(tmp_path, every=3).due(Position(5, 0))
    assert Saving(tmp_path, every=3).due(Position(5, 0), last=True)
    with pytest.raises(InputError, match="must be at least 1, got 0 and None"):
        Saving(tmp_path, every=0)


@pytest.fixture
def state(tmp_path):
    fit(network(), data(), **ONE_EPOCH, saving=Saving(tmp_path, context={"data": "digits"}))
    return tmp_path


def resume(folder, model=None, context=None, **changes):
    saving = Saving(folder, context=context or {"data": "digits"}, resume=True)
    return fit(model or network(), data(), **ONE_EPOCH | changes, saving=saving)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 5}, "`epochs` = 1 in its recipe, this one 5"),
        ({"learning_rate": 1.0}, "`learning_rate` = 0.02 in its recipe, this one 1.0; resume with"),
        ({"context": {"data": "other"}}, "`data` = 'digits' in its context, this one 'other'"),
    ],
)
def test_another_training_is_refused(state, changes, message):
    with pytest.raises(InputError, match=message):
        resume(state, **changes)


def test_another_model_is_refused(state):
    other = nn.Sequential(build("cnn", {"widths": [4, 7]}), nn.Dropout(0.3))
    with pytest.raises(CorruptReading, match=r"has shape \[10, 6\] in the file and \[10, 7\] in the model"):
        resume(state, other)


def test_no_state(tmp_path):
    with pytest.raises(ReadingError, match="there is no training state"):
        resume(tmp_path)


def edited(folder, change):
    file = folder / "state.safetensors"
    with safe_open(file, framework="pt") as stream:
        record = json.loads(stream.metadata()["netcaliper"])
    tensors = load_file(file)
    change(record, tensors)
    save_file(tensors, file, metadata={"netcaliper": json.dumps(record)})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda r, t: r.update(schema_version=9), NewerSchema, "reads up to 3"),
        (lambda r, t: r.update(schema_version=2), ReadingError, "an earlier netcaliper, and this one cannot go on"),
        (lambda r, t: r.pop("schema_version"), CorruptReading, "names no `schema_version`"),
        (lambda r, t: r.pop("recipe"), CorruptReading, "has no `recipe`"),
        (lambda r, t: t.pop("random/now/cpu"), CorruptReading, "is damaged: KeyError"),
        (lambda r, t: r["position"].update(wrong=1), CorruptReading, "is damaged: TypeError"),
        (lambda r, t: r.update(position=3), CorruptReading, "is damaged: TypeError"),
        (lambda r, t: t.pop("model/0.head.bias"), CorruptReading, "'0.head.bias' has shape None in the file"),
    ],
)
def test_a_damaged_state_is_refused(state, change, error, message):
    edited(state, change)
    with pytest.raises(error, match=message):
        resume(state)


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_a_cut_file_is_refused(state, keep):
    file = state / "state.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(CorruptReading, match="cannot be read as a training state"):
        resume(state)


def test_a_full_disk_keeps_the_state_before(state, monkeypatch):

    before = (state / "state.safetensors").read_bytes()

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ReadingError, match="cannot be written: No space left on device"):
        fit(network(), data(), epochs=1, saving=Saving(state))
    assert (state / "state.safetensors").read_bytes() == before
    assert [path.name for path in state.iterdir()] == ["state.safetensors"]


def test_shorter_data_are_noticed(tmp_path):
    with pytest.raises(Stopped):
        fit(network(), data(), **SETTINGS, saving=Saving(tmp_path, every_batches=4), progress=stop_at(1, 5))
    few = digits("train", batch_size=50, options=Options(examples=120))
    with pytest.raises(InputError, match="had read 4 batches of its epoch, `data` has fewer"):
        fit(network(), few, **SETTINGS, saving=Saving(tmp_path, every_batches=4, resume=True))


def test_context_must_be_plain(tmp_path):
    with pytest.raises(InputError, match="`context` must be plain finite JSON data"):
        fit(network(), data(), epochs=1, saving=Saving(tmp_path, context={"model": object()}))
