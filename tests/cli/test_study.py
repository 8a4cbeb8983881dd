"""``netcaliper study run | status | export``: exit codes, what is said, and what is refused."""

import subprocess
import sys

import pandas as pd
import pytest
from filelock import FileLock

import trivial_cells
from command_line import done, json_of, netcaliper, refused
from netcaliper.study.cell_folder import DONE, LOCK, PROGRESS, STARTED, cell_folder
from netcaliper.study.file.grid import cells
from netcaliper.study.folder import asked_of, open_study

TEXT = trivial_cells.STUDY.replace('["arguments.width", [1, 2]]', '["arguments.inputs", [1, 2]]')


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setattr("netcaliper.study.cells.run_cell.run_cell", trivial_cells.run_cell)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trivial.toml").write_text(TEXT)
    (tmp_path / "faults").mkdir()
    return tmp_path


RUN = ("study", "run", "trivial.toml", "--engine", "process")


def test_run_status_export(here):
    assert "20 of 20 cells done, 20 of them now: trivial-tiny" in done(*RUN)
    assert json_of(*RUN, "-o", "trivial-tiny") == {
        "folder": "trivial-tiny", "cells": 20, "done": 20, "computed": 0, "failed": 0, "elsewhere": 0, "waiting": 0,
        "other_shards": 0, "errors": {},
    }  # fmt: skip
    assert asked_of(here / "trivial-tiny").command == [
        *("netcaliper", "study", "run", "trivial.toml", "--scale", "tiny", "-o", "trivial-tiny"),
    ]
    shown = done("study", "status", "trivial-tiny")
    assert "trivial, scale tiny: 20 cells" in shown
    assert shown.split("late (bend)")[1].split()[:5] == ["12", "12", "0", "0", "0"]
    assert "table: table.csv (26 rows, " in done("study", "export", "trivial-tiny", "-o", "table.csv")
    assert len(pd.read_csv("table.csv")) == 26
    facts = json_of("study", "export", "trivial-tiny", "-o", "table.csv", "--replace")
    assert (facts["rows"], facts["columns"][:3]) == (26, ["cell", "kind", "family"])
    assert "--replace" in refused("study", "export", "trivial-tiny", "-o", "table.csv")


def test_failures_are_exit_code_1(here):
    (here / "faults" / "1").write_text("fail")
    result = netcaliper(*RUN, "-o", "out")
    assert result.exit_code == 1
    assert "2 cells: failed: --retry computes them again" in result.stdout
    assert "6 cells: stand on cells that are not done" in result.stdout
    assert "ValueError: seed 1 fails" in result.stderr
    shown = " ".join(done("study", "status", "out").split())
    assert "failed seed 1, width 1" in shown
    assert "ValueError: seed 1 fails" in shown
    facts = json_of("study", "status", "out")["families"][0]
    assert (facts["family"], facts["done"], facts["failed"]) == ("mlp", 4, 2)
    assert [one["error"] for one in facts["failed_cells"]] == ["ValueError: seed 1 fails"] * 2
    (here / "faults" / "1").unlink()
    assert netcaliper(*RUN, "-o", "out").exit_code == 1
    done(*RUN, "-o", "out", "--retry")


def test_status_says_what_runs_and_what_is_no_longer_asked_for(here):
    done(*RUN, "-o", "out")
    (here / "trivial.toml").write_text(TEXT.replace("seed = [0, 1, 2]", "seed = [0, 1]"))
    done(*RUN, "-o", "out")
    folder = cell_folder(here / "out", cells(open_study(here / "out"))[0].name)
    (folder / DONE).rename(folder / STARTED)
    (folder / PROGRESS).write_text('{"done": 0.3, "words": "epoch 3 of 10"}')
    with FileLock(folder / LOCK):
        shown = done("study", "status", "out")
    assert "running seed 0, width 1: epoch 3 of 10, 30%" in shown
    assert "8 cells in the folder that the study file no longer asks for" in " ".join(shown.split())


def test_shards_and_cells_elsewhere_are_said(here):
    shown = done(*RUN, "-o", "out", "--shard", "2/2")
    assert "belong to other shards" in shown
    done(*RUN, "-o", "out", "--shard", "1/2")
    folder = cell_folder(here / "out", cells(open_study(here / "out"))[0].name)
    (folder / DONE).unlink()
    with FileLock(folder / LOCK):
        assert "1 cell: another process works on them" in done(*RUN, "-o", "out")


def test_an_interrupt_says_what_is_kept(here):
    (here / "faults" / "1").write_text("interrupt")
    said = refused(*RUN, "-o", "out", code=130)
    assert "interrupted; 2 of 20 cells are done, in out; the same command goes on from there" in said


def test_a_full_disk_is_one_line(here):
    (here / "faults" / "1").write_text("full")
    said = refused(*RUN, "-o", "out", code=1)
    assert "No space left on device" in said
    assert "the same command to go on" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "nothing.toml"), "cannot be read"),
        (("run", "trivial.toml", "--scale", "huge"), "known are: tiny, one, many"),
        (("run", "trivial.toml", "--shard", "3/2"), "must be I/N"),
        (("run", "trivial.toml", "--folder", "digits"), "must be NAME=DIR"),
        (("run", "trivial.toml", "--folder", "digit=x"), "did you mean `digits`"),
        (("run", "trivial.toml", "--num-gpus", "1"), "add --engine ray"),
        (("run", "trivial.toml", "-o", "."), "no study"),
        (("status", "."), "not the folder of a study"),
        (("export", ".", "-o", "x.csv"), "not the folder of a study"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(here, arguments, words):
    assert words in refused("study", *arguments)


def test_status_does_not_load_torch(here):
    done(*RUN, "-o", "out")
    code = (
        "import sys; from netcaliper.cli.main import main\n"
        "sys.argv = ['netcaliper', 'study', 'status', 'out']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
