from io import StringIO

import pytest

import study_readings
from netcaliper.reading.study import StudyReading
from netcaliper.report.study_terminal import render, show


@pytest.fixture(scope="module")
def reading(tmp_path_factory):
    return study_readings.made_study(tmp_path_factory.mktemp("study"))


@pytest.mark.parametrize("width", [40, 60, 84, 100, 112, 160])
def test_no_line_is_wider_than_the_terminal_and_no_verdict_is_lost(reading, width):
    text = render(reading, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "✓ holds" in text
    assert "✕ contradicted" in text
    assert "? undecided" in text
    assert "1 cell failed" in text


def test_columns_come_with_the_room_for_them(reading):
    assert "claimed" not in render(reading, width=60)
    assert "above 2" in render(reading, width=90)
    assert "2.69" not in render(reading, width=90)
    assert "2.69 (Figure 1)" in render(reading, width=160)


def test_reasons_are_told(reading):
    text = " ".join(render(reading, width=160).split())
    assert "2 repetitions where at least 3 are asked for" in text
    assert "Scale small: 27 of 30 cells done, 1 failed, 2 not computed yet." in text


def test_a_study_without_claims_and_one_with_strange_words():
    bare = StudyReading(title="T\x1b[2J", name="t", scale="tiny", command="c")
    assert "nothing is claimed" in render(bare)
    assert "\x1b" not in render(bare)
    stream = StringIO()
    show(bare, stream)  # pyright: ignore[reportArgumentType]
    assert stream.getvalue() == render(bare)
