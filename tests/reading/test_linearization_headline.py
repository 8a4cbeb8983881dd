"""What a linearization says in sentences."""

import numpy as np

import linearization_readings as made
from netcaliper.reading.linearization_headline import (
    HEADS,
    against,
    all_warnings,
    headline,
    lead,
    quality,
    quality_words,
    rows,
    worst_class,
)


def with_point(record, place, **fields):
    points = list(record.points)
    points[place] = points[place].model_copy(update=fields)
    return record.model_copy(update={"points": tuple(points)})


def with_core(record, **fields):
    return record.model_copy(update={"core": record.core.model_copy(update=fields)})


def test_the_headline_says_how_much_must_bend():
    said = headline(made.swept())
    assert said.startswith("resnet38: 24.4 % of 720 units must bend for an accuracy within 1 point of the unbent one")
    assert "effective depth 2.19 of 11.00" in said


def test_a_share_that_was_not_bracketed_is_an_upper_bound():
    assert "at most 62.5 % of 48 units must bend" in headline(made.bare())


def test_nothing_must_bend_nothing_was_tried_and_no_core_are_told_apart():
    record = made.swept()
    none = with_core(with_point(record, made.CORE, active=0, share=0.0), next=None, share=0.0)
    assert "none of 720 units must bend" in headline(none)
    untried = with_core(record, point=0, next=None, share=1.0)
    assert "no training made it linear anywhere" in headline(untried)
    assert "no core network, because the unbent reference diverged" in headline(made.coreless())
    assert lead(made.coreless()) == ""


def test_other_measures_are_written_as_they_are():
    record = made.translated()
    assert "for a BLEU within 0.5 of the unbent one" in headline(record)
    assert "BLEU 36." in lead(record)
    assert quality(record, 31.25) == "31.25"
    assert quality(made.swept(), 0.5) == "50.0 %"
    assert quality(record, None) == "–"
    assert quality_words(made.swept(), made.swept().points[0]) == "accuracy 90.9 %"


def test_the_core_is_judged_beside_the_reference_and_the_worst_class_named():
    said = lead(made.swept())
    assert "accuracy 90.5 % on verify examples; the unbent reference accuracy 90.9 %" in said
    assert "It loses 0.4 points (one-sided 95 % bounds -0.2 to 1.0)." in said
    assert "Class 3 loses most" in said


def test_baselines_are_counted_honestly():
    record = made.swept()
    assert against(record, "random").startswith(
        "Learned units do better than random units of the same number in 6 of 6"
    )
    place = next(k for k, point in enumerate(record.points) if point.kind == "random")
    better = with_point(record, place, verify=made.quality(0.99))
    assert "in 5 of 6 networks" in against(better, "random")
    assert against(made.bare(), "random") == ""


def test_the_worst_class_is_the_one_that_loses_most():
    record = made.bare()
    before, after = np.array([0.9, 0.8, np.nan]), np.array([0.9, 0.5, 0.1])
    arrays = {"point/0/class_accuracy": before, "point/1/class_accuracy": after}
    found = worst_class(record.model_copy(update={"arrays": record.arrays | arrays}), 1)
    assert found is not None
    assert found[0] == 1
    assert abs(found[1] - 0.3) < 1e-12
    assert worst_class(record, 1) is None


def test_the_table_has_a_row_a_point_and_marks_the_core():
    record = made.swept()
    laid = rows(record)
    assert len(laid) == len(record.points)
    assert all(len(row) == len(HEADS) for row in laid)
    assert [place for place, row in enumerate(laid) if row[0].endswith("*")] == [made.CORE]


def test_warnings_say_what_they_are_about():
    record = with_point(made.swept(), 1, warnings=("the target is not met",))
    assert "learned, omega 0.0003: the target is not met." in all_warnings(record)
