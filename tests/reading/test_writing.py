"""Writing a reading: whole or not at all, the same bytes every time, nothing of the user's touched."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import readings
from netcaliper.errors import OutputExists, ReadingError
from netcaliper.reading import writing
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import Cost
from netcaliper.reading.store import load_as
from netcaliper.reading.writing import ARRAYS, COST, RECORD, save, write_folder


@pytest.mark.parametrize("make", [readings.small, readings.whole])
def test_two_readings_that_differ_only_in_cost_are_equal_bytes(tmp_path, make):
    a = make()
    shuffled = dict(reversed(list(a.arrays.items())))
    b = make().model_copy(update={"cost": Cost(seconds={"trace": 99.0}, passes=7.0), "arrays": shuffled})
    save(a, tmp_path / "a")
    save(b, tmp_path / "b")
    for name in (RECORD, ARRAYS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "a" / COST).read_bytes() != (tmp_path / "b" / COST).read_bytes()
    text = (tmp_path / "a" / RECORD).read_text()
    assert text.endswith("}\n")
    assert "seconds" not in text
    keys = list(json.loads(text))
    assert keys == sorted(keys)


def test_another_process_writes_the_same_bytes(tmp_path):
    save(readings.whole(), tmp_path / "a")
    code = "import sys, readings; readings.whole().save(sys.argv[1]); assert 'torch' not in sys.modules"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONHASHSEED": "7",
    }
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "b")], check=True, env=environment)
    for name in (RECORD, ARRAYS, COST):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_an_existing_folder_is_never_overwritten_silently(tmp_path):
    save(readings.small(), tmp_path / "out")
    before = (tmp_path / "out" / RECORD).read_bytes()
    with pytest.raises(OutputExists, match="replace=True"):
        save(readings.small(seed=1), tmp_path / "out")
    assert (tmp_path / "out" / RECORD).read_bytes() == before


def test_replace_keeps_the_other_files_of_the_folder(tmp_path):
    out = tmp_path / "out"
    save(readings.small(), out)
    (out / "notes.txt").write_text("mine")
    (out / "figures").mkdir()
    (out / "figures" / "a.svg").write_text("<svg/>")
    save(readings.small(seed=1), out, replace=True)
    readings.assert_same(readings.small(seed=1), load_as(Reading, out))
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "figures" / "a.svg").read_text() == "<svg/>"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize(
    "content", [{"thesis.tex": "years of work"}, {RECORD: '{"of": "someone else"}'}, {RECORD: "{"}]
)
def test_replace_never_touches_a_folder_that_is_not_a_reading(tmp_path, content):
    out = tmp_path / "out"
    out.mkdir()
    for name, text in content.items():
        (out / name).write_text(text)
    with pytest.raises(OutputExists, match="not replaced"):
        save(readings.small(), out, replace=True)
    assert {path.name: path.read_text() for path in out.iterdir()} == content


def test_replace_takes_an_empty_folder_and_refuses_a_file_or_a_link(tmp_path):
    (tmp_path / "empty").mkdir()
    save(readings.small(), tmp_path / "empty", replace=True)
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for name in ("file", "link"):
        with pytest.raises(OutputExists, match="not a folder"):
            save(readings.small(), tmp_path / name, replace=True)
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("step", ["fsync", "rename"])
@pytest.mark.parametrize("replace", [False, True])
def test_a_full_disk_leaves_everything_as_it_was(tmp_path, monkeypatch, step, replace):
    out = tmp_path / "out"
    if replace:
        save(readings.small(), out)
        (out / "notes.txt").write_text("mine")

    def full(*_args, **_more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing.os, step, full)
    with pytest.raises(ReadingError, match="No space left on device.*free some space") as caught:
        save(readings.small(seed=1), out, replace=replace)
    monkeypatch.undo()
    assert str(out) in str(caught.value)
    assert os.listdir(tmp_path) == (["out"] if replace else [])
    if replace:
        readings.assert_same(readings.small(), load_as(Reading, out))
        assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_failure_at_any_rename_of_a_replacement_is_rolled_back(tmp_path, monkeypatch, failing):
    out = tmp_path / "out"
    save(readings.small(), out)
    (out / "notes.txt").write_text("mine")
    rename, calls = os.rename, []

    def sometimes(source, target):
        calls.append(source)
        if len(calls) == failing:
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(writing.os, "rename", sometimes)
    with pytest.raises(ReadingError, match="Input/output error"):
        save(readings.small(seed=1), out, replace=True)
    monkeypatch.undo()
    readings.assert_same(readings.small(), load_as(Reading, out))
    assert (out / "notes.txt").read_text() == "mine"
    assert os.listdir(tmp_path) == ["out"]


def test_a_really_full_disk(tmp_path):
    """The kernel refuses the write itself, through a limit on the size of files."""
    code = (
        "import resource, signal, sys, readings\n"
        "from netcaliper.errors import ReadingError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    readings.small().save(sys.argv[1])\n"
        "except ReadingError as error:\n    sys.exit(str(error))\n"
    )
    pytest.importorskip("resource")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []


def test_an_interrupted_save_leaves_nothing_half_written(tmp_path, monkeypatch):
    def interrupt(_handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(readings.small(), tmp_path / "out")
    assert os.listdir(tmp_path) == []


def test_a_parent_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ReadingError, match=r"file/out.*"):
        save(readings.small(), tmp_path / "file" / "out")


def test_strided_arrays_are_stored_as_they_read(tmp_path):
    reading = readings.small()
    strided = np.arange(128.0)[::-2]
    save(reading.model_copy(update={"arrays": {"0/r2": strided}}), tmp_path / "out")
    np.testing.assert_array_equal(load_as(Reading, tmp_path / "out").arrays["0/r2"], strided)


def test_files_replace_those_of_the_same_name_and_keep_the_others(tmp_path):
    out = tmp_path / "deep" / "out"
    assert write_folder(out, {"a": b"1", "b": b"2"}) == out
    write_folder(out, {"a": b"3"})
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"a": b"3", "b": b"2"}
    assert [path.name for path in out.parent.iterdir()] == ["out"]
