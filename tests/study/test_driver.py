"""Runs of a study: what is done stays done, whatever happens to a driver or its workers."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

import trivial_cells
from netcaliper.errors import ReadingError
from netcaliper.study import cell_folder as of
from netcaliper.study.driver import Run
from netcaliper.study.engines.engine import InProcess
from netcaliper.study.file.grid import cells
from netcaliper.study.task import Outcome
from trivial_cells import exported, parsed, run

STUDY = parsed()
NAMES = [cell.name for cell in cells(STUDY)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole") / "out"
    run(root)
    return exported(root)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "faults").mkdir()
    return tmp_path / "out"


@pytest.fixture
def faults(root):
    return root.parent / "faults"


class Recorded(InProcess):
    """Keeps what it was given at once, and what followed."""

    def __init__(self):
        self.given, self.followed = [], []

    def run(self, tasks, done):
        self.given.append([task.name for task in tasks])
        super().run(tasks, lambda outcome: self.follow(done(outcome)))

    def follow(self, tasks):
        self.followed += [task.name for task in tasks]
        return tasks


def test_a_cell_follows_what_it_stands_on_and_a_rerun_has_nothing_to_do(root, whole):
    engine = Recorded()
    standing = run(root, engine=engine)
    (given,) = engine.given
    assert given == [cell.name for cell in cells(STUDY) if not cell.needs]
    assert sorted(given + engine.followed) == sorted(NAMES), "each once"
    places = {name: at for at, name in enumerate(given + engine.followed)}
    assert all(places[need] < places[cell.name] for cell in cells(STUDY) for need in cell.needs)
    assert standing.done == set(NAMES)
    assert exported(root) == whole
    again = Recorded()
    assert run(root, engine=again).computed == 0
    assert again.given == []


def test_one_long_training_keeps_nothing_waiting_but_what_stands_on_it(root, whole):
    class Slow(InProcess):
        def run(self, tasks, done):
            slow, *others = tasks
            super().run(others, done)
            self.before = {name for name in NAMES if of.is_done(of.cell_folder(root, name))}
            super().run([slow], done)

    engine = Slow()
    run(root, engine=engine)
    above = {NAMES[0]}
    for cell in cells(STUDY):
        above.update({cell.name} if above.intersection(cell.needs) else ())
    assert engine.before == set(NAMES) - above
    assert exported(root) == whole


def test_only_what_is_missing_is_computed(root, whole):
    run(root)
    (of.cell_folder(root, NAMES[2]) / of.DONE).unlink()
    engine = Recorded()
    run(root, engine=engine)
    assert engine.given == [[NAMES[2]]]
    assert exported(root) == whole


def test_failures_are_counted_and_tried_again_when_asked(root, faults, whole):
    (faults / "1").write_text("fail")
    standing = run(root)
    assert len(standing.failed) == 2
    assert set(standing.failed.values()) == {"ValueError: seed 1 fails"}
    assert len(standing.waiting) == 4 + 2, "what is bent from them, and the comparisons"
    (faults / "1").unlink()
    assert run(root).failed == standing.failed
    assert run(root, retry=True).done == set(NAMES)
    assert exported(root) == whole
    assert all(
        json.loads((of.cell_folder(root, name) / of.COST).read_text())["attempts"] == 2 for name in standing.failed
    )


def test_an_interrupt_says_how_far_it_is(root, faults, whole):
    (faults / "1").write_text("interrupt")
    with pytest.raises(KeyboardInterrupt) as stop:
        run(root)
    assert stop.value.__notes__ == [f"2 of 20 cells are done, in {root}; the same command goes on from there"]
    (faults / "1").unlink()
    run(root)
    assert exported(root) == whole


def test_a_full_disk_stops_the_run_and_it_goes_on_later(root, faults, whole):
    (faults / "1").write_text("full")
    with pytest.raises(ReadingError, match=r"No space left on device.*2 of 20 cells are done.*same command"):
        run(root)
    (faults / "1").unlink()
    run(root)
    assert exported(root) == whole


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_refuses_at_any_write(root, whole, monkeypatch, number):
    """The n-th write of the run fails, for every n at which something else is written."""
    written = last = 0
    write = of.write_whole

    def refusing(file, content):
        nonlocal written
        written += 1
        if written == last:
            raise OSError(number, os.strerror(number), str(file))
        write(file, content)

    monkeypatch.setattr(of, "write_whole", refusing)
    for last in range(1, 8):  # noqa: B007 (read by `refusing`)
        written = 0
        with pytest.raises(ReadingError, match=os.strerror(number)):
            run(root)
    monkeypatch.undo()
    run(root)
    assert exported(root) == whole


def test_a_cell_that_another_process_has_is_left_to_it(root, whole):
    folder = of.cell_folder(root, NAMES[0])
    folder.mkdir(parents=True)
    with FileLock(folder / of.LOCK):
        standing = run(root)
    assert standing.elsewhere == {NAMES[0]}
    assert len(standing.waiting) == 3, "its two bends and its comparison"
    run(root)
    assert exported(root) == whole


def test_a_cell_that_was_locked_for_a_moment_is_looked_at_again(root, whole):
    class Blinking(InProcess):
        rounds = 0

        def run(self, tasks, done):
            self.rounds += 1
            if self.rounds > 1:
                super().run(tasks, done)
                return
            assert not any(done(Outcome(task.name, "elsewhere")) for task in tasks)

    assert run(root, engine=Blinking()).done == set(NAMES)
    assert exported(root) == whole


def test_two_drivers_share_the_cells(root, faults, whole):
    for seed in range(3):
        (faults / str(seed)).write_text("sleep 0.02")
    standings = []
    drivers = [threading.Thread(target=lambda: standings.append(run(root))) for _ in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    standings.append(run(root))
    assert sum(standing.computed for standing in standings) == len(NAMES)
    assert not any(standing.failed for standing in standings)
    assert exported(root) == whole
    assert all(json.loads((of.cell_folder(root, name) / of.COST).read_text())["attempts"] == 1 for name in NAMES)


def test_shards_are_a_partition(root, whole):
    for shard in (3, 2, 1):
        standing = run(root, shard=(shard, 3))
        assert len(standing.done) + len(standing.other_shards) + len(standing.waiting) == 20
    assert standing.done == set(NAMES)
    assert exported(root) == whole


def test_a_cell_of_another_schema_is_refused_by_name(root):
    run(root)
    file = of.cell_folder(root, NAMES[5]) / of.CELL
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema": 0}))
    with pytest.raises(ReadingError, match=f"{NAMES[5]} is a cell of schema 0"):
        run(root)


def test_a_run_is_watched(root, faults):
    (faults / "1").write_text("fail")
    seen = []
    Run(
        root,
        InProcess(),
        runner=trivial_cells.RUNNER,
        watch=lambda one: seen.append((len(one.done), len(one.failed), len(one.open))),
    )(cells(STUDY))
    assert seen[0] == (0, 0, 0)
    assert seen[-1] == (4 + 8, 2, 0)
    assert max(one for _, _, one in seen) == 6


def children(pid):
    return [int(one) for file in Path(f"/proc/{pid}/task").glob("*/children") for one in file.read_text().split()]


def workers(pid):
    """The processes of a driver that compute cells; loky has another one that keeps track of resources."""
    found = []
    for child in children(pid):
        command = Path(f"/proc/{child}/cmdline").read_bytes()
        found += [child] if b"popen_loky" in command else []
    return found


def number_done(root):
    return len(list(root.glob(f"cells/*/{of.DONE}")))


def test_kills_at_any_moment_lose_nothing_that_was_done(root, faults, tmp_path):
    """Drivers and workers are killed, again and again; the table is that of an undisturbed run."""
    for seed in range(10):
        (faults / str(seed)).write_text("sleep 0.05")
    command = [sys.executable, trivial_cells.__file__, "many", str(root)]
    for at, victim in enumerate(["driver", "worker", "driver", "worker", "driver"]):
        driver = subprocess.Popen(command)
        before, end = number_done(root), time.monotonic() + 20
        while time.monotonic() < end and (number_done(root) < before + 2 or not workers(driver.pid)):
            time.sleep(0.01)
        assert driver.poll() is None, "killed while it runs"
        time.sleep(0.013 * at)
        os.kill(driver.pid if victim == "driver" else workers(driver.pid)[0], signal.SIGKILL)
        if victim == "worker":
            time.sleep(0.3)
            assert driver.poll() is None, "a driver goes on without a worker"
            driver.kill()
        driver.wait()
    study = parsed("many")
    assert 0 < number_done(root) < len(cells(study))
    subprocess.run(command, check=True, timeout=60)
    run(tmp_path / "one" / "out", study)
    assert exported(root, study) == exported(tmp_path / "one" / "out", study)
    assert not list(root.glob("cells/*/FAILED.json"))
