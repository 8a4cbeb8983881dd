"""A study from its file to its reading."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from joblib import cpu_count

from netcaliper.errors import InputError, StudyError
from netcaliper.study.cell import Cell
from netcaliper.study.driver import Run, Standing, Watch
from netcaliper.study.engines.engine import Engine, InProcess, Local
from netcaliper.study.file.grid import cells
from netcaliper.study.file.schema import load_study
from netcaliper.study.file.study import Study
from netcaliper.study.folder import asked_now, prepare
from netcaliper.study.place import FOLDER

if TYPE_CHECKING:
    from netcaliper.reading.study import StudyReading

ENGINES = ("local", "process", "ray")


def run_study(
    path: str | Path,
    scale: str = "tiny",
    *,
    out: str | Path | None = None,
    workers: int | None = None,
    threads: int = 1,
    engine: str = "local",
    address: str | None = None,
    num_gpus: float = 0.0,
    folders: Mapping[str, str] | None = None,
    shard: str = "1/1",
    retry: bool = False,
    yes: bool = False,
) -> "StudyReading":
    """Train the grid of a study, read every network, and test its claims; cells that are done are not computed again.

    Args:
        path: a study file (see ``docs/studies.md``).
        scale: a key of its ``scales``.
        out: the study's folder; ``NAME-SCALE`` in the current directory if not given.
        workers: processes; as many as there are processor cores for their threads if not given.
        threads: of every worker.
        engine: ``"local"`` (a pool of processes), ``"process"`` (this one, for debugging) or ``"ray"``.
        address: of a running Ray cluster; a new one on this machine if not given.
        num_gpus: of every cell, on a Ray cluster.
        folders: by name of a data set the folder that holds it.
        shard: ``"I/N"``: only the I-th of N parts, for N runs side by side.
        retry: also compute cells that have failed.
        yes: also compute a grid larger than the limit of the scale.

    Returns:
        The verdicts on the claims with all that they rest on; cells that failed are counted in it.

    Raises:
        StudyError: the file cannot be used, the grid is larger than its limit, or the cluster does not answer; the
            message has the remedy.
        InputError: an argument that is not understood.
        ReadingError: the folder cannot be written or read. What is done stays, and the same call goes on.
    """
    from netcaliper.study.report import study_reading

    study = load_study(path, scale, folders)
    root = Path(out) if out is not None else Path(f"{study.name}-{study.scale}")
    used = made_engine(engine, workers, threads, address=address, num_gpus=num_gpus)
    run_cells(study, Path(path), root, used, folders=folders, threads=threads, shard=shard, retry=retry, yes=yes)
    return study_reading(study, root)


def run_cells(
    study: Study,
    path: Path,
    root: Path,
    engine: Engine,
    *,
    folders: Mapping[str, str] | None = None,
    threads: int = 1,
    shard: str = "1/1",
    retry: bool = False,
    yes: bool = False,
    watch: Watch = lambda standing: None,
) -> Standing:
    """Compute the cells of a study that are not done.

    Arguments and errors are those of ``run_study``; ``watch`` is called when something has changed.
    """
    part = read_shard(shard)
    asked = cells(study)
    number = len({cell.name for cell in asked})
    if number > study.limit and not yes:
        raise StudyError(
            f"{path}: the scale {study.scale!r} asks for {number} cells, and above {study.limit} that is asked first; "
            "give --yes (in Python `yes=True`), or a smaller scale."
        )
    data = data_folders(study, asked)
    prepare(root, path.read_bytes(), asked_now(study, path, root, folders or {}, large=number > study.limit))
    # In this process the caller's threads are left as they are.
    pinned = 0 if isinstance(engine, InProcess) else threads
    run = Run(root, engine, folders=data, threads=pinned, shard=part, retry=retry, watch=watch)
    return run(asked)


def made_engine(
    name: str, workers: int | None = None, threads: int = 1, *, address: str | None = None, num_gpus: float = 0.0
) -> Engine:
    """Return an engine by its name.

    Args:
        name: one of ``ENGINES``.
        workers: processes; as many as there are processor cores for their threads if not given.
        threads: of every worker.
        address: of a running Ray cluster; a new one on this machine if not given.
        num_gpus: of every cell, on a Ray cluster.

    Raises:
        InputError: there is no such engine, or not with these arguments.
    """
    for argument, value in (("workers", workers), ("threads", threads)):
        if value is not None and value < 1:
            raise InputError(f"`{argument}` must be at least 1, got {value}.")
    if name not in ENGINES:
        raise InputError(f"`engine` = {name!r} is not known; use one of: {', '.join(ENGINES)}.")
    if name == "ray":
        from netcaliper.study.engines.ray_engine import RayEngine

        return RayEngine(address, workers=workers, num_gpus=num_gpus, threads=threads)
    if address is not None or num_gpus:
        raise InputError(
            f"`address` and `num_gpus` belong to a Ray cluster, got `engine` = {name!r}; add --engine ray."
        )
    if name == "process":
        return InProcess()
    return Local(workers or max(1, cpu_count() // threads), threads)


def read_shard(text: str) -> tuple[int, int]:
    """Read ``I/N``, counted from 1.

    Raises:
        InputError: it is none.
    """
    first, _, last = text.partition("/")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise InputError(f"`shard` must be I/N with I from 1 to N, e.g. 2/4, got {text!r}.")
    return int(first), int(last)


def data_folders(study: Study, asked: Iterable[Cell]) -> dict[str, str]:
    """Return, by data spec with ``{folder}`` unfilled, the folders of the data that the cells read.

    Raises:
        StudyError: one is not given or not there.
    """
    used = {cell.configuration["data"]["spec"] for cell in asked if cell.kind == "train"}
    found: dict[str, str] = {}
    for name, data in study.data.items():
        if FOLDER not in data.spec or data.spec not in used:
            continue
        if data.folder is None:
            raise StudyError(f'`data.{name}` needs a folder; add `folder = "DIR"`, or give --folder {name}=DIR.')
        folder = Path(data.folder).expanduser().absolute()
        if not folder.exists():
            raise StudyError(f"`data.{name}`: there is no folder {data.folder!r}; give --folder {name}=DIR.")
        found[data.spec] = str(folder)
    return found
