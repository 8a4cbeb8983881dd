"""What all figures share: drawn from a reading alone, whatever is missing, never too large."""

import altair as alt
import pytest
import vl_convert

import readings
from charts import values
from netcaliper.report.figures import draw_all
from netcaliper.report.figures.figure import near_or_all, switched_axis
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


def test_an_axis_with_one_choice_has_no_switch_and_the_title_follows_the_choice():
    across, title = switched_axis("across", {"a": ("as a", "a on paper"), "b": ("as b", "b on paper")}, 100)
    spec = alt.layer(title).add_params(across).to_dict()
    assert spec["params"][0]["bind"]["labels"] == ["as a", "as b"]
    words = "across == 'a' ? 'a on paper' : across == 'b' ? 'b on paper' : ''"
    assert spec["layer"][0]["transform"][0]["calculate"] == words
    alone, _ = switched_axis("across", {"a": ("as a", "a on paper")}, 100)
    assert "bind" not in alt.layer(title).add_params(alone).to_dict()["params"][0]


def test_all_is_a_choice_only_where_there_is_more():
    assert near_or_all("the reference", 0.4, 0.4, 1.0) == (0.4, ())
    bottom, (how,) = near_or_all("the reference", 0.9, 0.4, 1.0)
    assert bottom.to_dict()["expr"].startswith("range == 'all' ? 0.38")
    chart = alt.Chart(alt.Data(values=[])).mark_point().add_params(how)
    assert chart.to_dict()["params"][0]["bind"]["labels"] == ["near the reference", "all"]
