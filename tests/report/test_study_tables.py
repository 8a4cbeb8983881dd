import pytest

import study_readings
from netcaliper.reading.study import ClaimResult, Effect, Plain, StudyCell, StudyReading
from netcaliper.report.study_tables import MOST_NUMBERS, cell_tables, claim_rows, number, range_words, value_words


def claim(**more):
    base = {"name": "a", "sentence": "s", "reads": "r", "verdict": "holds", "threshold": "above 1", "least": 1.0}
    return ClaimResult.model_validate(base | more)


def reading(*claims, cells=()):
    return StudyReading(title="T", name="t", scale="tiny", command="c", claims=claims, cells=tuple(cells))


def row(**more):
    return claim_rows(reading(claim(**more)))[0]


def test_numbers_have_three_digits_and_missing_ones_a_dash():
    assert [number(value) for value in (2.0123, 0.0344, 1204.4, None, float("nan"))] == [
        "2.01",
        "0.0344",
        "1,204",
        "–",
        "–",
    ]
    assert range_words(Effect(value=1.0, low=0.5, high=1500)) == "0.5 to 1,500"
    assert range_words(Effect(value=1.0)) == "–"
    told = [value_words(value) for value in (None, 1, 40_000, 0.12345, "a", True)]
    assert told == ["–", "1", "40,000", "0.123", "a", "True"]


def test_a_verdict_is_a_word_and_a_mark():
    marks = {verdict: row(verdict=verdict).mark for verdict in ("holds", "contradicted", "undecided")}
    assert len(set(marks.values())) == 3


def test_units_stand_where_they_are_read():
    effect = Effect(value=2.5, low=2.1, high=2.9)
    assert row(effect=effect, unit="g").effect == "g = 2.5"
    ratio = row(effect=effect, unit="ratio of g")
    assert (ratio.effect, ratio.unit) == ("2.5", "ratio of g")
    assert row(unit="g").effect == "–"


def test_the_strip_lies_on_the_right_side_of_the_threshold():
    strip = row(effect=Effect(value=3.0, low=2.0, high=4.0)).strip
    assert strip is not None
    assert strip.claimed == (strip.threshold[0], 100.0)
    assert strip.threshold[0] < strip.low < strip.value < strip.high <= 100
    below = row(effect=Effect(value=3.0, low=2.0, high=4.0), least=None, most=3.5).strip
    assert below is not None
    assert below.claimed == (0.0, below.threshold[0])
    assert below.value < below.threshold[0] < below.high
    factors = row(effect=Effect(value=2.0, low=1.0, high=4.0), unit="g", least=1.0).strip
    assert factors is not None
    assert factors.value == pytest.approx((factors.low + factors.high) / 2, abs=0.1)  # on a logarithmic scale
    point = row(effect=Effect(value=1.0, low=1.0, high=1.0)).strip
    assert point is not None
    assert 0 <= point.low == point.high <= 100
    assert row(effect=Effect(value=1.0)).strip is None


def test_how_it_was_read_is_told():
    one = row(why="Null: 1", values={"0": 1.5}, left_out=("seed 1: no `y`",), cells=4, cells_failed=1, cells_missing=2)
    details = dict(one.details)
    assert details["By repetition"] == "0: 1.5"
    assert details["Left out"] == "seed 1: no `y`"
    assert details["Cells"] == "4, 2 not computed, 1 failed"
    assert details["Why"] == "Null: 1"


def test_cells_stand_by_family_with_the_numbers_they_have():
    numbers: dict[str, Plain] = {f"n{k}": float(k) for k in range(12)}
    cells = [
        StudyCell(name="0123456789", kind="train", family="mlp", columns={"width": 2}, status="done", numbers=numbers),
        StudyCell(name="1", kind="train", family="mlp", columns={"width": 4}, status="missing"),
        StudyCell(name="2", kind="compare", family="all", columns={}, status="failed"),
    ]
    mlp, both = cell_tables(reading(cells=cells))
    assert mlp.heads == ("cell", "status", "width", *(f"n{k}" for k in range(MOST_NUMBERS)))
    assert mlp.rows[0][:4] == ("01234567", "done", "2", "0")
    assert mlp.rows[1] == ("1", "missing", "4", *["–"] * MOST_NUMBERS)
    assert (both.title, both.rows) == ("all", (("2", "failed"),))


def test_all_claims_of_a_study_have_a_row(tmp_path):
    rows = claim_rows(study_readings.made_study(tmp_path))
    assert [one.name for one in rows] == [one["name"] for one in study_readings.CLAIMS]
    assert {one.verdict for one in rows} == {"holds", "contradicted", "undecided"}
    assert rows[0].paper == "2.69 (Figure 1)"
