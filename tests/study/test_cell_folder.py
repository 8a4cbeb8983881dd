"""What lies in the folder of a cell, and what is refused of it."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from filelock import FileLock

from netcaliper.errors import CorruptReading, ReadingError
from netcaliper.study import cell_folder as of
from netcaliper.study.cell import CELL_VERSION
from netcaliper.study.task import Task

TASK = Task("root", "name", "train", "mlp", {"seed": 0}, {"a": 1}, (), {})
COST = {"seconds": 1.0, "attempts": 1}


@pytest.fixture
def folder(tmp_path):
    made = of.cell_folder(tmp_path, "name")
    made.mkdir(parents=True)
    return made


def test_the_states_of_a_cell(folder):
    assert of.state_of(folder).status == "missing"
    assert of.begin(folder, TASK) == 1
    assert of.state_of(folder).status == "begun"
    (folder / of.PROGRESS).write_text('{"done": 0.5, "words": "epoch 5 of 10"}')
    with FileLock(folder / of.LOCK):
        assert of.state_of(folder) == of.State("running", "epoch 5 of 10", 0.5)
    assert of.begin(folder, TASK) == of.attempts_of(folder) == 2
    of.fail(folder, "broken", "Traceback", attempts=2)
    assert of.state_of(folder) == of.State("failed", "broken")
    assert of.failure_of(folder) == {"error": "broken", "attempts": 2, "died": False, "traceback": "Traceback"}
    of.finish(folder, [], COST)
    assert of.state_of(folder).status == "done"
    assert of.failure_of(folder) is None
    assert of.is_done(folder)
    assert not (folder / of.STARTED).exists()


def test_a_file_that_is_being_written_says_nothing(folder):
    of.begin(folder, TASK)
    (folder / of.PROGRESS).write_text('{"done": 0.')
    assert of.state_of(folder) == of.State("begun")


def test_what_it_is_stands_in_it(folder):
    of.begin(folder, TASK)
    facts = json.loads((folder / of.CELL).read_text())
    assert facts["schema"] == CELL_VERSION
    expected = {"kind": "train", "family": "mlp", "columns": {"seed": 0}, "configuration": {"a": 1}, "needs": []}
    assert {key: facts[key] for key in expected} == expected


def test_rows_come_back_as_plain_scalars(folder):
    rows = [{"a": np.float64(0.5), "b": np.int64(3), "c": np.bool_(True), "d": float("nan"), "e": None, "f": "x"}]
    of.finish(folder, [*rows, {"a": float("inf")}], COST)
    assert of.rows_of(folder) == [{"a": 0.5, "b": 3, "c": True, "d": None, "e": None, "f": "x"}, {"a": None}]
    content = (folder / of.ROWS).read_bytes()
    assert (folder / of.DONE).read_text().strip() == hashlib.sha256(content).hexdigest()


def test_a_row_of_something_else_is_refused(folder):
    with pytest.raises(TypeError, match="column 'a' of a row is a list"):
        of.finish(folder, [{"a": [1]}], COST)
    assert not of.is_done(folder)


def test_rows_that_were_changed_are_refused(folder):
    of.begin(folder, TASK)
    of.finish(folder, [{"a": 1}], COST)
    (folder / of.ROWS).write_text("[]")
    with pytest.raises(CorruptReading, match="remove .*name, and the next run computes the cell again"):
        of.rows_of(folder)
    (folder / of.ROWS).unlink()
    with pytest.raises(ReadingError, match="cannot be read"):
        of.rows_of(folder)


@pytest.mark.parametrize("call", [of.check_version, of.rows_of, lambda folder: of.begin(folder, TASK)])
def test_a_cell_of_another_schema_is_refused_by_name(folder, call):
    of.begin(folder, TASK)
    facts = json.loads((folder / of.CELL).read_text()) | {"schema": 0, "netcaliper": "0.0.9"}
    (folder / of.CELL).write_text(json.dumps(facts))
    with pytest.raises(ReadingError, match=r"name is a cell of schema 0, written by netcaliper 0\.0\.9; .* remove"):
        call(folder)
    (folder / of.CELL).write_text("{")
    with pytest.raises(CorruptReading, match="damaged; remove"):
        call(folder)


def test_who_has_begun_a_cell(folder):
    ours = replace(TASK, token="ours")
    assert not of.was_begun(folder, "ours")
    of.begin(folder, ours)
    assert of.was_begun(folder, "ours")
    assert not of.was_begun(folder, "theirs")
    of.begin(folder, TASK)
    assert not of.was_begun(folder, "ours")
    of.begin(folder, ours)
    of.finish(folder, [], COST)
    assert not of.was_begun(folder, "ours")
