"""A linearization on disk comes back as it was, and is told from other readings."""

import numpy as np
import pytest

import linearization_readings as made
import netcaliper as nc
from netcaliper.errors import CorruptReading, InputError
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.reading.linearization_reading import LinearizationReading
from netcaliper.reading.store import load_as


@pytest.mark.parametrize("record", [made.swept(), made.bare(), made.coreless()])
def test_it_comes_back_as_it_was(record, tmp_path):
    back = nc.load(record.save(tmp_path / "reading"))
    assert isinstance(back, LinearizationReading)
    assert back.model_dump() == record.model_dump()
    assert back.cost == record.cost
    assert set(back.arrays) == set(record.arrays)
    assert all(np.array_equal(back.arrays[key], array, equal_nan=True) for key, array in record.arrays.items())


def test_equal_readings_are_equal_bytes(tmp_path):
    first, second = (made.swept().save(tmp_path / name) for name in ("a", "b"))
    assert (first / "reading.json").read_bytes() == (second / "reading.json").read_bytes()
    assert (first / "arrays.safetensors").read_bytes() == (second / "arrays.safetensors").read_bytes()


def test_it_is_no_reading_of_layers(tmp_path):
    folder = made.bare().save(tmp_path / "reading")
    with pytest.raises(InputError, match=r"must hold a reading of layers .* holds one of a linearization"):
        load_as(LayersReading, folder)


def test_a_contradiction_is_refused_on_the_way_out_and_in(tmp_path):
    record = made.swept()
    wrong = record.model_copy(update={"points": record.points[1:]})
    with pytest.raises(InputError, match="the first point and no other"):
        wrong.save(tmp_path / "wrong")
    folder = record.save(tmp_path / "reading")
    file = folder / "reading.json"
    file.write_text(file.read_text().replace('"kind": "unbent"', '"kind": "learned"'))
    with pytest.raises(CorruptReading, match="the first point and no other"):
        nc.load(folder)


def test_it_shows_itself(tmp_path):
    record = made.bare()
    assert "must bend" in record._repr_html_()
    assert len(record.to_frame()) == 2
