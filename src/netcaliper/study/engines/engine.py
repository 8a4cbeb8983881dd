"""Where cells are computed: in this process, or in a pool of processes on this machine."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.resource_tracker import ensure_running
from pathlib import Path
from typing import Protocol, runtime_checkable

from joblib.externals.loky import get_reusable_executor

from netcaliper.errors import StudyError
from netcaliper.study.cell_folder import attempts_of, begun_by, cell_folder, fail
from netcaliper.study.engines.orphan import stop_with_parent
from netcaliper.study.engines.work import do_cell
from netcaliper.study.task import Outcome, Task

IDLE_SECONDS = 60
"""After which a worker that nobody needs ends."""

THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Variables that numpy and torch read when they are loaded."""

DEATHS = 2
"""Of a cell's workers in one run, after which it counts as failed."""

BREAKS_FOR_NOTHING = 3
"""A pool that breaks so often before any cell has begun would never begin one."""


@runtime_checkable
class Engine(Protocol):
    """Computes cells that do not stand on each other."""

    def run(self, tasks: Sequence[Task], done: Callable[[Outcome], None]) -> None:
        """Call ``netcaliper.study.engines.work.do_cell`` for every task, in any order and anywhere.

        ``done`` is called in this process and thread as each ends, once for every task. What it raises ends the run:
        the workers are stopped, and what they have written stays.
        """
        ...


class InProcess:
    """One cell after the other in this process: slow, and easy to debug."""

    def run(self, tasks: Sequence[Task], done: Callable[[Outcome], None]) -> None:
        """Do the tasks in their order."""
        for task in tasks:
            done(do_cell(task))


class Local:
    """A pool of processes on this machine (joblib with loky); they are reused from cell to cell.

    A worker that dies (killed, out of memory) breaks the pool, and takes the cells with it that were running. They
    are begun again from what they have left on the disk; a cell whose worker has died twice counts as failed.

    Args:
        workers: number of processes.
        threads: of every process. It is in their environment before numpy and torch are loaded.
    """

    def __init__(self, workers: int, threads: int = 1) -> None:
        self.workers = workers
        self.threads = threads
        self._size = 0

    def run(self, tasks: Sequence[Task], done: Callable[[Outcome], None]) -> None:
        """Do the tasks, as many at once as there are workers."""
        open_tasks = {task.name: task for task in tasks}
        deaths: Counter[str] = Counter()
        in_vain = 0
        while open_tasks:
            before = len(open_tasks)
            try:
                self._round(open_tasks, done)
            except BrokenProcessPool as error:
                begun = [task for task in open_tasks.values() if begun_by(_folder(task), os.getpid())]
                in_vain = 0 if begun or len(open_tasks) < before else in_vain + 1
                if in_vain == BREAKS_FOR_NOTHING:
                    raise StudyError(f"the workers die before they begin a cell: {error}") from error
                deaths.update(task.name for task in begun)
                for task in begun:
                    if deaths[task.name] == DEATHS:
                        del open_tasks[task.name]
                        done(_lost(task))

    def _round(self, open_tasks: dict[str, Task], done: Callable[[Outcome], None]) -> None:
        """Do what is open until the pool breaks; what has ended is taken off."""
        _start_tracker()
        # It never shrinks: a worker that is there has loaded torch already.
        self._size = max(self._size, min(self.workers, len(open_tasks)))
        pool = get_reusable_executor(
            max_workers=self._size,
            timeout=IDLE_SECONDS,
            initializer=_begin_worker,
            initargs=(os.getpid(),),
            env=dict.fromkeys(THREADS, str(self.threads)),
        )
        left = iter(list(open_tasks.values()))
        given: set[Future[Outcome]] = set()
        try:
            # Never more than the pool hands on at once: it cannot be stopped cleanly while some still wait inside it.
            while given := given | {pool.submit(do_cell, task) for task in islice(left, 2 * self._size - len(given))}:
                ended, given = wait(given, return_when=FIRST_COMPLETED)
                for outcome in [future.result() for future in ended]:
                    del open_tasks[outcome.name]
                    done(outcome)
        except BaseException:
            pool.shutdown(wait=True, kill_workers=True)
            raise


def _start_tracker() -> None:
    """Start the process that cleans up after workers, so that it does so without a word when they are stopped."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (before, "ignore:resource_tracker")))
    try:
        ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _begin_worker(driver: int) -> None:
    # A terminal interrupts all its processes; what becomes of the workers is the driver's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop_with_parent(driver)


def _folder(task: Task) -> Path:
    return cell_folder(Path(task.root), task.name)


def _lost(task: Task) -> Outcome:
    """Write that a cell's processes died; a killed process leaves no traceback."""
    folder = _folder(task)
    words = f"its process died {DEATHS} times without a word: killed, or out of memory; give fewer workers"
    fail(folder, words, "", attempts=attempts_of(folder), died=True)
    return Outcome(task.name, "failed", error=words)
