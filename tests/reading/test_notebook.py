"""A reading in a notebook cell."""

import re

import readings
from netcaliper.reading.notebook import MOST_ROWS, to_html


def test_every_site_is_a_row_and_every_name_is_escaped():
    reading = readings.small()
    html = to_html(reading)
    assert html.count("<tr>") == len(reading.sites) + 1
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert re.findall(r"<(\w+)", html).count("td") == 12 * len(reading.sites)


def test_long_networks_are_cut_with_a_note():
    html = to_html(readings.wide(MOST_ROWS + 7))
    assert html.count("<tr>") == MOST_ROWS + 1
    assert "and 7 more sites" in html


def test_what_the_twin_needs_stands_beside():
    html = to_html(readings.whole())
    assert "<th>needed</th><th>needed untrained</th>" in html
    assert re.findall(r"<(\w+)", html).count("td") == 13 * 4
    assert "untrained, the same network needs 383" in html
