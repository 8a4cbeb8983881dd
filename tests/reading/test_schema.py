"""Records are immutable, and a typo never passes silently."""

import numpy as np
import pytest
from pydantic import ValidationError

import readings
from netcaliper.reading.schema import ReadingRecord, Share


def test_records_are_immutable_and_refuse_unknown_keys():
    share = Share(value=0.5)
    with pytest.raises(ValidationError):
        share.value = 0.6
    with pytest.raises(ValidationError, match="hihg"):
        Share.model_validate({"value": 0.5, "hihg": 0.6})


def test_arrays_and_timings_are_not_part_of_the_record():
    reading = readings.small()
    assert not {"arrays", "cost"} & reading.model_dump().keys()
    assert isinstance(reading, ReadingRecord)


def test_arrays_are_found_by_site_and_name():
    reading = readings.small().model_copy(update={"arrays": {"1/r2": np.ones(3)}})
    assert reading.array(1, "r2") is not None
    assert reading.array(0, "r2") is None
