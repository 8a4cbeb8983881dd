"""Cells on a Ray cluster: each is a task with its resources, begun again elsewhere when its node dies.

Only tasks and outcomes go through Ray, a few kilobytes each; what a cell leaves is written to the folder of the study,
which all nodes must share.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

from netcaliper.errors import InputError, StudyError
from netcaliper.specs.extra import first_line, import_extra
from netcaliper.study.engines.engine import Ended
from netcaliper.study.engines.orphan import stop_with_parent
from netcaliper.study.engines.work import do_cell, lost
from netcaliper.study.task import Outcome, Task

RETRIES = 3
"""How often a cell is begun again after its process or its node has died."""

ANSWERS_WITHIN = 60.0
"""Seconds in which a cluster must have taken up a driver; Ray itself would try for minutes."""

OBJECT_STORE = 100 * 2**20
"""Bytes of the object store of a cluster that is started here; records are small."""

AHEAD = 64
"""Cells that are handed to the cluster beside those that it can compute at once."""

ORPHAN_ENDS = 3.0
"""Seconds for which a cell may still be locked by its first process, whose node has died."""


class RayEngine:
    """The tasks of a Ray cluster; satisfies ``netcaliper.study.engines.engine.Engine``.

    A cluster that is started here ends with the engine; one that was there before is left as it is.

    Args:
        address: of a running cluster (``HOST:PORT``, ``ray://HOST:PORT`` or ``auto``); without one a cluster is started
            on this machine, unless this process is connected to one already.
        workers: cells at once; as many as the cluster has room for if not given.
        num_gpus: of every cell; may be a fraction.
        threads: CPUs of every cell.

    Raises:
        InputError: a number of GPUs below 0.
    """

    def __init__(
        self, address: str | None = None, workers: int | None = None, num_gpus: float = 0.0, threads: int = 1
    ) -> None:
        if num_gpus < 0:
            raise InputError(f"`num_gpus` must be 0 or more, got {num_gpus}; leave it out for cells without one.")
        self.address, self.workers, self.num_gpus, self.threads = address, workers, num_gpus, threads

    def run(self, tasks: Sequence[Task], done: Ended) -> None:
        """Do the tasks wherever there is room.

        Raises:
            StudyError: Ray is not installed, the cluster does not answer or has no node for such a cell, or its nodes
                cannot load netcaliper or do not share the folder.
        """
        ray = import_extra("ray", "ray", "`--engine ray`")
        self._connect(ray)
        remote = ray.remote(num_cpus=self.threads, num_gpus=self.num_gpus, max_retries=RETRIES)(_in_worker)
        room = self._room(ray)
        limit = self.workers or room + AHEAD
        left = deque(tasks)
        open_: dict[Any, Task] = {}
        try:
            while left or open_:
                while left and len(open_) < limit:
                    task = _absolute(left.popleft())
                    open_[remote.remote(task, os.getcwd(), sys.path)] = task
                (ready,), _ = ray.wait(list(open_), num_returns=1)
                left.extend(done(_outcome(ray, ready, open_.pop(ready))))
        finally:
            for reference in open_:
                ray.cancel(reference, force=True)

    def _connect(self, ray: Any) -> None:
        """Connect this process to a cluster, unless it is connected."""
        if ray.is_initialized():
            return
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address is None:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
            local = {"num_cpus": self.workers and self.workers * self.threads, "object_store_memory": OBJECT_STORE}
            _checked(ray.init, address="local", include_dashboard=False, **local, **quiet)
        else:
            _check_answers(self.address)
            _checked(ray.init, address=self.address, **quiet)
        weakref.finalize(self, ray.shutdown)

    def _room(self, ray: Any) -> int:
        """Return how many cells the cluster computes at once.

        Raises:
            StudyError: no node has what a cell takes, so that all would wait forever.
        """
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        rooms = [int(node.get("CPU", 0) // self.threads) for node in nodes]
        if self.num_gpus:
            gpus = [int(node.get("GPU", 0) / self.num_gpus) for node in nodes]
            rooms = [min(pair) for pair in zip(rooms, gpus, strict=True)]
        if not any(rooms):
            most = max(((node.get("CPU", 0), node.get("GPU", 0)) for node in nodes), default=(0, 0))
            raise StudyError(
                f"`--threads` and `--num-gpus` must fit one node of the Ray cluster, got {self.threads} and "
                f"{self.num_gpus:g} where the largest has {most[0]:g} CPUs and {most[1]:g} GPUs; ask for less, or add "
                "a node."
            )
        return sum(rooms)


def _in_worker(task: Task, current: str, path: Sequence[str]) -> Outcome:
    """Do a cell on a node of the cluster, where the driver's directory and modules are, if they are there too."""
    stop_with_parent()
    # Ray turns SIGTERM (its node ends) into a SystemExit in the middle of a cell, which would count as the cell's own.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if not Path(task.root).is_dir():
        raise StudyError(
            f"{task.root} is not on {socket.gethostname()}: the nodes of a Ray cluster must share the folder of a "
            "study; give one that they share with -o."
        )
    if Path(current).is_dir():
        os.chdir(current)  # a data spec may name files relative to it
    sys.path.extend(folder for folder in path if folder not in sys.path)  # and a model spec a module of the user's
    outcome, waited = do_cell(task), 0.0
    while outcome.status == "elsewhere" and waited < ORPHAN_ENDS:
        sleep(0.25)
        outcome, waited = do_cell(task), waited + 0.25
    return outcome


def _outcome(ray: Any, reference: Any, task: Task) -> Outcome:
    """Return how a task ended; one whose processes died leaves no word of its own."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:  # no fault of the cell: ``do_cell`` passes nothing on
        if isinstance(error.cause, StudyError):
            raise error.cause from None
        raise StudyError(
            f"the nodes of the Ray cluster cannot do a cell ({first_line(error.cause)}); install the same "
            "netcaliper on all of them."
        ) from error
    except ray.exceptions.RayError as error:
        words = f"its process or its node died {RETRIES + 1} times ({type(error).__name__}): killed, or out of memory"
        return lost(task, words)


def _absolute(task: Task) -> Task:
    """Return the task with folders that mean the same wherever it is done."""
    folders = {spec: os.path.abspath(folder) for spec, folder in task.folders.items()}
    return replace(task, root=os.path.abspath(task.root), folders=folders)


# ---- the way to a cluster


def _checked(connect: Callable[..., Any], **how: Any) -> None:
    """Connect, and say in words what went wrong."""
    try:
        connect(**how)
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreachable(str(how["address"]), first_line(error)) from error


def _check_answers(address: str) -> None:
    """See in a process of its own whether a cluster takes up a driver: Ray may hang there, or end the process.

    Raises:
        StudyError: there is none, or it does not answer within a minute.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise _unreachable(address, str(error)) from error
    code = "import logging, sys, ray; ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)"
    try:
        seen = subprocess.run(
            [sys.executable, "-c", code, address], capture_output=True, text=True, timeout=ANSWERS_WITHIN, check=False
        )
    except subprocess.TimeoutExpired:
        raise _unreachable(address, f"no answer in {ANSWERS_WITHIN:g} seconds") from None
    if seen.returncode:
        lines = seen.stderr.strip().splitlines() or [f"exit code {seen.returncode}"]
        raise _unreachable(address, lines[-1])


def _unreachable(address: str, words: str) -> StudyError:
    return StudyError(
        f"`--address` must be that of a running Ray cluster, got {address} ({words}); start one with "
        "`ray start --head`, or leave the address out for one on this machine."
    )
