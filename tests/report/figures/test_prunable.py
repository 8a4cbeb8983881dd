"""Ablation curves: means and intervals of the reading's own arrays, the prunable share on the threshold."""

import numpy as np
import pytest
from scipy.stats import t

import readings
from charts import values
from netcaliper.report.figures import prunable
from netcaliper.report.figures.prunable import curve
from readings import there


def figures(reading):
    return {figure.name: figure for figure in prunable.draw(reading)}


def layers(figure):
    """The rows that every layer draws."""
    return [values(figure, layer) for layer in range(len(figure.spec()["layer"]))]


def test_the_band_is_the_t_interval_over_permutations():
    reading = readings.whole()
    agreement = there(reading.array("network", "ablation_agreement"))
    found = there(curve(reading, "network"))
    half = t.ppf(0.975, 7) * agreement.std(axis=0, ddof=1) / np.sqrt(8)
    np.testing.assert_allclose(found.mean, agreement.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.low, np.maximum(found.mean - half, 0), atol=1e-12)
    np.testing.assert_allclose(found.high, np.minimum(found.mean + half, 1), atol=1e-12)
    np.testing.assert_allclose(there(found.kappa), (found.mean - 0.1) / 0.9, atol=1e-12)


def test_an_error_larger_than_the_output_is_drawn_as_none_left():
    reading = readings.whole()
    arrays = {**reading.arrays, "network/ablation_agreement": np.full((8, 13), -3.0)}
    found = there(curve(reading.model_copy(update={"arrays": arrays}), "network"))
    assert (found.mean.min(), found.low.min(), found.high.max()) == (0, 0, 0)


def test_all_that_is_there_is_drawn():
    reading = readings.whole()
    assert list(figures(reading)) == ["ablation", "prunable", "ablation_sites"]
    ends = [row for rows in layers(figures(reading)["ablation"]) for row in rows if "prunable" in row]
    marked = {(row["whose"], row["x"], row["y"]) for row in ends}
    assert marked == {
        ("this network", round(there(reading.network.prunable).value, 4), 0.8),
        ("untrained", round(there(there(reading.twin).network.prunable).value, 4), 0.8),
    }
    rows = values(figures(reading)["prunable"], layer=2)
    assert len(rows) == 8
    for site in reading.sites:
        (row,) = [row for row in rows if row["site"] == site.name and row["whose"] == "this network"]
        assert row["value"] == round(there(site.prunable).value, 4)
        low, most = there(there(site.prunable).low), there(there(site.ablation).bootstrap_high)
        assert (row["low"], row["most"]) == (round(low, 4), round(most, 4))


def test_the_twin_is_left_out_where_there_is_none():
    reading = readings.whole()
    plain = reading.model_copy(
        update={"twin": None, "arrays": {k: v for k, v in reading.arrays.items() if not k.startswith("twin/")}}
    )
    for figure in prunable.draw(plain):
        assert "untrained" not in figure.caption
        assert all(row.get("whose", "this network") == "this network" for rows in layers(figure) for row in rows)


def test_an_undefined_twin_is_said_in_the_caption():
    found = figures(readings.whole(lopsided=True))
    assert f"The share of the same network untrained is {readings.LOPSIDED}." in found["ablation"].caption
    assert {row["whose"] for rows in layers(found["prunable"]) for row in rows} == {"this network"}


def test_sites_that_are_left_out_are_counted():
    reading = readings.whole()
    site = reading.sites[0].model_copy(update={"prunable": None, "ablation": None, "reason": "prunable: not ablated"})
    found = figures(reading.model_copy(update={"sites": (site, *reading.sites[1:])}))
    assert "Left out: 1 site;" in found["prunable"].caption
    assert site.name not in {row["site"] for row in values(found["prunable"], layer=2)}


def test_noise_has_a_level_and_no_units():
    reading = readings.whole()
    noisy = there(reading.network.ablation).model_copy(update={"perturbation": "noise"})
    network = reading.network.model_copy(update={"ablation": noisy})
    figure = figures(reading.model_copy(update={"network": network}))["ablation"]
    titles = {layer["encoding"]["x"].get("title") for layer in figure.spec()["layer"] if "x" in layer["encoding"]}
    assert "noise, in standard deviations of the activations" in titles


def test_the_caption_says_what_the_mark_is():
    reading = readings.whole()
    assert "Large dot: the mean of the points where the 8 curves" in figures(reading)["ablation"].caption
    paper = reading.model_copy(update={"provenance": reading.provenance.model_copy(update={"mode": "paper"})})
    assert "Large dot: the largest of the points" in figures(paper)["ablation"].caption


def test_without_an_ablation_there_is_nothing_to_draw():
    assert prunable.draw(readings.small()) == ()


@pytest.mark.parametrize("task", ["tokens", "regression"])
def test_the_axis_says_what_stays(task):
    reading = readings.whole()
    ablation = there(reading.network.ablation).model_copy(update={"task": task})
    network = reading.network.model_copy(update={"ablation": ablation})
    figure = prunable.draw(reading.model_copy(update={"network": network}))[0]
    titles = {layer["encoding"]["y"].get("title") for layer in figure.spec()["layer"]}
    assert prunable.STAYS[task] in titles
