"""The options that a study file can name are those that the readers take."""

import pytest

from netcaliper.study.cells.readers import compare, kernel, layers, width
from netcaliper.study.file.readers import AT, READERS


@pytest.mark.parametrize(
    ("kind", "reader", "module"),
    [
        ("families", "width", width),
        ("families", "layers", layers),
        ("families", "kernel", kernel),
        ("comparisons", "compare", compare),
    ],
)
def test_options_are_those_of_the_reader(kind, reader, module):
    assert {*READERS[kind][reader]} - {AT} == module.OPTIONS.keys()
    assert (AT in READERS[kind][reader]) == (kind == "families")
