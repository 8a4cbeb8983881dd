"""What all figures share: drawn from a reading alone, whatever is missing, never too large."""

import pytest
import vl_convert

import readings
from charts import values
from netcaliper.report.figures import draw_all
from netcaliper.report.figures.redundant import ALL_POINTS


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


def test_every_specification_compiles_to_vega():
    for reading in (readings.small(), readings.whole(), readings.whole(2, lopsided=True)):
        for figure in draw_all(reading, "container"):
            assert vl_convert.vegalite_to_vega(figure.spec())["marks"]
