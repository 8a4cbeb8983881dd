"""Runs the cells of a study that are not done, each as soon as all is done that it stands on."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from netcaliper.errors import ReadingError
from netcaliper.study.cell import Cell
from netcaliper.study.cell_folder import FAILED, cell_folder, check_version, failure_of, is_done
from netcaliper.study.engines.engine import Engine
from netcaliper.study.task import RUN_CELL, Outcome, Task

Watch = Callable[["Standing"], None]


@dataclass
class Standing:
    """How far a run is; it changes while the run goes on.

    Attributes:
        total: cells of the study, each once.
        done, failed: names.
        elsewhere: names of cells that another process works on.
        waiting: names of cells that stand on some that are not done.
        other_shards: names of cells that belong to other shards and are not done.
        open: names of cells that the engine has, in the order in which they are begun.
        computed: number of cells that this run has done.
    """

    total: int
    done: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    other_shards: set[str] = field(default_factory=set)
    open: dict[str, None] = field(default_factory=dict)
    computed: int = 0

    def can_begin(self, cell: Cell) -> bool:
        """Tell whether a cell is still to be computed, and all is done that it stands on."""
        known = cell.name in self.done or cell.name in self.failed or cell.name in self.open
        return not known and self.done.issuperset(cell.needs)


@dataclass(frozen=True)
class Run:
    """What a run of cells needs to know besides the cells.

    Attributes:
        root: folder of the study.
        engine: where cells are computed.
        folders: by data spec the folder that holds the data.
        threads: of torch for each cell; 0 leaves them as they are.
        shard: (I, N): only the I-th of N parts of the cells, from 1.
        retry: also cells that failed.
        runner: what computes the rows of a cell.
        watch: called when something has changed.
    """

    root: Path
    engine: Engine
    folders: Mapping[str, str] = field(default_factory=dict)
    threads: int = 0
    shard: tuple[int, int] = (1, 1)
    retry: bool = False
    runner: str = RUN_CELL
    watch: Watch = lambda standing: None

    def __call__(self, cells: Iterable[Cell]) -> Standing:
        """Compute the cells that are not done.

        Raises:
            ReadingError: the folder cannot be written, or holds a cell of another version.
            KeyboardInterrupt: with a note that says how far it is.
        """
        unique = {cell.name: cell for cell in cells}
        standing = Standing(len(unique))
        self._look(unique, standing)
        asked = self._asked(unique, standing)
        try:
            self._compute(asked, standing)
            # Once more: who looks at a lock holds it for a moment, and another process may have ended, or been killed.
            self._look(unique, standing)
            self._compute(asked, standing)
        except KeyboardInterrupt as stop:
            stop.add_note(f"{self._how_far(standing)}; the same command goes on from there")
            raise
        standing.waiting = asked.keys() - standing.done - standing.failed.keys() - standing.elsewhere
        return standing

    def _folder(self, name: str) -> Path:
        return cell_folder(self.root, name)

    def _look(self, cells: Iterable[str], standing: Standing) -> None:
        """Note what is done, by whomever."""
        for name in cells:
            if name not in standing.done:
                check_version(self._folder(name))
                if is_done(self._folder(name)):
                    standing.done.add(name)
                    standing.elsewhere.discard(name)
                    standing.other_shards.discard(name)
        self.watch(standing)

    def _asked(self, cells: Mapping[str, Cell], standing: Standing) -> dict[str, Cell]:
        """Return the cells that this run is to compute, and note why it does not compute others."""
        shards = _shards(cells, self.shard[1])
        asked = {}
        for name, cell in cells.items():
            if name in standing.done:
                continue
            if shards[name] != self.shard[0]:
                standing.other_shards.add(name)
                continue
            failure = failure_of(self._folder(name))
            if failure is not None:
                if not (self.retry or failure.get("died")):
                    standing.failed[name] = str(failure.get("error", ""))
                    continue
                try:
                    (self._folder(name) / FAILED).unlink(missing_ok=True)
                except OSError as error:
                    raise self._stopped(error.strerror or str(error), standing) from error
            asked[name] = cell
        return asked

    def _task(self, cell: Cell) -> Task:
        return Task(
            root=str(self.root.absolute()),
            name=cell.name,
            kind=cell.kind,
            family=cell.family,
            columns=dict(cell.columns),
            configuration=dict(cell.configuration),
            needs=cell.needs,
            folders=dict(self.folders),
            threads=self.threads,
            runner=self.runner,
        )

    def _compute(self, asked: Mapping[str, Cell], standing: Standing) -> None:
        """Compute those of the cells that are left and stand on nothing else, and all that thereby becomes possible."""
        above: defaultdict[str, list[Cell]] = defaultdict(list)
        for cell in asked.values():
            for need in cell.needs:
                above[need].append(cell)

        def ready(cells: Iterable[Cell]) -> list[Task]:
            found = [cell for cell in cells if standing.can_begin(cell)]
            standing.open.update(dict.fromkeys(cell.name for cell in found))
            return [self._task(cell) for cell in found]

        def done(outcome: Outcome) -> list[Task]:
            name = outcome.name
            standing.open.pop(name, None)
            standing.elsewhere.discard(name)
            match outcome.status:
                case "done":
                    standing.done.add(name)
                    standing.computed += not outcome.found
                case "failed":
                    standing.failed[name] = outcome.error or ""
                case "elsewhere":
                    standing.elsewhere.add(name)
                case "stopped":
                    raise self._stopped(outcome.error or "", standing)
            more = ready(above[name])
            self.watch(standing)
            return more

        tasks = ready(asked.values())
        if tasks:
            self.watch(standing)
            self.engine.run(tasks, done)

    def _stopped(self, words: str, standing: Standing) -> ReadingError:
        return ReadingError(
            f"{self.root} cannot be written ({words}), and the run has stopped: {self._how_far(standing)}; make room "
            "or see to its permissions, then give the same command to go on."
        )

    def _how_far(self, standing: Standing) -> str:
        return f"{len(standing.done)} of {standing.total} cells are done, in {self.root}"


def _shards(cells: Mapping[str, Cell], count: int) -> dict[str, int]:
    """Return the shard of every cell: by its name, or that of what it stands on first; comparisons are in the first."""
    shards: dict[str, int] = {}
    for name, cell in cells.items():
        if cell.kind == "compare":
            shards[name] = 1
        else:
            shards[name] = shards[cell.needs[0]] if cell.needs else 1 + int(name, 16) % count
    return shards
