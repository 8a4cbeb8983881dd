"""Plans and proofs on disk: the same bytes every time, and refused by name when they are damaged."""

import json

import pytest

import netcaliper as nc
import shrinking_readings as made
from netcaliper.errors import CorruptReading, InputError, NewerSchema
from netcaliper.reading.reading import Reading
from netcaliper.reading.shrinking import ShrinkReading
from netcaliper.reading.shrinking_folder import (
    PLAN,
    PROOF,
    holds_shrinking,
    plan_bytes,
    proof_bytes,
    read_plan,
    read_shrinking,
)
from netcaliper.reading.store import load_as
from netcaliper.reading.writing import write_folder

MADE = (made.halved, made.proved, made.bare, made.untouched)


def saved(reading, target):
    return write_folder(target, {PLAN: plan_bytes(reading.plan), PROOF: proof_bytes(reading.proof)})


@pytest.mark.parametrize("make", MADE)
def test_what_is_saved_is_what_is_loaded(make, tmp_path):
    folder = saved(make(), tmp_path / "deep" / "small")
    assert holds_shrinking(folder)
    assert read_shrinking(folder) == nc.load(folder) == make()
    assert read_plan(folder) == read_plan(folder / PLAN) == make().plan
    assert plan_bytes(read_plan(folder)) == plan_bytes(make().plan) == (folder / PLAN).read_bytes()


def test_the_plan_is_sorted_json_that_compares_line_by_line():
    text = plan_bytes(made.plan()).decode()
    fields = json.loads(text, parse_constant=pytest.fail)
    assert list(fields) == sorted(fields)
    assert text.endswith("}\n")
    other = plan_bytes(made.plan(seed=1)).decode()
    assert [line for line in zip(text.splitlines(), other.splitlines(), strict=True) if line[0] != line[1]] == [
        (' "seed": 0,', ' "seed": 1,')
    ]


def test_a_contradiction_is_neither_written_nor_read(tmp_path):
    with pytest.raises(InputError, match="`plan` cannot be written: `tolerance`"):
        plan_bytes(made.plan(tolerance=1.5))
    with pytest.raises(InputError, match="`proof` cannot be written: `disagreements`"):
        proof_bytes(made.proof(disagreements=-1))
    folder = saved(made.halved(), tmp_path / "small")
    damage(folder / PLAN, tolerance=1.5)
    with pytest.raises(CorruptReading, match="`tolerance` must be in"):
        nc.load(folder)


def damage(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize("name", [PLAN, PROOF])
@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"format": "netcaliper reading"}, CorruptReading, "it is not a netcaliper p"),
        ({"schema_version": 99}, NewerSchema, "schema version 99"),
        ({"schema_version": None}, CorruptReading, "`schema_version`"),
        ({"sed": 3}, CorruptReading, "`sed`: Extra inputs"),
    ],
)
def test_damage_is_named(tmp_path, name, fields, error, words):
    folder = saved(made.halved(), tmp_path / "small")
    damage(folder / name, **fields)
    with pytest.raises(error, match=words) as caught:
        nc.load(folder)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", [PLAN, PROOF])
def test_half_a_folder_is_refused(tmp_path, name):
    folder = saved(made.halved(), tmp_path / "small")
    (folder / name).unlink()
    with pytest.raises(CorruptReading, match=f"{name} is damaged .*the file is missing"):
        nc.load(folder)


def test_it_is_no_reading_of_units(tmp_path):
    folder = saved(made.halved(), tmp_path / "small")
    assert isinstance(nc.load(folder), ShrinkReading)
    with pytest.raises(InputError, match="holds one of a shrunk network"):
        load_as(Reading, folder)
    assert not holds_shrinking(tmp_path)
