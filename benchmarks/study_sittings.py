"""A study in several sittings: the rows of its done cells, kept in one file beside its results.

The folder of a study holds checkpoints, and may not outlast the machine. What its table is made of is small: ``keep``
writes it to ``results/studies/NAME-SCALE/cells.jsonl``, a line a cell, and ``restore`` puts it back, but for cells
on which something stands that is still to be computed (a network that is still to be bent needs its weights). To lose
little, run whole shards: ``netcaliper study run ... --shard 1/3`` computes trainings with all that stands on them.
Figures that are drawn from whole readings (similarity maps) show the cells of the last sitting only.

    python benchmarks/study_sittings.py restore studies/nonlinear_advantage.toml small
    netcaliper study run studies/nonlinear_advantage.toml --scale small -o out/studies/nonlinear_advantage-small
    python benchmarks/study_sittings.py keep studies/nonlinear_advantage.toml small
"""

import argparse
import json
import os
from collections.abc import Iterable
from pathlib import Path

import table

from netcaliper.reading.whole_file import write_whole
from netcaliper.study.cell import Cell
from netcaliper.study.cell_folder import CELL, COST, DONE, ROWS, cell_folder, is_done
from netcaliper.study.file.grid import cells
from netcaliper.study.file.schema import load_study
from netcaliper.study.folder import asked_now, prepare

PARTS = (CELL, ROWS, COST, DONE)  # DONE last, as the cell itself writes it


def keep(asked: Iterable[Cell], root: Path, file: Path) -> int:
    """Add the cells that are done to those that are kept, and return how many are kept."""
    names = {cell.name for cell in asked}
    kept = {name: parts for name, parts in read(file).items() if name in names}
    for name in names:
        folder = cell_folder(root, name)
        if is_done(folder):
            kept[name] = {part: (folder / part).read_text(encoding="utf-8") for part in PARTS}
    lines = [json.dumps({"name": name, **kept[name]}) + "\n" for name in sorted(kept)]
    write_whole(file, "".join(lines).encode())
    return len(kept)


def restore(asked: Iterable[Cell], root: Path, file: Path) -> int:
    """Put back what nothing that is still to be computed stands on, and return how many cells that is."""
    kept, asked = read(file), list(asked)
    open_ = {cell.name for cell in asked} - kept.keys()
    for cell in reversed(asked):  # what a cell stands on comes before it
        if cell.name in open_:
            open_.update(cell.needs)
    back = [name for name in dict.fromkeys(cell.name for cell in asked) if name not in open_]
    for name in back:
        folder = cell_folder(root, name)
        for part in PARTS if not is_done(folder) else ():
            write_whole(folder / part, kept[name][part].encode())
    return len(back)


def read(file: Path) -> dict[str, dict[str, str]]:
    """Return the parts of every cell that is kept, by its name."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {one.pop("name"): one for one in map(json.loads, lines)}


def main() -> None:
    """Keep or restore the cells of a study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("do", choices=("keep", "restore"))
    parser.add_argument("study", type=Path)
    parser.add_argument("scale")
    given = parser.parse_args()
    study = load_study(given.study, given.scale)
    name = f"{study.name}-{study.scale}"
    root, file = (table.ROOT / part / "studies" / name for part in ("out", "results"))
    file /= "cells.jsonl"
    prepare(root, given.study.read_bytes(), asked_now(study, given.study, Path(os.path.relpath(root)), {}))
    number = (keep if given.do == "keep" else restore)(cells(study), root, file)
    print(
        f"{name}: {number} cells {'kept in ' + str(file.relative_to(table.ROOT)) if given.do == 'keep' else 'put back'}"
    )


if __name__ == "__main__":
    main()
