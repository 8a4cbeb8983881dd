"""The matrices of a reading of layers."""

import layers_readings
from netcaliper.report.figures.layer_matrices import MOST_CELLS, MOST_NETWORKS, draw


def names(reading):
    return [figure.name for figure in draw(reading)]


def test_what_is_drawn():
    assert names(layers_readings.bare()) == ["cka-0"]
    assert names(layers_readings.one())[:3] == ["cka-0", "cka-twin", "cka_normalized-0"]
    assert names(layers_readings.several())[-1] == "cross-0"
    assert names(layers_readings.groups())[-1] == "agreement"


def test_the_small_multiples_have_one_scale():
    figures = {figure.name: figure.spec()["layer"][0]["encoding"]["color"] for figure in draw(layers_readings.one())}
    scales = [figures[name]["scale"] for name in ("cka-0", "cka-twin", "cka_without_pc-0", "cka_without_dominant-0")]
    assert all(scale == scales[0] for scale in scales)
    assert scales[0]["domain"][0] < 0


def test_cells_of_a_page_are_bounded():
    cells = sum(len(rows[0]["v"]) for figure in draw(layers_readings.deep(300)) for rows in figure.data.values())
    assert cells <= MOST_CELLS


def test_many_networks_are_cut():
    found = names(layers_readings.groups(seeds=10))
    assert sum(name.startswith("cka-") for name in found) == MOST_NETWORKS


def test_agreement_holds_every_pair_both_ways():
    (figure,) = [figure for figure in draw(layers_readings.groups()) if figure.name == "agreement"]
    assert len(figure.spec()["data"]["values"]) == 30
    assert "deep 89.7 %" in figure.caption
    assert [figure.name for figure in draw(layers_readings.several())].count("agreement") == 0


def test_chance_of_nearest_neighbors_is_said():
    (figure,) = [figure for figure in draw(layers_readings.one()) if figure.name == "neighbors-0"]
    assert "k = 10; by chance 15.9 %" in figure.caption
