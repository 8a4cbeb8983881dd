"""Engines: every task is reported once, whatever happens to the workers."""

import json
import os
import subprocess
import sys
from concurrent.futures import Future
from threading import Timer

import pytest

from netcaliper.errors import StudyError
from netcaliper.study.cell_folder import cell_folder, failure_of
from netcaliper.study.engines import engine as engines
from netcaliper.study.engines.engine import Engine, InProcess, Local
from netcaliper.study.file.grid import cells
from netcaliper.study.task import Task
from trivial_cells import exported, parsed, run


@pytest.fixture
def faults(tmp_path):
    folder = tmp_path / "faults"
    folder.mkdir()
    return folder


def of_seed(seed):
    return {cell.name for cell in cells(parsed()) if cell.columns.get("seed") == seed and cell.kind == "train"}


def test_both_are_engines():
    assert isinstance(InProcess(), Engine)
    assert isinstance(Local(1), Engine)


def test_a_pool_leaves_the_table_that_one_process_leaves(tmp_path):
    standing = run(tmp_path / "pool", engine=Local(2))
    assert len(standing.done) == standing.total == standing.computed == 20
    run(tmp_path / "one")
    assert exported(tmp_path / "pool") == exported(tmp_path / "one")


def test_a_worker_that_dies_once_costs_an_attempt(tmp_path, faults):
    (faults / "1").write_text("die 1")
    standing = run(tmp_path / "pool", engine=Local(2))
    assert (len(standing.done), standing.failed) == (20, {})
    costs = [json.loads((cell_folder(tmp_path / "pool", name) / "cost.json").read_text()) for name in of_seed(1)]
    assert max(cost["attempts"] for cost in costs) == 2


def test_a_cell_whose_worker_always_dies_fails_and_the_others_do_not(tmp_path, faults):
    (faults / "1").write_text("die 1000")
    standing = run(tmp_path / "pool", engine=Local(1))
    assert standing.failed.keys() == of_seed(1)
    assert "its process died 2 times" in next(iter(standing.failed.values()))
    assert len(standing.done) == 4 + 8
    failure = failure_of(cell_folder(tmp_path / "pool", next(iter(of_seed(1)))))
    assert failure is not None
    assert (failure["died"], failure["attempts"]) == (True, 2)
    (faults / "1").unlink()
    assert len(run(tmp_path / "pool", engine=Local(1)).done) == 20, "a death is tried again without --retry"


def test_the_neighbors_of_a_cell_that_kills_its_worker_are_not_blamed(tmp_path, faults):
    (faults / "0").write_text("die 1000")
    for seed in (1, 2):
        (faults / str(seed)).write_text("sleep 0.3")
    standing = run(tmp_path / "pool", engine=Local(2))
    assert standing.failed.keys() == of_seed(0)
    assert len(standing.done) == 4 + 8


def test_workers_that_never_begin_end_the_run(tmp_path, monkeypatch):
    def broken(*_):
        raise engines.BrokenProcessPool("no memory")

    monkeypatch.setattr(Local, "_round", broken)
    with pytest.raises(StudyError, match="the workers die before they begin a cell: no memory"):
        run(tmp_path / "pool", engine=Local(2))


def test_what_the_callback_raises_ends_the_run(tmp_path):
    def done(_):
        raise ValueError("enough")

    tasks = [
        Task(str(tmp_path), str(at), "train", "f", {}, {"seed": at}, (), {}, 0, "trivial_cells:run_cell")
        for at in range(9)
    ]
    for engine in (InProcess(), Local(2)):
        with pytest.raises(ValueError, match="enough"):
            engine.run(tasks, done)
    assert not cell_folder(tmp_path, "8").exists()


def test_a_pool_is_stopped_when_it_has_handed_on_what_it_was_given(monkeypatch):
    running, ended, late = Future(), Future(), Future()
    running.set_running_or_notify_cancel()
    ended.set_result(None)
    timer = Timer(0.1, late.set_running_or_notify_cancel)
    timer.start()
    engines._handed_on({running, ended, late})
    assert late.running()
    timer.join()
    monkeypatch.setattr(engines, "HAND_ON_SECONDS", 0.1)
    engines._handed_on({Future()})


def test_threads_stand_in_the_environment_of_the_workers(tmp_path):
    seen = []
    task = Task(str(tmp_path), "a", "train", "f", {}, {}, (), {}, 0, "trivial_cells:environment")
    Local(1, threads=3).run([task], lambda outcome: seen.append(outcome) or ())
    assert [outcome.status for outcome in seen] == ["done"]
    rows = json.loads((cell_folder(tmp_path, "a") / "rows.json").read_text())
    assert rows[0]["OMP_NUM_THREADS"] == "3"
    assert rows[0]["pid"] != os.getpid()


def test_what_a_stopped_worker_had_open_is_cleaned_up_without_a_word():
    leak = "import multiprocessing, os; lock = multiprocessing.get_context('spawn').RLock(); os._exit(0)"
    quiet = f"from netcaliper.study.engines.engine import _start_tracker; _start_tracker(); {leak}"
    said = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
        for code in (leak, quiet)
    ]
    assert "leaked semaphore" in said[0]
    assert said[1] == ""
