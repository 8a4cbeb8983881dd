"""The folder of a small study whose cells nobody trained: their rows are planted."""

from pathlib import Path

from netcaliper.study.cell_folder import cell_folder, fail, finish
from netcaliper.study.file.grid import cells
from netcaliper.study.file.study import Study
from netcaliper.study.folder import Asked, open_study, prepare

TEXT = """\
title = "Does it grow?"
paper = "Nobody et al., 2021"

[data.digits]
spec = "digits"

[families.mlp]
model = "zoo:mlp"
arguments = { inputs = 64, classes = 10 }
data = "digits"
recipe = { epochs = 2 }

[families.mlp.axes]
seed = [0, 1, 2]
width = { 8 = { "arguments.widths" = [8] }, 16 = { "arguments.widths" = [16] }, 32 = { "arguments.widths" = [32] } }

[[claims]]
name = "grows"
sentence = "It grows faster than the width."
statistic = "growth"
column = "prunable_units"
along = "width"
where = { family = "mlp" }
above = 2.0

[[figures]]
name = "growth"
title = "Growth"
kind = "lines"
x = "width"
y = "prunable_units"
log = ["x", "y"]

[scales.tiny]
"""


def made_folder(root: Path, *, failed: int = 0, missing: int = 0) -> Study:
    """Write the folder; the last cells are failed or missing."""
    prepare(root, TEXT.encode(), Asked("grows", "tiny", {}, ("netcaliper", "study", "run", "grows.toml")))
    study = open_study(root)
    asked = cells(study)
    for number, cell in enumerate(asked):
        folder = cell_folder(root, cell.name)
        left = len(asked) - number
        if left <= missing:
            continue
        folder.mkdir(parents=True)
        if left <= missing + failed:
            fail(folder, "Diverged: the loss is no longer finite", "Traceback ...", attempts=1)
            continue
        width, seed = cell.columns["width"], cell.columns["seed"]
        rows = [
            {
                "epoch": epoch,
                "final": epoch == 2,
                "test_accuracy": 0.9,
                "prunable_units": width**1.5 * (1 + 0.01 * seed),
            }
            for epoch in (0, 2)
        ]
        finish(folder, rows, {"seconds": 1.0})
    return study
