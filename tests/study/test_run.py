"""A study from its file: what is asked before anything is computed, and one real run."""

import json
from pathlib import Path

import pytest

import netcaliper as nc
import trivial_cells
from netcaliper.errors import InputError, OutputExists, StudyError
from netcaliper.study.cell_folder import cell_folder
from netcaliper.study.engines.engine import InProcess, Local
from netcaliper.study.engines.ray_engine import RayEngine
from netcaliper.study.file.grid import cells
from netcaliper.study.file.schema import load_study
from netcaliper.study.folder import asked_of, open_study
from netcaliper.study.run import data_folders, made_engine, read_shard, run_cells
from netcaliper.study.table import table
from trivial_cells import STUDY, exported, parsed

REAL = """
title = "Real"
[data.digits]
spec = "digits"
[families.mlp]
model = "zoo:mlp"
arguments = { inputs = 64, classes = 10, widths = [8] }
data = "digits"
options = { examples = 200 }
recipe = { epochs = 1, learning_rate = 0.01 }
[families.mlp.axes]
seed = [0, 1]
[[claims]]
name = "learns"
sentence = "It learns."
statistic = "mean"
column = "test_accuracy"
above = 0.5
seeds = 2
[scales.tiny]
"""


@pytest.fixture
def trivial(monkeypatch):
    monkeypatch.setattr("netcaliper.study.cells.run_cell.run_cell", trivial_cells.run_cell)


@pytest.fixture
def file(tmp_path):
    # The arguments of trivial cells are those of no network.
    made = tmp_path / "trivial.toml"
    made.write_text(STUDY)
    return made


def test_a_real_study_from_its_file_to_its_reading(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("real.toml").write_text(REAL)
    reading = nc.run_study("real.toml", workers=1)
    root = tmp_path / "real-tiny"
    assert [claim.name for claim in reading.claims] == ["learns"]
    frame = table(open_study(root), root)
    assert frame["seed"].tolist() == [0, 1]
    assert frame["epoch"].tolist() == [1, 1]
    assert frame["test_accuracy"].between(0.05, 1).all()
    # The same cells in this process, one by one, and once more: nothing is computed again.
    nc.run_study("real.toml", out="other", engine="process")
    study = load_study("real.toml", "tiny")
    assert exported(root, study) == exported(Path("other"), study)
    before = {path: path.stat().st_mtime_ns for path in root.glob("cells/*/*")}
    nc.run_study("real.toml", workers=1)
    assert {path: path.stat().st_mtime_ns for path in root.glob("cells/*/*")} == before


def test_a_grid_above_its_limit_is_asked_first(trivial, file, tmp_path):
    study = parsed(text=STUDY.replace("[scales.tiny]", "[scales.tiny]\nlimit = 19"))
    with pytest.raises(StudyError, match=r"trivial\.toml: the scale 'tiny' asks for 20 cells, and above 19 .* --yes"):
        run_cells(study, file, tmp_path / "out", InProcess())
    assert not (tmp_path / "out").exists()
    assert len(run_cells(study, file, tmp_path / "out", InProcess(), yes=True).done) == 20


def test_a_changed_file_leaves_old_cells_alone(trivial, file, tmp_path):
    run_cells(parsed(), file, tmp_path / "out", InProcess())
    file.write_text(STUDY.replace("seed = [0, 1, 2]", "seed = [0, 1, 3]"))
    study = parsed(text=file.read_text())
    standing = run_cells(study, file, tmp_path / "out", InProcess())
    assert standing.computed == 2 + 4 + 2, "those of the new seed, and the comparisons it takes part in"
    assert all(cell_folder(tmp_path / "out", cell.name).is_dir() for cell in cells(parsed()))
    frame = table(open_study(tmp_path / "out"), tmp_path / "out")
    assert set(frame["seed"].dropna()) == {0, 1, 3}


def test_what_was_asked_stands_in_the_folder(trivial, file, tmp_path):
    root = tmp_path / "out"
    whole = ["netcaliper", "study", "run", str(file), "--scale", "one", "-o", str(root), "--folder", "digits=x"]
    run_cells(parsed("one"), file, root, InProcess(), folders={"digits": "x"}, shard="2/2", retry=True)
    asked = asked_of(root)
    assert (asked.name, asked.scale, asked.folders, asked.command) == ("trivial", "one", {"digits": "x"}, whole)
    large = parsed("one").model_copy(update={"limit": 1})
    run_cells(large, file, root, InProcess(), folders={"digits": "x"}, yes=True)
    assert asked_of(root).command == [*whole, "--yes"]
    with pytest.raises(OutputExists, match="no study"):
        run_cells(parsed(), file, tmp_path, InProcess())


def test_threads_of_this_process_are_the_callers(trivial, file, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(InProcess, "run", lambda _, tasks, done: given.extend(task.threads for task in tasks))
    run_cells(parsed("one"), file, tmp_path / "a", InProcess(), threads=3)
    monkeypatch.setattr(Local, "run", lambda _, tasks, done: given.extend(task.threads for task in tasks))
    run_cells(parsed("one"), file, tmp_path / "b", Local(1, 3), threads=3)
    assert given == [0, 0, 3, 3]


def test_folders_of_the_data_that_are_read(tmp_path):
    spec = 'spec = "cifar10:{folder}"'
    text = STUDY.replace('spec = "digits"', f'{spec}\nfolder = "{tmp_path}"\n[data.unused]\nspec = "npz:{{folder}}"')
    study = parsed(text=text)
    assert data_folders(study, cells(study)) == {"cifar10:{folder}": str(tmp_path)}
    gone = parsed(text=text.replace(f'folder = "{tmp_path}"', 'folder = "gone"'))
    with pytest.raises(StudyError, match="there is no folder 'gone'; give --folder digits=DIR"):
        data_folders(gone, cells(gone))
    none = parsed(text=text.replace(f'folder = "{tmp_path}"', ""))
    with pytest.raises(StudyError, match="`data.digits` needs a folder"):
        data_folders(none, cells(none))
    assert json.dumps(cells(study)[0].configuration) == json.dumps(cells(gone)[0].configuration)


def test_engines_by_name():
    assert isinstance(made_engine("process"), InProcess)
    local = made_engine("local", workers=3, threads=2)
    assert isinstance(local, Local)
    assert (local.workers, local.threads) == (3, 2)
    assert isinstance(made_engine("local", threads=10**6), Local)
    ray = made_engine("ray", workers=3, threads=2, num_gpus=0.5)
    assert isinstance(ray, RayEngine)
    assert (ray.workers, ray.threads, ray.num_gpus) == (3, 2, 0.5)
    with pytest.raises(InputError, match="belong to a Ray cluster, got `engine` = 'process'; add --engine ray"):
        made_engine("process", address="auto")
    with pytest.raises(InputError, match="belong to a Ray cluster, got `engine` = 'local'; add --engine ray"):
        made_engine("local", num_gpus=1.0)
    with pytest.raises(InputError, match="use one of: local, process, ray"):
        made_engine("dask")
    with pytest.raises(InputError, match="`workers` must be at least 1"):
        made_engine("local", workers=0)
    with pytest.raises(InputError, match="`threads` must be at least 1"):
        made_engine("local", threads=0)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", ""])
def test_shards(text):
    assert read_shard("2/4") == (2, 4)
    with pytest.raises(InputError, match="must be I/N"):
        read_shard(text)
