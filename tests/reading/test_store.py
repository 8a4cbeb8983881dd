"""Readings on disk: whole, equal, never overwritten by accident, and refused by name when they are damaged."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import readings
from netcaliper.errors import CorruptReading, InputError, NewerSchema, OutputExists, ReadingError
from netcaliper.reading import writing
from netcaliper.reading.schema import SCHEMA_VERSION, Cost, Reading
from netcaliper.reading.store import ARRAYS, COST, RECORD, load, save


def assert_same(a: Reading, b: Reading) -> None:
    assert a.model_dump() == b.model_dump()
    assert a.cost == b.cost
    assert a.arrays.keys() == b.arrays.keys()
    for key, array in a.arrays.items():
        assert array.dtype == b.arrays[key].dtype
        np.testing.assert_array_equal(array, b.arrays[key])


def edit(folder, change) -> None:
    path = folder / RECORD
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def swap_arrays(folder, arrays) -> None:
    """Replace the arrays and their checksum: damage that only the shapes can betray."""
    safetensors.numpy.save_file(arrays, folder / ARRAYS)
    import hashlib

    digest = hashlib.sha256((folder / ARRAYS).read_bytes()).hexdigest()
    edit(folder, lambda record: record.update(arrays_sha256=digest))


def test_what_is_saved_is_what_is_loaded(tmp_path):
    reading = readings.small()
    assert save(reading, tmp_path / "deep" / "out") == tmp_path / "deep" / "out"
    assert_same(reading, load(tmp_path / "deep" / "out"))
    assert_same(reading, load(str(tmp_path / "deep" / "out")))


@given(value=st.floats(width=64), count=st.integers(0, 2**60))
def test_every_float_survives(tmp_path_factory, value, count):
    network = readings.small().network.model_copy(update={"path_length": value, "macs": count})
    reading = readings.small().model_copy(update={"network": network, "arrays": {}})
    folder = tmp_path_factory.mktemp("floats") / "r"
    reading.save(folder)
    back = load(folder).network
    assert back.macs == count
    assert repr(back.path_length) == repr(float(value))
    json.loads((folder / RECORD).read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_two_readings_that_differ_only_in_cost_are_equal_bytes(tmp_path):
    a = readings.small()
    shuffled = dict(reversed(list(a.arrays.items())))
    b = readings.small().model_copy(update={"cost": Cost(seconds={"trace": 99.0}, passes=7.0), "arrays": shuffled})
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
    save(readings.small(), tmp_path / "a")
    code = "import sys, readings; readings.small().save(sys.argv[1]); assert 'torch' not in sys.modules"
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
    assert_same(readings.small(seed=1), load(out))
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
        assert_same(readings.small(), load(out))
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
    assert_same(readings.small(), load(out))
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


def test_loading_names_what_is_missing(tmp_path):
    with pytest.raises(CorruptReading, match="does not exist"):
        load(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(CorruptReading, match="is a file"):
        load(tmp_path / "file")
    for name in (RECORD, ARRAYS, COST):
        out = tmp_path / name.replace(".", "_")
        save(readings.small(), out)
        (out / name).unlink()
        with pytest.raises(CorruptReading, match=f"{name}.*missing"):
            load(out)


@pytest.mark.parametrize("name", [RECORD, ARRAYS, COST])
@pytest.mark.parametrize("damage", ["half", "empty", "noise"])
def test_a_damaged_file_is_named(tmp_path, name, damage):
    out = save(readings.small(), tmp_path / "out")
    content = (out / name).read_bytes()
    damaged = {"half": content[: len(content) // 2], "empty": b"", "noise": b"\x80\x04\x95" + content[3:]}[damage]
    (out / name).write_bytes(damaged)
    with pytest.raises(CorruptReading, match=name):
        load(out)


def test_one_changed_byte_of_the_arrays_is_noticed(tmp_path):
    out = save(readings.small(), tmp_path / "out")
    content = bytearray((out / ARRAYS).read_bytes())
    content[-5] ^= 1
    (out / ARRAYS).write_bytes(content)
    with pytest.raises(CorruptReading, match="SHA-256"):
        load(out)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda r: r.pop("network"), "`network`"),
        (lambda r: r["network"].update(units="many"), "`network.units`"),
        (lambda r: r["sites"][0].update(surprise=1), "surprise"),
        (lambda r: r["sites"][0].update(needed=r["sites"][0]["needed"] + 1), "adds up to 65"),
        (lambda r: r["sites"][1].update(name=r["sites"][0]["name"]), "two sites"),
        (lambda r: r.update(format="tarball"), "not a netcaliper reading"),
        (lambda r: r.update(schema_version="1"), "schema_version"),
        (lambda r: r.update(schema_version=True), "schema_version"),
        (lambda r: r.update(cost={"passes": 1.0}), "`cost` does not belong"),
        (lambda r: r.update(arrays={"0/r2": [1.0]}), "`arrays` does not belong"),
    ],
)
def test_an_invalid_record_says_where(tmp_path, change, match):
    out = save(readings.small(), tmp_path / "out")
    edit(out, change)
    with pytest.raises(CorruptReading, match=match):
        load(out)


def test_a_newer_schema_names_both_versions(tmp_path):
    out = save(readings.small(), tmp_path / "out")
    edit(out, lambda record: record.update(schema_version=SCHEMA_VERSION + 6, invented_later={}))
    with pytest.raises(NewerSchema, match=rf"version {SCHEMA_VERSION + 6}.*up to {SCHEMA_VERSION}"):
        load(out)


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "0/../r2", "/r2", "00/r2", "0/R2", "0/r2\n", "0", "-1/r2", "99/r2", "0/r2/x"]
)
def test_array_keys_cannot_play_tricks(tmp_path, key):
    reading = readings.small()
    tricked = reading.model_copy(update={"arrays": {**reading.arrays, key: np.zeros(3)}})
    with pytest.raises(InputError, match="array"):
        save(tricked, tmp_path / "no")
    out = save(reading, tmp_path / "out")
    swap_arrays(out, tricked.arrays)
    with pytest.raises(CorruptReading, match=ARRAYS):
        load(out)
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["r2", "verdict", "spectrum", "duplicate_of", "correlation_spectrum"])
def test_arrays_must_fit_their_site(tmp_path, name):
    out = save(readings.small(), tmp_path / "out")
    swap_arrays(out, {**readings.small().arrays, f"0/{name}": np.zeros(65)})
    with pytest.raises(CorruptReading, match=rf"0/{name}.*\(65,\).*64 units"):
        load(out)


def test_arrays_that_are_not_numbers_are_never_pickled(tmp_path):
    reading = readings.small()
    tricked = reading.model_copy(update={"arrays": {"0/names": np.array([{"a": 1}], dtype=object)}})
    with pytest.raises(InputError, match="only numbers"):
        save(tricked, tmp_path / "out")


def test_strided_arrays_are_stored_as_they_read(tmp_path):
    reading = readings.small()
    strided = np.arange(128.0)[::-2]
    save(reading.model_copy(update={"arrays": {"0/r2": strided}}), tmp_path / "out")
    np.testing.assert_array_equal(load(tmp_path / "out").arrays["0/r2"], strided)


def test_names_of_any_kind_survive(tmp_path):
    names = (readings.HOSTILE, "層.relu", "a\nb", "lone \ud800 surrogate")
    reading = readings.assemble(tuple(readings.site(name) for name in names))
    assert tuple(site.name for site in load(save(reading, tmp_path / "out")).sites) == names
