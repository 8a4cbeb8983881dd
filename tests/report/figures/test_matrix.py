"""Heat maps of matrices: bins, gaps, borders."""

import numpy as np
import pytest
import vl_convert

import layers_readings
from netcaliper.report.figures.matrix import binned, edges, heat_map, side


@pytest.mark.parametrize(("length", "most"), [(5, 120), (120, 120), (121, 120), (600, 120), (577, 93), (1, 40)])
def test_bins_cover_every_layer_once_and_are_as_equal_as_can_be(length, most):
    found = edges(length, most)
    assert (found[0], found[-1], len(found) - 1) == (0, length, min(length, most))
    sizes = np.diff(found)
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1


def test_bins_against_a_loop():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(23, 17))
    values[rng.uniform(size=values.shape) < 0.3] = np.nan
    values[:3, :3] = np.nan
    r, c = edges(23, 7), edges(17, 7)
    for found, by in ((binned(values, "mean", 7), np.mean), (binned(values, "most", 7), np.max)):
        for i in range(7):
            for j in range(7):
                inside = values[r[i] : r[i + 1], c[j] : c[j + 1]]
                there = inside[~np.isnan(inside)]
                expected = by(there) if len(there) else np.nan
                np.testing.assert_allclose(found[i, j], expected, rtol=1e-12)
    assert np.isnan(binned(values, "mean", 7)[0, 0])


def test_few_layers_are_not_binned():
    values = np.random.default_rng(0).normal(size=(6, 4))
    np.testing.assert_array_equal(binned(values, "mean"), values)


@pytest.fixture(scope="module")
def drawn():
    reading = layers_readings.one()
    (network,) = reading.networks
    return heat_map(
        reading.arrays["0/cka"],
        side(network),
        side(network),
        300,
        name="m",
        title="t",
        error=reading.arrays["0/standard_error"],
        outlines=network.blocks,
    )


def test_the_numbers_are_in_thousandths_row_by_row(drawn):
    (row,) = drawn.data["m"]
    cka = layers_readings.one().arrays["0/cka"]
    assert len(row["v"]) == 1600
    assert row["v"][41] == 1000
    assert row["v"][2] == round(1000 * cka[0, 2])
    assert row["v"][3] is None
    assert min(value for value in row["v"] if value is not None) < 0
    assert row["rn"][25] == f"25 · {layers_readings.HOSTILE} (conv2d)"
    assert row["rr"][3].startswith("constant")


def test_the_picture_has_cells_gaps_and_the_block_bottom_left_is_the_input(drawn):
    svg = vl_convert.vegalite_to_svg(drawn.spec())
    assert svg.count("similarity: ") == 1600
    assert svg.count("no value: constant on every example") == 79
    assert "standard error: 0.0040" in svg
    assert "<script" not in svg
    assert "alert(1)" in svg
    (block,) = (layer["data"]["values"] for layer in drawn.spec()["layer"][2:3])
    assert block == [{"a": 19.5, "b": 31.5}]
    x = drawn.spec()["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert x == [-0.5, 39.5]
    assert drawn.spec()["height"] == 300


def test_what_was_averaged_is_said():
    values = np.ones((30, 20))
    wide = layers_readings.network(number=30)[0]
    narrow = layers_readings.network(number=20, block=None)[0]
    figure = heat_map(values, side(wide), side(narrow), 200, name="m", title="t", most=10)
    assert "30 × 20 cells are averaged into 10 × 10" in figure.caption
    (row,) = figure.data["m"]
    assert row["rn"][0] == "0 · input (input) to 2 · layer1.0.batch_norm_2 (batch_norm)"
    assert row["rr"][1] == ""
    assert figure.spec()["usermeta"]["shape"] == 1.5
