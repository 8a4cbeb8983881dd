"""A study that is made in several sittings."""

import shutil

from benchmark_script import imported
from netcaliper.study.cell import Cell
from netcaliper.study.cell_folder import CELL, cell_folder, is_done
from netcaliper.study.file.grid import cells
from netcaliper.study.folder import open_study
from netcaliper.study.table import table
from study_folders import made_folder


def test_a_later_sitting_has_the_table_of_the_first(tmp_path):
    root, file = tmp_path / "grows-tiny", tmp_path / "results" / "cells.jsonl"
    study = made_folder(root, missing=1)
    asked = cells(study)
    for cell in asked[:-1]:
        (cell_folder(root, cell.name) / CELL).write_text('{"schema": 1}')
    before = table(study, root)
    with imported("study_sittings") as script:
        assert script.keep(asked, root, file) == len(asked) - 1
        shutil.rmtree(root / "cells")
        assert script.restore(asked, root, file) == len(asked) - 1
        assert script.keep(asked, root, file) == len(asked) - 1
    assert table(open_study(root), root).equals(before)
    assert not is_done(cell_folder(root, asked[-1].name))


def test_what_is_still_needed_is_computed_again(tmp_path):
    root, file = tmp_path / "study", tmp_path / "cells.jsonl"
    trained = Cell("train", "net", {}, {"seed": 0})
    learned = Cell("bend", "bent", {}, {"choose": "learned"}, (trained.name,))
    random = Cell("bend", "bent", {}, {"choose": "random"}, (trained.name, learned.name))
    other = Cell("train", "net", {}, {"seed": 1})
    made_folder(root)
    for cell in (trained, learned, other):
        shutil.copytree(next((root / "cells").iterdir()), cell_folder(root, cell.name))
        (cell_folder(root, cell.name) / CELL).write_text('{"schema": 1}')
    asked = (trained, other, learned, random)
    with imported("study_sittings") as script:
        assert script.keep(asked, root, file) == 3
        shutil.rmtree(root / "cells")
        assert script.restore(asked, root, file) == 1
    assert [is_done(cell_folder(root, cell.name)) for cell in asked] == [False, True, False, False]
