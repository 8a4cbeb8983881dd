"""The Ray engine on a real cluster of two nodes, of which one dies in the middle."""

import json
import os
import socket
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from netcaliper.errors import InputError, SpecError, StudyError
from netcaliper.study.cell_folder import CELLS, cell_folder, failure_of, rows_of
from netcaliper.study.engines import ray_engine
from netcaliper.study.engines.engine import Engine
from netcaliper.study.engines.ray_engine import RayEngine
from netcaliper.study.task import Outcome, Task
from trivial_cells import RUNNER, exported, run

ray = pytest.importorskip("ray", reason="ray is not installed")

QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one CPU each, every one with processes of its own."""
    from ray.cluster_utils import Cluster

    started = None
    try:
        store: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
        started = Cluster(initialize_head=True, head_node_args={**store, "_system_config": QUICK})
        started.add_node(**store)
        started.wait_for_nodes(timeout=60)
    except Exception as error:
        if started is not None:
            started.shutdown()
        pytest.skip(f"Ray cannot start here: {type(error).__name__}: {error}")
    yield started
    ray.shutdown()
    started.shutdown()


@pytest.fixture(scope="module")
def engine(cluster):
    return RayEngine(cluster.address)


def task(root: Any, name: str, runner: str = RUNNER, **more: Any) -> Task:
    configuration = {"seed": 0, "arguments": {"width": 1}}
    return Task(str(root), name, "train", "mlp", {"seed": 0}, configuration, (), {}, runner=runner, **more)


def finished(engine: RayEngine, tasks: list[Task], watch: Any = lambda outcome: None) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}

    def done(outcome: Outcome) -> list[Task]:
        assert outcome.name not in found
        found[outcome.name] = outcome
        watch(outcome)
        return []

    engine.run(tasks, done)
    return found


# ---- without a cluster


def test_it_is_an_engine_and_wants_no_negative_gpus():
    assert isinstance(RayEngine(), Engine)
    with pytest.raises(InputError, match="`num_gpus` must be 0 or more, got -1"):
        RayEngine(num_gpus=-1.0)


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(SpecError, match=r"`--engine ray` needs ray, .*pip install 'netcaliper\[ray\]'"):
        finished(RayEngine(), [task(tmp_path, "a")])


def test_an_address_where_nobody_listens_is_refused_at_once(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    start = time.monotonic()
    with pytest.raises(StudyError, match="`--address` must be that of a running Ray cluster") as caught:
        finished(RayEngine(address), [task(tmp_path, "a")])
    assert address in str(caught.value)
    assert time.monotonic() - start < 15


def test_an_address_where_something_else_listens_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_engine, "ANSWERS_WITHIN", 2.0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(StudyError, match="no answer in 2 seconds"):
            finished(RayEngine(f"127.0.0.1:{other.getsockname()[1]}"), [task(tmp_path, "a")])


def test_what_a_cluster_takes_up_is_said_in_words():
    def refuses(**how: Any) -> None:
        raise RuntimeError(f"Version mismatch with {how['address']}\nand more")

    with pytest.raises(StudyError, match=r"got 1\.2\.3\.4:5 \(Version mismatch with 1\.2\.3\.4:5\)"):
        ray_engine._checked(refuses, address="1.2.3.4:5")


@pytest.mark.parametrize(
    ("threads", "gpus", "nodes", "room"),
    [
        (1, 0.0, [(4, 0), (2, 0)], 6),
        (2, 0.0, [(4, 0), (3, 0)], 3),
        (1, 0.5, [(4, 1), (8, 0)], 2),
        (4, 1.0, [(2, 1), (8, 0)], None),
    ],
)
def test_cells_must_fit_one_node(threads, gpus, nodes, room):
    alive = [{"Alive": True, "Resources": {"CPU": float(cpu), "GPU": float(gpu)}} for cpu, gpu in nodes]
    known = SimpleNamespace(nodes=lambda: [*alive, {"Alive": False, "Resources": {"CPU": 99.0}}])
    engine = RayEngine(num_gpus=gpus, threads=threads)
    if room is None:
        with pytest.raises(StudyError, match="must fit one node of the Ray cluster, got 4 and 1"):
            engine._room(known)
    else:
        assert engine._room(known) == room


def test_nodes_that_cannot_load_a_cell_end_the_run(tmp_path):
    def get(_reference: Any) -> None:
        raise ray.exceptions.RayTaskError("_in_worker", "Traceback", ModuleNotFoundError("no netcaliper here"))

    broken = SimpleNamespace(get=get, exceptions=ray.exceptions)
    with pytest.raises(StudyError, match=r"cannot do a cell \(no netcaliper here\); install the same netcaliper"):
        ray_engine._outcome(broken, None, task(tmp_path, "a"))


def test_a_folder_that_a_node_does_not_have_stops_the_study(tmp_path):
    with pytest.raises(StudyError, match="must share the folder of a study") as told:
        ray_engine._in_worker(task(tmp_path / "elsewhere", "a"), str(tmp_path), [])
    assert not (tmp_path / "elsewhere").exists()

    def get(_reference: Any) -> None:
        raise ray.exceptions.RayTaskError("_in_worker", "Traceback", told.value)

    with pytest.raises(StudyError, match="elsewhere is not on .* with -o"):
        ray_engine._outcome(SimpleNamespace(get=get, exceptions=ray.exceptions), None, task(tmp_path, "a"))


# ---- on a cluster


def test_a_cluster_leaves_the_table_that_one_process_leaves(tmp_path, engine, capfd):
    (tmp_path / "cluster").mkdir()
    standing = run(tmp_path / "cluster", engine=engine)
    assert len(standing.done) == standing.total == 20
    run(tmp_path / "one")
    assert exported(tmp_path / "cluster") == exported(tmp_path / "one")
    said = capfd.readouterr()
    assert said.out + said.err == ""


def test_cells_are_done_on_the_cluster_with_their_threads_from_the_folder_of_the_driver(tmp_path, engine, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = finished(engine, [task(".", str(number), "trivial_cells:environment") for number in range(4)])
    assert {outcome.status for outcome in found.values()} == {"done"}
    rows = [rows_of(cell_folder(tmp_path, name))[0] for name in found]
    assert os.getpid() not in {row["pid"] for row in rows}
    assert {row["OMP_NUM_THREADS"] for row in rows} == {"1"}


def test_what_ends_the_run_ends_the_cells(tmp_path, engine):
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "0").write_text("sleep 30")
    slow = [task(tmp_path / "study", str(number)) for number in range(3)]
    (tmp_path / "study").mkdir()

    def stop(_outcome: Outcome) -> None:
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        finished(engine, [replace(slow[0], name="quick", runner="trivial_cells:environment"), *slow], stop)
    (tmp_path / "faults" / "0").unlink()
    again = finished(engine, slow)
    assert {outcome.status for outcome in again.values()} == {"done"}
    assert time.monotonic() - start < 25


def test_a_cell_whose_process_is_told_to_end_is_begun_again(tmp_path, engine):
    """As Ray does where a node ends in order; it is no fault of the cell."""
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "0").write_text("end")
    (tmp_path / "study").mkdir()
    outcome = finished(engine, [task(tmp_path / "study", "a")])["a"]
    assert outcome.status == "done"
    assert not (tmp_path / "faults" / "0").exists()


def test_a_cell_whose_process_always_dies_fails_and_says_so(tmp_path, engine):
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "0").write_text("die 1000")
    (tmp_path / "study").mkdir()
    outcome = finished(engine, [task(tmp_path / "study", "a")])["a"]
    assert outcome.status == "failed"
    assert "died 4 times" in str(outcome.error)
    failure = failure_of(cell_folder(tmp_path / "study", "a"))
    assert failure is not None
    assert (failure["died"], failure["attempts"]) == (True, 4)


def test_all_cells_are_done_though_a_node_dies_in_the_middle(tmp_path, engine, cluster):
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "0").write_text("sleep 2")
    (tmp_path / "study").mkdir()
    tasks = [task(tmp_path / "study", str(number)) for number in range(7)]
    (other,) = cluster.worker_nodes
    (process,) = other.all_processes["raylet"]
    killed: list[str] = []

    def kill_while_it_works() -> None:
        for _ in range(600):
            for started in (tmp_path / "study" / CELLS).glob("*/started.json"):
                young = time.time() - started.stat().st_mtime < 1  # one that is nearly done would end before it dies
                if young and json.loads(started.read_text())["parent"] == process.process.pid:
                    killed.append(started.parent.name)
                    cluster.remove_node(other, allow_graceful=False)
                    return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_while_it_works)
    killer.start()
    found = finished(engine, tasks)
    killer.join()
    assert sorted(found) == sorted(one.name for one in tasks)
    assert {outcome.status for outcome in found.values()} == {"done"}
    assert killed, "the node did nothing while it lived"
    cost = json.loads((tmp_path / "study" / CELLS / killed[0] / "cost.json").read_text())
    assert cost["attempts"] == 2
