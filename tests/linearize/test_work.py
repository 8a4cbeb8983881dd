"""The folder of a linearization: finished points come back, other plans and damage are refused by name."""

import numpy as np
import pytest
import torch

from netcaliper.errors import CorruptReading, InputError, OutputExists, ReadingError
from netcaliper.linearize.work import (
    LAST_GOOD,
    STATE,
    Work,
    read_epochs,
    read_weights,
    write,
    write_json,
    write_weights,
)
from netcaliper.reading.linearization import Point

ASKED = {"epochs": 3, "omega": [0.1]}


def point(**more):
    return Point(**({"kind": "unbent", "name": "unbent", "seed": 0, "epochs": 3, "parameters": 5, "units": 2} | more))


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path / "work", ASKED, resume=False)


def test_a_finished_point_comes_back(work):
    assert work.finished(0) is None
    work.finish(0, point(), {"loss": np.array([1.0, 0.5, 0.25])})
    found = Work(work.folder, ASKED, resume=True).finished(0)
    assert found is not None
    assert found[0] == point()
    assert found[1]["loss"].tolist() == [1.0, 0.5, 0.25]


@pytest.mark.parametrize(("status", "left"), [("ok", set()), ("linear", {LAST_GOOD}), ("diverged", {LAST_GOOD, STATE})])
def test_what_was_kept_on_the_way_stays_where_it_is_of_use(work, status, left):
    place = work.place(0)
    (place / STATE).mkdir(parents=True)
    write_weights(place / LAST_GOOD, {"w": torch.ones(2)})
    work.finish(0, point(status=status), {})
    assert {name for name in (LAST_GOOD, STATE) if (place / name).exists()} == left


def test_nothing_is_overwritten_and_nothing_is_resumed_that_is_not_there(work, tmp_path):
    with pytest.raises(OutputExists, match="already exists and is not overwritten"):
        Work(work.folder, ASKED, resume=False)
    with pytest.raises(InputError, match="there is no linearization in"):
        Work(tmp_path / "other", ASKED, resume=True)
    (tmp_path / "empty").mkdir()
    Work(tmp_path / "empty", ASKED, resume=False)


def test_another_plan_is_refused_with_its_first_difference(work):
    with pytest.raises(InputError, match=r"has `omega` = \[0.1\], this one \[0.2\]"):
        Work(work.folder, ASKED | {"omega": [0.2]}, resume=True)


def test_damage_is_named(work):
    work.finish(0, point(), {})
    (work.place(0) / "point.json").write_text('{"kind": "magic"}')
    with pytest.raises(CorruptReading, match="point-00 is damaged"):
        work.finished(0)
    (work.folder / "plan.json").write_text("[")
    with pytest.raises(CorruptReading, match=r"plan\.json cannot be read"):
        Work(work.folder, ASKED, resume=True)
    (work.folder / "plan.json").write_text("[]")
    with pytest.raises(CorruptReading, match="it holds no object"):
        Work(work.folder, ASKED, resume=True)
    with pytest.raises(CorruptReading, match="cannot be read as weights"):
        read_weights(work.folder / "plan.json")


def test_weights_and_epochs_come_back(work):
    tied = torch.arange(6.0).reshape(2, 3)
    file = work.folder / "deep" / "w.safetensors"
    write_weights(file, {"a": tied, "b": tied.T})
    found = read_weights(file)
    assert torch.equal(found["a"], tied)
    assert torch.equal(found["b"], tied.T)
    assert read_epochs(work.folder / "none.json") == []
    write_json(work.folder / "e.json", {"epochs": [{"active": 3}]})
    assert read_epochs(work.folder / "e.json") == [{"active": 3}]


def test_a_disk_that_refuses_is_named(work):
    with pytest.raises(ReadingError, match="cannot be written"):
        write(work.folder / "plan.json" / "x", b"")


def test_a_training_goes_on_where_there_is_a_state(work):
    place = work.place(0)
    assert not work.saving(place, {}).resume
    (place / STATE).mkdir(parents=True)
    (place / STATE / "state.safetensors").write_bytes(b"")
    assert work.saving(place, {}).resume
