"""Readings on disk: whole, equal, never overwritten by accident, and refused by name when they are damaged."""

import json
import os

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import readings
from netcaliper.errors import CorruptReading, InputError, NewerSchema
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import SCHEMA_VERSION
from netcaliper.reading.store import ARRAYS, COST, RECORD, load, load_as, save
from readings import there


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
    readings.assert_same(reading, load_as(Reading, tmp_path / "deep" / "out"))
    readings.assert_same(reading, load_as(Reading, str(tmp_path / "deep" / "out")))


@pytest.mark.parametrize("reading", [readings.whole(), readings.whole(lopsided=True)], ids=["whole", "lopsided"])
def test_the_twin_and_its_arrays_are_saved_too(tmp_path, reading):
    back = load_as(Reading, save(reading, tmp_path / "out"))
    readings.assert_same(reading, back)
    assert there(back.array("network", "ablation_agreement")).shape == (8, 13)
    twin = back.array("network", "ablation_agreement", twin=True)
    assert (twin is None) == (there(reading.twin).network.prunable is None)


NEW_IN_2 = {
    "site": ("unexplained", "ablation", "correlated_neighbors", "mean_correlation", "selectivity", "selective"),
    "network": ("ablation", "needed_at_97"),
}


def test_a_reading_of_version_1_still_opens(tmp_path):
    reading = readings.small()
    out = save(reading, tmp_path / "out")

    def older(record):
        record["schema_version"] = 1
        del record["twin"]
        for name in NEW_IN_2["network"]:
            del record["network"][name]
        for site in record["sites"]:
            for name in (*NEW_IN_2["site"], "prunable"):
                del site[name]

    edit(out, older)
    back = load_as(Reading, out)
    assert back.schema_version == 1
    readings.assert_same(reading.model_copy(update={"schema_version": 1}), back)


@given(value=st.floats(width=64), count=st.integers(0, 2**60))
def test_every_float_survives(tmp_path_factory, value, count):
    network = readings.small().network.model_copy(update={"path_length": value, "macs": count})
    reading = readings.small().model_copy(update={"network": network, "arrays": {}})
    folder = tmp_path_factory.mktemp("floats") / "r"
    reading.save(folder)
    back = load_as(Reading, folder).network
    assert back.macs == count
    assert repr(back.path_length) == repr(float(value))
    json.loads((folder / RECORD).read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


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
        (lambda r: r["network"].update(needed_at_97={"target": 0.97, "by_site": {"array": 3}}), f"{RECORD}.*no site"),
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


def test_names_of_any_kind_survive(tmp_path):
    names = (readings.HOSTILE, "層.relu", "a\nb", "lone \ud800 surrogate")
    reading = readings.assemble(tuple(readings.site(name) for name in names))
    assert tuple(site.name for site in load_as(Reading, save(reading, tmp_path / "out")).sites) == names
