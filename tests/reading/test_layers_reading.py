"""A reading of layers on disk: saved and opened by the same mechanism as a reading of units, told apart by format."""

import json

import pytest

import layers_readings
import netcaliper as nc
import readings
from netcaliper.errors import CorruptReading, InputError, NewerSchema
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.reading import Reading
from netcaliper.reading.store import load, load_as
from netcaliper.reading.writing import ARRAYS, RECORD

MADE = (layers_readings.one, layers_readings.several, layers_readings.groups, layers_readings.bare)


@pytest.mark.parametrize("make", MADE)
def test_what_is_saved_is_what_is_opened(tmp_path, make):
    reading = make()
    opened = nc.load(reading.save(tmp_path / "r"))
    assert isinstance(opened, LayersReading)
    layers_readings.assert_same(reading, opened)


def test_equal_readings_are_equal_bytes(tmp_path):
    a = layers_readings.one()
    b = layers_readings.one().model_copy(update={"arrays": dict(reversed(list(a.arrays.items())))})
    for name, reading in (("a", a), ("b", b)):
        reading.save(tmp_path / name)
    for name in (RECORD, ARRAYS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_format_says_which_kind_it_is(tmp_path):
    folder = layers_readings.bare().save(tmp_path / "layers")
    record = json.loads((folder / RECORD).read_text())
    assert record["format"] == "netcaliper layers"
    assert isinstance(load(readings.small().save(tmp_path / "units")), Reading)
    (folder / RECORD).write_text(json.dumps(record | {"format": "netcaliper reading"}))
    with pytest.raises(CorruptReading):
        load(folder)
    (folder / RECORD).write_text(json.dumps(record | {"schema_version": 99}))
    with pytest.raises(NewerSchema, match="version 99"):
        load(folder)
    (folder / RECORD).write_text(json.dumps(record | {"format": ["netcaliper layers"]}))
    with pytest.raises(CorruptReading, match="format"):
        load(folder)


def test_what_needs_one_kind_refuses_the_other(tmp_path):
    layers = layers_readings.bare().save(tmp_path / "layers")
    units = readings.small().save(tmp_path / "units")
    assert isinstance(load_as(LayersReading, layers), LayersReading)
    assert isinstance(load_as(Reading, units), Reading)
    with pytest.raises(InputError, match="of units .* but .* of layers"):
        load_as(Reading, layers)
    with pytest.raises(InputError, match="of layers .* but .* of units"):
        load_as(LayersReading, units)


def test_one_kind_replaces_the_other_only_when_told_to(tmp_path):
    folder = readings.small().save(tmp_path / "r")
    layers_readings.bare().save(folder, replace=True)
    assert isinstance(load(folder), LayersReading)


def test_a_reading_that_contradicts_itself_is_not_written(tmp_path):
    reading = layers_readings.bare()
    wrong = reading.model_copy(update={"arrays": {"0/cka": reading.arrays["0/cka"][:2]}})
    with pytest.raises(InputError, match=r"shape \(2, 5\), and \[5, 5\] is expected"):
        wrong.save(tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_notebook_and_a_table_are_one_call_away():
    reading = layers_readings.several()
    assert "<table>" in reading._repr_html_()
    assert len(reading.to_frame()) == 68
