"""What a study costs beside its cells: overhead, workers against threads, and a thousand cells.

- *Overhead*: cells of ten seconds each that only wait, on two workers of the local pool, of a Ray cluster and in this
  process; wall time over what the cells themselves take. Workers have started before (one round of cells that take no
  time); so has the cluster.
- *Workers*: eight trainings of a CNN on digits, by one worker with one thread, one with two threads, two with one
  thread each; all have loaded torch before. Ratios of wall times, medians
  of three rounds in this run.
- *A thousand cells*: trivial cells in grids of 125 to 1,000; the exponent of wall time in cells.

    python benchmarks/study_engines.py
"""

import shutil
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import table  # first: puts tests on the path

from netcaliper.study.driver import Run
from netcaliper.study.engines.engine import Engine, InProcess, Local
from netcaliper.study.engines.ray_engine import RayEngine
from netcaliper.study.file.grid import cells
from netcaliper.study.file.schema import parse_study
from trivial_cells import RUNNER

FOLDER = table.ROOT / "out" / "study_engines"
SECONDS, WAITING, ROUNDS = 10.0, 6, 3
GRIDS = (125, 250, 500, 1000)
TRIVIAL = """
title = "Trivial"
[data.digits]
spec = "digits"
[families.mlp]
model = "zoo:mlp"
data = "digits"
recipe = {{ epochs = 1 }}
[families.mlp.axes]
seed = {seeds}
[scales.tiny]
limit = 2000
"""
TRAININGS = """
title = "Trainings"
[data.digits]
spec = "digits"
[families.cnn]
model = "zoo:cnn"
arguments = { widths = [32, 64, 128] }
data = "digits"
batch_size = 128
recipe = { epochs = 20, optimizer = "sgd", learning_rate = 0.05 }
[families.cnn.axes]
seed = [0, 1, 2, 3, 4, 5, 6, 7]
[scales.tiny]
"""


def timed(name: str, text: str, engine: Engine, runner: str | None, *, threads: int = 1) -> float:
    """Compute a study in a fresh folder and return its wall time."""
    root = FOLDER / name / "out"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    study = parse_study(text, Path("study.toml"), name=name, scale="tiny")
    how: dict[str, Any] = {} if runner is None else {"runner": runner}
    began = time.perf_counter()
    standing = Run(root, engine, threads=threads, **how)(cells(study))
    assert len(standing.done) == standing.total, standing.failed
    return time.perf_counter() - began


def walls() -> dict[str, float]:
    """Return wall times of the trainings, medians over rounds in which every kind of pool has its turn."""
    pools = {
        "1 worker, 1 thread": (1, 1),
        "1 worker, 2 threads": (1, 2),
        "2 workers, 1 thread each": (2, 1),
    }
    found: dict[str, list[float]] = {name: [] for name in pools}
    for _ in range(ROUNDS):
        for name, (workers, threads) in pools.items():
            engine = Local(workers, threads)
            timed("warm", TRAININGS.replace("epochs = 20", "epochs = 1"), engine, None, threads=threads)
            found[name].append(timed("trained", TRAININGS, engine, None, threads=threads))
    return {name: median(times) for name, times in found.items()}


def waiting(seconds: float) -> str:
    """Return a study of cells that wait so long."""
    for seed in range(WAITING):
        file = FOLDER / "wait" / "faults" / str(seed)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"sleep {seconds}")
    return TRIVIAL.format(seeds=list(range(WAITING)))


def overhead(engine: Engine, at_once: int) -> float:
    """Return the share of wall time that is not the cells' own."""
    timed("warm", TRIVIAL.format(seeds=list(range(4))), engine, RUNNER)
    return timed("wait", waiting(SECONDS), engine, RUNNER) / (SECONDS * WAITING / at_once) - 1


def main() -> None:
    """Measure, and write the table."""
    found: dict[str, Any] = {}
    engines: dict[str, tuple[Engine, int]] = {
        "local pool, 2 workers": (Local(2), 2),
        "Ray, 2 workers": (RayEngine(workers=2), 2),
        "this process": (InProcess(), 1),
    }
    found["overhead on cells of 10 s"] = {
        name: round(overhead(engine, at_once), 4) for name, (engine, at_once) in engines.items()
    }
    print(found, file=sys.stderr, flush=True)
    times = walls()
    two = times["2 workers, 1 thread each"]
    found["two workers of one thread are so many times as fast as"] = {
        name: round(wall / two, 3) for name, wall in times.items() if wall is not two
    }
    print(found, file=sys.stderr, flush=True)
    pool = Local(2)
    timed("warm", TRIVIAL.format(seeds=list(range(4))), pool, RUNNER)
    many = [timed(f"many-{count}", TRIVIAL.format(seeds=list(range(count))), pool, RUNNER) for count in GRIDS]
    found["trivial cells"] = {
        "cells": list(GRIDS),
        "wall time over that of the smallest grid": [round(one / many[0], 2) for one in many],
        "exponent": round(float(np.polyfit(np.log(GRIDS), np.log(many), 1)[0]), 2),
    }
    table.write(__file__, found | {"bounds": {"overhead": 0.05, "two workers": 1.6, "against two threads": 1.0}})


if __name__ == "__main__":
    main()
