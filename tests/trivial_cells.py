"""Cells that take no time: what an engine, a driver and a table do with them is seen without any network.

In ``faults`` beside the folder of a study a test leaves, by seed of a training, what shall happen.
As a script, ``trivial_cells.py FILE OUT``, it is a driver that can be killed.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from netcaliper.study.driver import Run
from netcaliper.study.engines.engine import InProcess, Local
from netcaliper.study.file.grid import cells
from netcaliper.study.file.schema import parse_study

RUNNER = "trivial_cells:run_cell"

STUDY = """
title = "Trivial"
[data.digits]
spec = "digits"
[families.mlp]
model = "zoo:mlp"
data = "digits"
recipe = { epochs = 2 }
[families.mlp.axes]
seed = [0, 1, 2]
width = ["arguments.width", [1, 2]]
[bends.late]
of = "mlp"
start = 1
omega = 0.5
penalty = 1
final = 1
[bends.late.axes]
choose = ["choose", ["random", "learned"]]
[comparisons.across]
of = ["mlp"]
read.compare = {}
[scales.tiny]
[scales.one]
comparisons.across = false
bends.late = false
[scales.one.families.mlp.axes]
seed = [0]
[scales.many.families.mlp.axes]
seed = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
"""


def parsed(scale="tiny", text=STUDY):
    """Return a study of trivial cells."""
    return parse_study(text, Path("trivial.toml"), name="trivial", scale=scale)


def run(root, study=None, engine=None, **how):
    """Compute the trivial cells of a study."""
    return Run(root, engine or InProcess(), runner=RUNNER, **how)(cells(study or parsed()))


def exported(root, study=None):
    """Return the bytes of the table in both formats."""
    from netcaliper.study.table import export, table  # not in every worker: pandas takes a while to load

    frame = table(study or parsed(), root)
    for ending in ("csv", "parquet"):
        export(frame, root / f"table.{ending}", replace=True)
    return tuple((root / f"table.{ending}").read_bytes() for ending in ("csv", "parquet"))


def run_cell(kind, configuration, place):
    """Leave two rows of a training, one of a bending or comparison; they follow from what the cell stands on."""
    seed = configuration.get("seed")
    place.tell(0.25, "epoch 1 of 2")
    _fault(place.folder.parents[2] / "faults" / f"{seed}")
    below = [json.loads((need / "kept.json").read_text())["value"] for need in place.needs]
    width = configuration.get("arguments", {}).get("width", 0)
    value = sum(below) + (seed or 0) + configuration.get("omega", 0.0) + width
    (place.folder / "kept.json").write_text(json.dumps({"value": value}))
    if kind == "train":
        return [
            {"epoch": 1, "final": False, "loss": 1 / (1 + value)},
            {"epoch": 2, "final": True, "loss": float("nan"), "units": 3},
        ]
    return [{"epoch": None if kind == "compare" else 4, "final": True, "value": value, "status": "ok"}]


def environment(*_):
    """Say in which process a cell is computed."""
    return [{"pid": os.getpid(), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")}]


def _fault(file):
    if not file.is_file():
        return
    match file.read_text().split():
        case ["fail"]:
            raise ValueError(f"seed {file.name} fails")
        case ["sleep", seconds]:
            time.sleep(float(seconds))
        case ["die", times]:
            left = int(times) - 1
            file.write_text(f"die {left}") if left else file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        case ["end"]:
            file.unlink()
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        case ["full"]:
            raise OSError(28, "No space left on device")
        case ["interrupt"]:
            raise KeyboardInterrupt


if __name__ == "__main__":
    run(Path(sys.argv[2]), parsed(sys.argv[1]), Local(2))
