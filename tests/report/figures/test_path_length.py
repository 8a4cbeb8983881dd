"""How many nonlinear units lie on the way: one line on paper, one on the data."""

import readings
from charts import values
from netcaliper.reading.schema import PathLengths
from netcaliper.report.figures import path_length


def with_paths(paths):
    reading = readings.small()
    return reading.model_copy(update={"network": reading.network.model_copy(update={"paths": paths})})


def test_both_distributions_are_drawn_and_chances_that_cannot_be_seen_are_not():
    paths = PathLengths(nominal_histogram=(0.0, 0.25, 0.75), histogram=(0.5, 0.49999, 0.00001))
    (figure,) = path_length.draw(with_paths(paths))
    found = {(row["network"], row["length"]): row["chance"] for row in values(figure)}
    assert found == {
        ("on paper", 1): 0.25, ("on paper", 2): 0.75, ("on the data", 0): 0.5, ("on the data", 1): 0.49999,
    }  # fmt: skip


def test_nothing_is_drawn_where_paths_could_not_be_followed():
    assert path_length.draw(readings.small()) == ()
    assert path_length.draw(with_paths(PathLengths(reason="`lstm` hides its gates"))) == ()
