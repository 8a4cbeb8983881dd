"""A linearization in a notebook: escaped, and cut where it is long."""

import linearization_readings as made
from netcaliper.reading.linearization_notebook import to_html


def test_names_are_escaped_and_points_listed():
    record = made.swept().model_copy(update={"name": "<b>net</b>"})
    text = to_html(record)
    assert "&lt;b&gt;net" in text
    assert "<b>net" not in text
    assert text.count("<tr>") == len(record.points) + 1


def test_long_lists_are_cut_with_a_note():
    record = made.bare()
    many = record.model_copy(update={"points": record.points + record.points[1:] * 70})
    assert "and 12 more points" in to_html(many)
