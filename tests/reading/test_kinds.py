"""The kinds of records are told apart by their class and by their format."""

import layers_readings
import linearization_readings
import readings
from netcaliper.reading.kinds import FORMATS, LAYERS, LINEARIZATION, UNITS, kind_of


def test_each_record_has_its_kind():
    assert kind_of(readings.small()) is UNITS
    assert kind_of(layers_readings.bare()) is LAYERS
    assert kind_of(linearization_readings.bare()) is LINEARIZATION
    assert {name: kind.format for name, kind in FORMATS.items()} == {name: name for name in FORMATS}
    assert len(FORMATS) == 3
