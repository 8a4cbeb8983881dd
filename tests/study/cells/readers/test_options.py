"""Options of readers are checked by name."""

import pytest

from netcaliper.errors import StudyError
from netcaliper.study.cells.readers.options import checked_options


def test_defaults_are_filled_in():
    assert checked_options("width", {"b": 3}, {"a": 1, "b": 2}) == {"a": 1, "b": 3}


def test_an_unknown_option_is_refused_with_the_nearest_name():
    with pytest.raises(StudyError, match="`read.width` has no option `exampels`; did you mean `examples`"):
        checked_options("width", {"exampels": 3}, {"examples": None})
    with pytest.raises(StudyError, match="it takes none"):
        checked_options("linear_zone", {"x": 3}, {})
