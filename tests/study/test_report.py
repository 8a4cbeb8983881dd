import subprocess
import sys

import pytest

from netcaliper.errors import InputError
from netcaliper.reading.study_file import study_bytes
from netcaliper.study.cell_folder import cell_folder
from netcaliper.study.report import study_reading
from study_folders import made_folder


def test_a_study_is_read_from_its_folder(tmp_path):
    reading = study_reading(made_folder(tmp_path), tmp_path)
    assert (reading.name, reading.scale, reading.command) == ("grows", "tiny", "netcaliper study run grows.toml")
    assert reading.counted("done") == 9
    (claim,) = reading.claims
    assert claim.verdict == "holds"
    assert claim.effect is not None
    assert claim.effect.value == pytest.approx(2**1.5)
    assert [point.x for point in reading.figures[0].points] == [8, 16, 32]
    first = reading.cells[0]
    assert first.numbers["test_accuracy"] == 0.9
    assert first.numbers["prunable_units"] == pytest.approx(8**1.5)
    assert "width" not in first.numbers
    assert study_bytes(study_reading(made_folder(tmp_path / "again"), tmp_path / "again")) == study_bytes(reading)


def test_cells_that_failed_or_are_missing_are_told_and_counted(tmp_path):
    reading = study_reading(made_folder(tmp_path, failed=1, missing=1), tmp_path)
    assert [reading.counted(status) for status in ("done", "failed", "missing")] == [7, 1, 1]
    failed = next(cell for cell in reading.cells if cell.status == "failed")
    assert failed.error == "Diverged: the loss is no longer finite"
    (claim,) = reading.claims
    assert claim.verdict == "undecided"
    assert claim.reason is not None
    assert claim.reason.startswith("1 of 9 cells is not computed yet; 1 of 9 cells failed; 2 repetitions")
    assert claim.left_out == ("seed 2: 2 of 3 cells not done",)
    assert claim.effect is not None
    assert claim.repetitions == 2


def test_a_cell_that_somebody_works_on_is_not_there_yet(tmp_path):
    study = made_folder(tmp_path, missing=1)
    name = study_reading(study, tmp_path).cells[-1].name
    folder = cell_folder(tmp_path, name)
    folder.mkdir()
    (folder / "started.json").write_text('{"attempts": 1}')
    assert study_reading(study, tmp_path).cells[-1].status == "missing"


def test_a_folder_that_holds_no_study_is_refused(tmp_path):
    study = made_folder(tmp_path / "one")
    with pytest.raises(InputError, match="not the folder of a study"):
        study_reading(study, tmp_path)


def test_nothing_of_it_loads_torch(tmp_path):
    made_folder(tmp_path)
    script = (
        "import sys; from pathlib import Path; from netcaliper.study.folder import open_study; "
        "from netcaliper.study.report import study_reading; from netcaliper.report.study_page import render; "
        f"root = Path({str(tmp_path)!r}); render(study_reading(open_study(root), root)); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
