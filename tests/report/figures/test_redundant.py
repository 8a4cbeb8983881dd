"""Spectra and R2: the reading's own numbers, sampled so that the page stays small."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import readings
from charts import values
from netcaliper.report.figures import redundant
from netcaliper.report.figures.redundant import cumulative, sample


def test_the_components_that_a_spectrum_needs_are_counted():
    record = readings.site("a", units=4)
    spectrum = np.array([90.0, 5.0, 4.0, 1.0])
    reading = readings.assemble((record,)).model_copy(update={"arrays": {"0/spectrum": spectrum}})
    (figure,) = redundant.draw(reading)
    (row,) = values(figure, layer=1)
    assert row["components"] == "2 of 4"
    assert row["y"] == [0.0, 0.9, 0.95, 0.99, 1.0]
    assert row["x"] == [0.0, 0.25, 0.5, 0.75, 1.0]


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=50).filter(lambda entries: max(entries) > 0))
def test_cumulative_variance_rises_to_one(entries):
    kept = cumulative(np.array(entries))
    assert (np.diff(kept) >= 0).all()
    assert kept[-1] == pytest.approx(1.0)
    assert kept[0] >= 1 / len(entries) - 1e-12


@given(st.integers(1, 20_000), st.integers(4, 100))
def test_a_sampled_spectrum_keeps_its_ends_and_its_size(length, points):
    at = sample(length, points)
    assert at[0] == 0
    assert at[-1] == length - 1
    assert (np.diff(at) > 0).all()
    assert len(at) <= points or length <= points


def test_units_are_binned_once():
    reading = readings.small()
    figure = redundant.draw(reading)[-1]
    for index, site in enumerate(reading.sites):
        rows = [row for row in values(figure) if row["site"] == site.name]
        r2 = reading.array(index, "r2")
        finite = 0 if r2 is None else int(np.isfinite(r2).sum())
        assert sum(int(row["units"].split(" ")[0]) for row in rows) == finite
    exact = {row["site"]: row["units"] for row in values(figure) if row["r2"] == "1"}
    assert exact["conv1.relu"] == "34 of 57"


def test_degenerate_arrays_are_left_out():
    reading = readings.assemble((readings.site("a", units=3),))
    nothing = {"0/spectrum": np.zeros(3), "0/r2": np.full(3, np.nan), "0/correlation_spectrum": np.zeros(0)}
    assert redundant.draw(reading.model_copy(update={"arrays": nothing})) == ()
