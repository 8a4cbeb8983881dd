"""Where cells are computed: in this process, or in a pool of processes on this machine."""

import os
import secrets
import signal
import warnings
from collections import Counter, deque
from collections.abc import Callable, Collection, Container, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing.resource_tracker import ensure_running
from pathlib import Path
from time import monotonic, sleep
from typing import Protocol, runtime_checkable

from joblib.externals.loky import get_reusable_executor

from netcaliper.errors import StudyError
from netcaliper.study.cell_folder import cell_folder, was_begun
from netcaliper.study.engines.orphan import stop_with_parent
from netcaliper.study.engines.work import do_cell, lost
from netcaliper.study.task import Outcome, Task

HAND_ON_SECONDS = 5
"""Far more than a pool takes to hand a task to its workers."""

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
DIED = f"its process died {DEATHS} times without a word: killed, or out of memory; give fewer workers"

BREAKS_FOR_NOTHING = 3
"""A pool that breaks so often before any cell has begun would never begin one."""

Ended = Callable[[Outcome], Sequence[Task]]
"""Takes note of how a task ended, and returns those that could not be begun before."""


@runtime_checkable
class Engine(Protocol):
    """Computes cells, beginning with those that stand on nothing that is not done."""

    def run(self, tasks: Sequence[Task], done: Ended) -> None:
        """Call ``netcaliper.study.engines.work.do_cell`` for every task, in any order and anywhere.

        ``done`` is called in this process and thread as each ends, once for every task, and the tasks that it returns
        are done as well, after those that wait already. What it raises ends the run: the workers are stopped, and what
        they have written stays.
        """
        ...


class InProcess:
    """One cell after the other in this process: slow, and easy to debug."""

    def run(self, tasks: Sequence[Task], done: Ended) -> None:
        """Do the tasks in their order."""
        left = deque(tasks)
        while left:
            left.extend(done(do_cell(left.popleft())))


class Local:
    """A pool of processes on this machine (joblib with loky); they are reused from cell to cell.

    A worker that dies (killed, out of memory) breaks the pool, and takes the cells with it that were running. They
    are begun again from what they have left on the disk, never two of them at once, so that one that kills its worker
    shows itself: after the second death it counts as failed.

    Args:
        workers: number of processes.
        threads: of every process. It is in their environment before numpy and torch are loaded.
    """

    def __init__(self, workers: int, threads: int = 1) -> None:
        self.workers = workers
        self.threads = threads

    def run(self, tasks: Sequence[Task], done: Ended) -> None:
        """Do the tasks, as many at once as there are workers."""
        open_tasks = {task.name: task for task in tasks}
        deaths: Counter[str] = Counter()
        in_vain = 0

        def ended(outcome: Outcome) -> Sequence[Task]:
            del open_tasks[outcome.name]
            more = done(outcome)
            open_tasks.update({task.name: task for task in more})
            return more

        while open_tasks:
            before, token = set(open_tasks), secrets.token_hex(8)
            try:
                with warnings.catch_warnings():
                    self._round(list(open_tasks.values()), deaths, token, ended)
            except BrokenProcessPool as error:
                begun = [task for task in open_tasks.values() if was_begun(_folder(task), token)]
                in_vain = 0 if begun or before - open_tasks.keys() else in_vain + 1
                if in_vain == BREAKS_FOR_NOTHING:
                    raise StudyError(f"the workers die before they begin a cell: {error}") from error
                # Where one has died before, the others were only beside it.
                suspects = [task for task in begun if task.name in deaths] or begun
                deaths.update(task.name for task in suspects)
                for task in suspects:
                    if deaths[task.name] == DEATHS:
                        ended(lost(task, DIED))

    def _round(self, tasks: Sequence[Task], deaths: Container[str], token: str, done: Ended) -> None:
        """Do the tasks and those that follow from them, until the pool breaks; of ``deaths`` one at a time."""
        _start_tracker()
        # It is meant to: one that waits for a long cell beside it ends, and is begun again when there is work.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
        pool = get_reusable_executor(
            max_workers=self.workers,
            timeout=IDLE_SECONDS,
            initializer=_begin_worker,
            initargs=(os.getpid(),),
            env=dict.fromkeys(THREADS, str(self.threads)),
        )
        left = deque(task for task in tasks if task.name not in deaths)
        suspects = deque(task for task in tasks if task.name in deaths)
        suspect: Future[Outcome] | None = None
        given: set[Future[Outcome]] = set()

        def give(task: Task) -> Future[Outcome]:
            future = pool.submit(do_cell, replace(task, token=token))
            given.add(future)
            return future

        try:
            while left or suspects or given:
                if suspects and suspect not in given:
                    suspect = give(suspects.popleft())
                # Never more than the pool hands on at once: it cannot be stopped cleanly while some wait inside it.
                while left and len(given) < 2 * self.workers:
                    give(left.popleft())
                ended, _ = wait(given, return_when=FIRST_COMPLETED)
                given -= ended
                for future in ended:
                    left.extend(done(future.result()))
        except BaseException:
            _handed_on(given)
            pool.shutdown(wait=True, kill_workers=True)
            raise


def _handed_on(given: Collection[Future[Outcome]]) -> None:
    """Wait, seconds at most, until the pool has handed on what it was given: its thread dies of what it has not."""
    until = monotonic() + HAND_ON_SECONDS
    while monotonic() < until and not all(future.running() or future.done() for future in given):
        sleep(0.01)


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
