"""Fifty kills: a study of real trainings whose drivers, workers and Ray nodes are killed at random moments.

Each round is the same small study of digits (trainings, bends, a comparison; seconds a cell), in a fresh folder, driven
by ``netcaliper study run``. At a random moment the driver, one of its workers, or a node of a Ray cluster of two nodes
(with the cells on it) gets SIGKILL; then the same command is given again, until the round is done and the next begins.
After fifty kills the last round is finished, and the table of every round is compared with that of one undisturbed run
in a single process: the same bytes, parquet and csv.

    OMP_NUM_THREADS=1 python benchmarks/study_kills.py
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import table

STUDY = """
title = "Digits"
[data.digits]
spec = "digits"
[families.cnn]
model = "zoo:cnn"
arguments = { widths = [8, 16] }
data = "digits"
recipe = { epochs = 12, optimizer = "sgd", learning_rate = 0.05 }
batch_size = 64
[families.cnn.axes]
seed = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
width = ["arguments.width", [1, 2]]
[families.cnn.read.width]
only = ["unit_states", "redundant"]
examples = 200
[bends.late]
of = "cnn"
start = 6
omega = 0.01
penalty = 4
final = 2
[bends.late.axes]
choose = ["choose", ["learned", "random"]]
[comparisons.seeds]
of = ["cnn"]
across = "seed"
[comparisons.seeds.read.compare]
examples = 200
passes = 1
batch = 64
[scales.tiny]
"""
KILLS = ["driver"] * 20 + ["worker"] * 20 + ["Ray node"] * 10
FOLDER = table.ROOT / "out" / "study_kills"
LONGEST = 20.0
"""Seconds after which a kill comes at the latest, counted from the moment when a cell is being computed."""


def command(root: Path, *more: str) -> list[str]:
    """Return the command that computes the study in a folder."""
    return [
        *(sys.executable, "-m", "netcaliper", "study", "run", str(FOLDER / "digits.toml"), "--scale", "tiny"),
        *("-o", str(root), "--workers", "2", *more),
    ]


def exported(root: Path) -> tuple[bytes, bytes]:
    """Return the bytes of the table."""
    found = []
    for ending in ("csv", "parquet"):
        file = root / f"table.{ending}"
        file.unlink(missing_ok=True)
        subprocess.run(
            [sys.executable, "-m", "netcaliper", "study", "export", str(root), "-o", str(file)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        found.append(file.read_bytes())
    return found[0], found[1]


def cells(root: Path, file: str) -> set[str]:
    """Return the names of the cells that hold a file."""
    return {found.parent.name for found in root.glob(f"cells/*/{file}")}


def begun_after(root: Path, moment: float) -> bool:
    """Tell whether a cell was begun after a moment and is not done."""
    for name in cells(root, "started.json") - cells(root, "DONE"):
        if (root / "cells" / name / "started.json").stat().st_mtime > moment:
            return True
    return False


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(one) for one in task.read_text().split()]
    return found


def workers(pid: int) -> list[int]:
    """Return the processes of a pool that compute cells."""
    return [one for one in children(pid) if b"loky" in Path(f"/proc/{one}/cmdline").read_bytes()]


class Cluster:
    """A Ray cluster of two nodes on this machine; it is started when it is needed first."""

    def __init__(self) -> None:
        self.cluster: Any = None

    @property
    def address(self) -> str:
        """Return where a driver finds it."""
        if self.cluster is None:
            from ray.cluster_utils import Cluster as RayCluster

            own = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
            self.cluster = RayCluster(initialize_head=True, head_node_args=own)
            self.cluster.add_node(**own)
            self.cluster.wait_for_nodes(timeout=120)
        return self.cluster.address

    def kill_a_node(self) -> None:
        """Kill the node that is not the head, and start another one."""
        (node,) = self.cluster.worker_nodes
        self.cluster.remove_node(node, allow_graceful=False)
        self.cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)

    def end(self) -> None:
        """Shut it down."""
        if self.cluster is not None:
            self.cluster.shutdown()


def struck(root: Path, victim: str, cluster: Cluster, draw: random.Random) -> str:
    """Start the driver, kill the victim at a random moment, and say what had been begun by then."""
    more = ("--engine", "ray", "--address", cluster.address) if victim == "Ray node" else ()
    moment = time.time()
    driver = subprocess.Popen(command(root, *more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while driver.poll() is None and not begun_after(root, moment):
        time.sleep(0.02)
    end = time.monotonic() + draw.uniform(0, LONGEST)
    while driver.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    if driver.poll() is not None:
        return "too late: all was done"
    done = len(cells(root, "DONE"))
    if victim == "Ray node":
        cluster.kill_a_node()
    else:
        chosen = driver.pid if victim == "driver" else draw.choice(workers(driver.pid) or [driver.pid])
        os.kill(chosen, signal.SIGKILL)
    if victim == "driver":
        driver.wait()
    elif draw.random() < 0.9:  # a driver that has lost a worker or a node goes on; most are ended some time later, too
        time.sleep(draw.uniform(0, 8))
        driver.kill()
    driver.wait()
    return f"{done} cells done"


def main() -> None:
    """Kill, resume and compare."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    (FOLDER / "digits.toml").write_text(STUDY)
    whole = FOLDER / "whole"
    subprocess.run([*command(whole)[:-2], "--engine", "process"], check=True, stdout=subprocess.DEVNULL)
    expected, all_cells = exported(whole), len(cells(whole, "DONE"))
    draw, cluster = random.Random(0), Cluster()
    left = draw.sample(KILLS, len(KILLS))
    struck_at: list[dict[str, Any]] = []
    rounds: list[bool] = []
    attempts: Counter[int] = Counter()
    while left:
        root = FOLDER / f"round-{len(rounds)}"
        while left and len(cells(root, "DONE")) < all_cells:
            said = struck(root, left[0], cluster, draw)
            if said.startswith("too late"):
                break
            struck_at.append({"killed": left.pop(0), "round": len(rounds), "by then": said})
            print(json.dumps(struck_at[-1]), file=sys.stderr, flush=True)
        subprocess.run(command(root), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        rounds.append(exported(root) == expected)
        attempts.update(json.loads(file.read_text())["attempts"] for file in root.glob("cells/*/cost.json"))
        print(f"round {len(rounds)}: {'equal' if rounds[-1] else 'DIFFERENT'}", file=sys.stderr, flush=True)
    cluster.end()
    table.write(
        __file__,
        {
            "cells": all_cells,
            "kills": dict(Counter(one["killed"] for one in struck_at)),
            "rounds": len(rounds),
            "rounds with the table of the undisturbed run, byte for byte": sum(rounds),
            "cells by number of attempts": {str(count): attempts[count] for count in sorted(attempts)},
            "each": struck_at,
        },
    )
    sys.exit(not all(rounds))


if __name__ == "__main__":
    main()
