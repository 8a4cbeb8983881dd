"""Alpha of every channel."""

import numpy as np
import pytest

import linearization_readings as made
from netcaliper.report.figures.alphas import MOST_CELLS, draw


def test_nothing_is_drawn_without_a_core_or_its_alphas():
    assert draw(made.coreless()) == ()
    assert draw(made.swept().model_copy(update={"arrays": {}})) == ()


def test_every_channel_is_a_cell_in_either_order():
    reading = made.swept()
    (figure,) = draw(reading)
    (data,) = figure.data.values()
    for place, (site, row) in enumerate(zip(reading.sites, data, strict=True)):
        alphas = reading.of_site(made.CORE, "alphas", place)
        active = reading.of_site(made.CORE, "active", place)
        assert alphas is not None
        assert active is not None
        assert row["site"] == site.name
        np.testing.assert_allclose(np.array(row["v"]) / 1000, alphas, atol=6e-4)
        assert row["a"] == active.astype(int).tolist()
        assert row["as"] == sorted(row["a"], reverse=True)
        assert sorted(row["v"]) == sorted(row["vs"])
        bends = row["vs"][: int(active.sum())]
        assert bends == sorted(bends)
    assert "neighbors" not in figure.caption


def test_wide_sites_are_summed_up_and_that_is_said():
    reading = made.wide(6, 1000)
    (figure,) = draw(reading)
    (data,) = figure.data.values()
    alphas = reading.of_site(made.CORE, "alphas", 2)
    active = reading.of_site(made.CORE, "active", 2)
    assert alphas is not None
    assert active is not None
    row = data[2]
    assert len(row["v"]) == row["n"] == MOST_CELLS
    assert (row["at"][0], row["at"][-1]) == (0, 1000)
    assert sum(row["a"]) == sum(row["as"]) == active.sum()
    sizes = np.diff(row["at"])
    assert np.average(row["v"], weights=sizes) / 1000 == pytest.approx(alphas.mean(), abs=1e-3)
    assert "6 sites with more than 96 channels: a cell is the mean alpha of up to 11 neighbors" in figure.caption


def test_one_alpha_a_site_is_said():
    reading = made.swept().model_copy(update={"protocol": made.protocol(granularity="layer")})
    assert "All units of a site share one alpha" in draw(reading)[0].caption
