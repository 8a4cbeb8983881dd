"""The partition: one bar a site, as long as the site is wide, and the twin's needed units marked on it."""

from itertools import pairwise

import readings
from charts import values
from netcaliper.report.figures import partition
from readings import there


def test_every_bar_is_as_long_as_the_site_is_wide():
    for reading in (readings.small(), readings.whole()):
        (figure,) = partition.draw(reading)
        for site in reading.sites:
            bars = [row for row in values(figure) if row["site"] == site.name]
            assert bars[0]["start"] == 0
            assert bars[-1]["end"] == site.units
            for left, right in pairwise(bars):
                assert left["end"] == right["start"]


def test_needed_units_start_at_zero_and_the_twin_is_marked_on_the_same_axis():
    reading = readings.whole()
    (figure,) = partition.draw(reading)
    for site in reading.sites:
        first = next(row for row in values(figure) if row["site"] == site.name)
        assert (first["class"], first["end"]) == ("the rest (needed)", site.needed)
    marks = values(figure, layer=2)
    assert [row["needed"] for row in marks] == [site.needed for site in there(reading.twin).sites]
    shape = figure.spec()["layer"][2]["encoding"]["shape"]
    assert shape["scale"]["domain"] == ["needed untrained"]
    assert shape["legend"]
    assert "needs untrained" in figure.caption


def test_a_twin_that_was_not_judged_has_no_mark():
    reading = readings.whole(2)
    open_sites = tuple(readings.unjudged(site.name, "too few rows", units=site.units) for site in reading.sites)
    twin = there(reading.twin).model_copy(update={"sites": open_sites})
    (figure,) = partition.draw(reading.model_copy(update={"twin": twin}))
    assert all("needed" not in row for layer in range(2) for row in values(figure, layer))


def test_only_the_classes_that_occur_are_in_the_legend():
    (figure,) = partition.draw(readings.assemble((readings.site("a", losses=(1, 0, 0, 0)),)))
    domain = figure.spec()["layer"][0]["encoding"]["color"]["scale"]["domain"]
    assert domain == ["the rest (needed)", "never active"]
