"""The frame around one cell: whatever happens inside becomes an outcome and a whole folder."""

import dataclasses
import errno
import json

import pytest
import torch
from filelock import FileLock

from netcaliper.errors import DataError, ReadingError
from netcaliper.study import cell_folder as of
from netcaliper.study.engines import work
from netcaliper.study.engines.work import do_cell
from netcaliper.study.task import Task
from trivial_cells import RUNNER


@pytest.fixture
def task(tmp_path):
    return Task(str(tmp_path), "name", "train", "mlp", {"seed": 3}, {"seed": 3}, (), {}, threads=0, runner=RUNNER)


@pytest.fixture
def folder(tmp_path):
    return of.cell_folder(tmp_path, "name")


def raising(monkeypatch, error):
    def run_cell(*_):
        raise error

    monkeypatch.setattr("trivial_cells.run_cell", run_cell)


def test_a_cell_is_computed_once(task, folder, monkeypatch):
    outcome = do_cell(task)
    assert (outcome.name, outcome.status, outcome.error) == ("name", "done", None)
    assert outcome.seconds > 0
    assert of.rows_of(folder)[1] == {"epoch": 2, "final": True, "loss": None, "units": 3}
    assert json.loads((folder / of.COST).read_text())["attempts"] == 1
    raising(monkeypatch, AssertionError("computed twice"))
    assert do_cell(task).status == "done"


def test_a_failure_is_kept_with_its_traceback_and_not_tried_again(task, folder, monkeypatch):
    raising(monkeypatch, ValueError("no\nsuch thing"))
    assert do_cell(task).error == "ValueError: no such thing"
    failure = of.failure_of(folder)
    assert failure is not None
    assert "in run_cell" in failure["traceback"]
    assert (failure["attempts"], failure["died"]) == (1, False)
    monkeypatch.undo()
    assert do_cell(task).status == "failed"
    (folder / of.FAILED).unlink()
    assert do_cell(task).status == "done"
    assert json.loads((folder / of.COST).read_text())["attempts"] == 2


@pytest.mark.parametrize(
    ("error", "words"),
    [(DataError("said on purpose"), "said on purpose"), (SystemExit(3), "SystemExit: 3"), (KeyError(), "KeyError")],
)
def test_words_of_a_failure(task, monkeypatch, error, words):
    raising(monkeypatch, error)
    assert (do_cell(task).status, do_cell(task).error) == ("failed", words)


def test_rows_that_are_none_fail(task, monkeypatch):
    monkeypatch.setattr("trivial_cells.run_cell", lambda *_: [{"a": object()}])
    assert do_cell(task).status == "failed"


def test_an_interrupt_is_passed_on_and_the_cell_goes_on_later(task, folder, monkeypatch):
    raising(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        do_cell(task)
    assert of.state_of(folder).status == "begun"
    monkeypatch.undo()
    assert do_cell(task).status == "done"


def test_another_process_works_on_it(task, folder):
    folder.mkdir(parents=True)
    with FileLock(folder / of.LOCK):
        assert do_cell(task).status == "elsewhere"
    assert do_cell(task).status == "done"


def refused(number, name=None):
    return OSError(number, "said by the disk", name)


def from_disk(number):
    error = ReadingError("could not be written")
    error.__cause__ = refused(number)
    return error


@pytest.mark.parametrize(
    "error",
    [
        refused(errno.ENOSPC, "/elsewhere/x"),
        refused(errno.EACCES),
        refused(errno.EROFS),
        from_disk(errno.EDQUOT),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
    ids=str,
)
def test_a_disk_that_refuses_stops_and_leaves_no_failure(task, folder, monkeypatch, error):
    raising(monkeypatch, error)
    assert do_cell(task).status == "stopped"
    assert not (folder / of.FAILED).exists()
    monkeypatch.undo()
    assert do_cell(task).status == "done"


@pytest.mark.parametrize("error", [refused(errno.EACCES, "/data/x.npz"), refused(errno.ENOENT)], ids=str)
def test_data_that_cannot_be_read_fail(task, monkeypatch, error):
    raising(monkeypatch, error)
    assert do_cell(task).status == "failed"


@pytest.mark.parametrize("refusing", ["begin", "finish", "fail"])
def test_a_disk_that_is_full_when_the_frame_writes(task, monkeypatch, refusing):
    def full(*_, **__):
        raise refused(errno.ENOSPC)

    monkeypatch.setattr(work, refusing, full)
    if refusing == "fail":
        raising(monkeypatch, ValueError("first"))
    assert do_cell(task).status == "stopped"
    monkeypatch.undo()
    assert do_cell(task).status == "done"


def test_a_root_that_is_no_folder_stops(task, tmp_path):
    (tmp_path / "file").write_text("")
    outcome = do_cell(dataclasses.replace(task, root=str(tmp_path / "file")))
    assert outcome.status == "stopped"
    assert "file" in (outcome.error or "")


def test_threads_are_those_of_the_task_inside_and_the_callers_after(task, monkeypatch):
    seen = []
    monkeypatch.setattr("trivial_cells.run_cell", lambda *_: seen.append(torch.get_num_threads()) or [])
    before = torch.get_num_threads()
    do_cell(dataclasses.replace(task, threads=before + 1))
    do_cell(dataclasses.replace(task, name="other"))
    assert seen == [before + 1, before]
    assert torch.get_num_threads() == before
