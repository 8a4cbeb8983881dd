"""The partition: one bar a site, as long as the site is wide."""

from itertools import pairwise

import readings
from charts import values
from netcaliper.report.figures import partition


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
