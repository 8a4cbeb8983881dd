"""``netcaliper study``: a grid of trainings with its readings and claims, run, looked at and exported."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from netcaliper.cli.options import Json, Replace
from netcaliper.cli.printing import note, say, say_json
from netcaliper.cli.study_report import study_report
from netcaliper.errors import InputError
from netcaliper.reading.numerals import plural

if TYPE_CHECKING:
    from netcaliper.study.driver import Standing, Watch
    from netcaliper.study.status import FamilyStatus, Status

SHOWN = 5
"""Cells of a kind that are shown one by one."""

study = typer.Typer(no_args_is_help=True, help="A paper as a grid of trainings, their readings and tested claims.")

Folder = Annotated[Path, typer.Argument(help="Folder that `study run` wrote.", metavar="DIR")]


@study.command()
def run(
    file: Annotated[Path, typer.Argument(help="A study file (TOML).", metavar="FILE")],
    scale: Annotated[str, typer.Option(help="Which of its scales.")] = "tiny",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Its folder.", show_default="NAME-SCALE")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes.", min=1, show_default="processor cores / threads")
    ] = None,
    threads: Annotated[int, typer.Option(help="Of every process.", min=1)] = 1,
    engine: Annotated[
        Literal["local", "process", "ray"], typer.Option(help="A pool of processes, this process, or a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster.", show_default="a new one on this machine")
    ] = None,
    num_gpus: Annotated[float, typer.Option(help="Of every cell, on a Ray cluster.", min=0)] = 0.0,
    shard: Annotated[
        str, typer.Option(help="Only the I-th of N parts, for N runs side by side (a batch scheduler).", metavar="I/N")
    ] = "1/1",
    retry: Annotated[bool, typer.Option("--retry", help="Also compute cells that have failed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Also compute a grid above the limit of its scale.")] = False,
    folder: Annotated[
        list[str] | None, typer.Option(help="Where a data set of the file lies; may be repeated.", metavar="NAME=DIR")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute the cells of a study that are not done.

    Stop it whenever you like, or let the machine do so: the same command goes on, and loses at most the epoch of each
    training that ran. Exit code 1 if cells failed; --retry computes them again.
    """
    from netcaliper.study.file.schema import load_study
    from netcaliper.study.run import made_engine, run_cells

    folders = dict(_named(text) for text in folder or ())
    asked = load_study(file, scale, folders)
    root = out or Path(f"{asked.name}-{asked.scale}")
    used = made_engine(engine, workers, threads, address=address, num_gpus=num_gpus)
    with _bar(root) as watch:
        standing = run_cells(
            asked,
            file,
            root,
            used,
            folders=folders,
            threads=threads,
            shard=shard,
            retry=retry,
            yes=yes,
            watch=watch,
        )
    _tell(standing, root, as_json=as_json)
    if standing.failed:
        raise typer.Exit(1)


@study.command()
def status(root: Folder, as_json: Json = False) -> None:
    """Show how far a study is: by family the cells that are done, running, failed and missing."""
    from netcaliper.study.folder import asked_of, open_study
    from netcaliper.study.status import status_of

    asked = asked_of(root)
    found = status_of(open_study(root), root)
    if as_json:
        say_json({"study": asked.name, "scale": asked.scale} | _status_facts(found))
        return
    say(f"{asked.name}, scale {asked.scale}: {plural(found.cells, 'cell')}", "", _status_table(found))
    for one in found.families:
        say(*_lines(one))
    if found.unasked:
        say(
            "",
            f"{plural(found.unasked, 'cell')} in the folder that the study file no longer asks for: left alone, and "
            "not in the table",
        )


@study.command()
def export(
    root: Folder,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="TABLE.parquet or TABLE.csv.")],
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Write the rows of all cells that are done as one table."""
    from netcaliper.study.folder import open_study
    from netcaliper.study.table import export as write
    from netcaliper.study.table import table

    frame = table(open_study(root), root)
    write(frame, out, replace=replace)
    if as_json:
        say_json({"table": str(out), "rows": len(frame), "columns": list(frame.columns)})
        return
    say(f"table: {out} ({plural(len(frame), 'row')}, {plural(len(frame.columns), 'column')})")


study.command(name="report")(study_report)


def _named(text: str) -> tuple[str, str]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise InputError(f"`--folder` must be NAME=DIR, got {text!r}.")
    return name, folder


@contextmanager
def _bar(root: Path) -> Iterator["Watch"]:
    """Show the cells that are done, and how far those are that run, on a terminal."""
    import threading

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from netcaliper.study.cell_folder import cell_folder, state_of

    console = Console(stderr=True)
    columns = (TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[words]}", markup=False))
    latest: list[Standing] = []
    ended = threading.Event()
    with Progress(
        *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal, transient=True
    ) as bar:
        task = bar.add_task("cells", total=None, words="")

        def look() -> None:
            while not ended.wait(0.5):
                if not latest:
                    continue
                standing = latest[0]
                # The engine begins them in this order, so that those that run are among the first.
                first = islice(list(standing.open), 4 * SHOWN)
                states = [state for name in first if (state := state_of(cell_folder(root, name))).status == "running"]
                words = "; ".join(state.words or "starting" for state in states[:SHOWN])
                share = sum(state.share for state in states)
                ended_ = len(standing.done) + len(standing.failed)
                failed = f"{len(standing.failed)} failed; " if standing.failed else ""
                bar.update(task, total=standing.total, completed=ended_ + share, words=failed + words)

        def watch(standing: "Standing") -> None:
            latest[:] = [standing]

        thread = threading.Thread(target=look, daemon=True)
        if console.is_terminal:
            thread.start()
        try:
            yield watch
        finally:
            ended.set()


def _tell(standing: "Standing", root: Path, *, as_json: bool) -> None:
    parts = {
        "cells": standing.total,
        "done": len(standing.done),
        "computed": standing.computed,
        "failed": len(standing.failed),
        "elsewhere": len(standing.elsewhere),
        "waiting": len(standing.waiting),
        "other_shards": len(standing.other_shards),
    }
    if as_json:
        say_json({"folder": str(root), **parts, "errors": standing.failed})
        return
    say(f"{parts['done']} of {plural(parts['cells'], 'cell')} done, {parts['computed']} of them now: {root}")
    reasons = {
        "failed": "failed: --retry computes them again",
        "elsewhere": "another process works on them",
        "waiting": "stand on cells that are not done",
        "other_shards": "belong to other shards",
    }
    for name, words in reasons.items():
        if parts[name]:
            say(f"  {plural(parts[name], 'cell')}: {words}")
    for name, error in islice(standing.failed.items(), SHOWN):
        note(f"  {name}: {error}")
    say("", "next:", f"  netcaliper study report {root}")


def _status_facts(found: "Status") -> dict[str, Any]:
    families = [
        {"kind": one.kind, "family": one.family, "cells": one.cells, **one.counts}
        | {"running_cells": one.running, "failed_cells": one.failed}
        for one in found.families
    ]
    return {"cells": found.cells, "unasked": found.unasked, "families": families}


def _status_table(found: "Status") -> Any:
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD)
    drawn.add_column("family")
    for name in ("cells", "done", "running", "failed", "missing"):
        drawn.add_column(name, justify="right")
    for one in found.families:
        counts = one.counts
        # A cell that was begun and left is computed by the next run, as one that was never begun.
        missing = counts["missing"] + counts["begun"]
        numbers = (one.cells, counts["done"], counts["running"], counts["failed"], missing)
        drawn.add_row(f"{one.family} ({one.kind})", *map(str, numbers))
    return drawn


def _lines(one: "FamilyStatus") -> list[str]:
    """Return a line for each cell that runs or has failed, as far as there is room."""
    lines = [
        f"  running {_point(cell)}: {cell['words'] or 'starting'}, {cell['share']:.0%}" for cell in one.running[:SHOWN]
    ]
    lines += [f"  failed  {_point(cell)} ({cell['cell']}): {cell['error']}" for cell in one.failed[:SHOWN]]
    left = max(0, len(one.running) - SHOWN) + max(0, len(one.failed) - SHOWN)
    return [f"{one.family}:", *lines, *([f"  and {left} more"] if left else [])] if lines else []


def _point(cell: dict[str, Any]) -> str:
    return ", ".join(f"{column} {value}" for column, value in cell["columns"].items())
