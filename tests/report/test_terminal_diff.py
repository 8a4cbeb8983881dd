"""A difference in a terminal: every change has its row, shares are in points, nothing is wider than the window."""

import pytest

import readings
from netcaliper.reading.diff import diff
from netcaliper.report.terminal_diff import render_diff


def both():
    before = (readings.site("one"), readings.site("two"), readings.site("gone"))
    after = (readings.site("one"), readings.site("two", losses=(0, 0, 16, 0)), readings.site("new\x1b[1m"))
    return diff(readings.assemble(before), readings.assemble(after, seed=1))


def test_every_change_has_its_row():
    text = render_diff(both(), width=140)
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "1 site differs, 1 does not, 1 gone, 1 new." in rows[0]
    assert any(row.startswith("Note: different seeds") for row in rows)
    assert "network needed_units 192 176 -16" in rows
    assert "needed 64 48 -16" in rows
    assert "redundant 10.0 % 35.0 % +25.0 points" in rows
    assert "Only in the first: gone" in rows
    assert "Only in the second: new\ufffd[1m" in rows
    assert "two duplicate 0 16 +16" in rows


def test_overlapping_intervals_are_said():
    share = readings.share
    a, b = (readings.assemble((readings.site("x", redundant=share(value, 99)),)) for value in (0.3, 0.31))
    assert "+1.0 points (intervals overlap)" in " ".join(render_diff(diff(a, b), width=120).split())


def test_no_difference_is_said():
    assert render_diff(diff(readings.small(), readings.small())) == "No difference at 9 sites.\n"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_window(width):
    text = render_diff(both(), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
