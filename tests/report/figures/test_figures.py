"""Figures: drawn from a reading alone, with the reading's own numbers in them, whatever is missing."""

from itertools import pairwise

import numpy as np
import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st

import readings
from netcaliper.report.figures import draw_all, partition, redundant, unit_states
from netcaliper.report.figures.redundant import ALL_POINTS, cumulative, sample


def values(figure, layer=0):
    spec = figure.spec()
    data = spec["layer"][layer]["data"] if "layer" in spec and "data" in spec["layer"][layer] else spec["data"]
    return data["values"] if "values" in data else spec["datasets"][data["name"]]


def test_every_bar_is_as_long_as_the_site_is_wide():
    reading = readings.small()
    (figure,) = partition.draw(reading)
    for site in reading.sites:
        bars = [row for row in values(figure) if row["site"] == site.name]
        assert bars[0]["start"] == 0
        assert bars[-1]["end"] == site.units
        for left, right in pairwise(bars):
            assert left["end"] == right["start"]


def test_only_the_classes_that_occur_are_in_the_legend():
    (figure,) = partition.draw(readings.assemble((readings.site("a", losses=(1, 0, 0, 0)),)))
    domain = figure.spec()["layer"][0]["encoding"]["color"]["scale"]["domain"]
    assert domain == ["never active", "the rest (needed)"]


def test_states_are_shares_and_only_of_piecewise_linear_sites():
    states, bending = unit_states.draw(readings.small())
    assert {row["site"] for row in values(bending)} == {"blocks.0.mlp.act"}
    names = {row["site"] for row in values(states)}
    assert names == {site.name for site in readings.small().sites if site.mixed is not None}
    for name in names:
        ends = [row["end"] for row in values(states) if row["site"] == name]
        assert ends[-1] == pytest.approx(1.0)


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


def test_figures_of_many_sites_stay_small():
    for figure in draw_all(readings.wide(240)):
        assert figure.spec()["height"] < 2500
    covariance = next(f for f in draw_all(readings.wide(240)) if f.name == "spectrum_covariance")
    assert sum(len(row["x"]) for row in values(covariance, layer=1)) <= ALL_POINTS + 240


@pytest.mark.parametrize("update", [{"arrays": {}}, {"sites": (), "arrays": {}}])
def test_what_was_not_measured_is_not_drawn(update):
    reading = readings.small().model_copy(update=update)
    names = [figure.name for figure in draw_all(reading)]
    assert names == (["partition", "unit_states"] if reading.sites else [])


def test_degenerate_arrays_are_left_out():
    reading = readings.assemble((readings.site("a", units=3),))
    nothing = {"0/spectrum": np.zeros(3), "0/r2": np.full(3, np.nan), "0/correlation_spectrum": np.zeros(0)}
    assert redundant.draw(reading.model_copy(update={"arrays": nothing})) == ()


def test_every_specification_compiles_to_vega():
    for figure in draw_all(readings.small(), "container"):
        assert vl_convert.vegalite_to_vega(figure.spec())["marks"]
