"""The tables of a linearization."""

import linearization_readings as made
from netcaliper.reading.numerals import MISSING
from netcaliper.report.linearization_tables import (
    bent_over_epochs,
    class_losses,
    classes_table,
    epochs_table,
    failures,
    lengths_table,
    margin_words,
    points_table,
    sites_table,
)
from netcaliper.stats.intervals import clopper_pearson
from readings import there

ALL = (points_table, sites_table, lengths_table, classes_table, epochs_table)


def test_every_row_has_a_cell_for_every_head():
    for make in (made.swept, made.bare, made.translated, made.coreless):
        for table in (lay(make()) for lay in ALL):
            assert table is None or {len(row) for row in table.rows} == {len(table.heads)}


def test_what_no_training_has_is_no_column():
    heads = points_table(made.bare()).heads
    assert "path length" not in heads
    assert "nonlinear calls" not in heads
    assert "95 %" not in points_table(made.translated()).heads
    assert points_table(made.coreless()).heads == ("training", "status", "epochs", "parameters")


def test_every_training_is_a_row_failures_included():
    reading = made.swept()
    table = points_table(reading)
    rows = {row[0]: dict(zip(table.heads, row, strict=True)) for row in table.rows}
    assert len(rows) == len(reading.points)
    core = rows["learned, omega 0.002 (core)"]
    assert core["bend"] == "33.1 %"
    assert core["of units"] == "238 of 720"
    assert core["accuracy"] == "90.5 %"
    assert core["95 %"] == "89.3 to 91.6 %"
    assert (core["lost"], core["lost at most"]) == ("0.4", "1.0")
    assert rows["learned, omega 0.03"]["status"] == "collapsed"
    assert rows["learned, omega 0.3"]["status"] == "diverged"
    assert rows["learned, omega 0.3"]["accuracy"] == MISSING
    assert rows["shallow 1"]["bend"] == "33.3 %"  # of the units of the network beside which it stands


def test_failures_say_why_and_what_is_kept():
    collapsed, diverged = failures(made.swept())
    assert "no better than the 10.0 % of one constant answer" in collapsed
    assert collapsed.endswith("the weights after epoch 6, the last good ones, are kept")
    assert diverged.startswith("learned, omega 0.3: diverged, `learning_rate`")
    reading = made.bare()
    warned = reading.points[1].model_copy(update={"warnings": ("the target is not met",)})
    assert failures(reading.model_copy(update={"points": (reading.points[0], warned)})) == [
        "learned, omega 0.001: the target is not met"
    ]


def test_sites_add_up_to_the_core():
    reading = made.swept()
    table = there(sites_table(reading))
    assert sum(int(row[1]) for row in table.rows) == reading.points[made.CORE].active
    assert sum(int(row[4].replace(",", "")) for row in table.rows) == reading.points[made.CORE].calls
    assert sites_table(made.coreless()) is None


def test_classes_are_sorted_by_what_they_lose_with_exact_intervals():
    reading = made.swept()
    losses = class_losses(reading)
    assert [one.lost for one in losses] == sorted((one.lost for one in losses), reverse=True)
    assert losses[0].name == "class 3"
    assert len(losses) == made.CLASSES  # the class without an example is none
    worst = losses[0]
    assert worst.bounds_after == clopper_pearson(round(250 * worst.after), 250)
    assert there(classes_table(reading)).rows[0][-1] == "250"
    bare = {key: array for key, array in reading.arrays.items() if "class_examples" not in key}
    without = there(classes_table(reading.model_copy(update={"arrays": bare})))
    assert (without.rows[0][3], without.rows[0][6]) == (MISSING, MISSING)
    assert class_losses(made.bare()) == []
    assert classes_table(made.coreless()) is None


def test_epochs_of_every_training_with_a_penalty():
    reading = made.swept()
    names = {point.name for point, _ in bent_over_epochs(reading)}
    assert names == {point.name for point in reading.points if point.penalized and point.status != "diverged"}
    table = there(epochs_table(reading))
    assert table.heads[1] == "epoch 1"
    assert table.heads[-1] == f"epoch {made.EPOCHS}"
    assert len(table.heads) == 9
    assert epochs_table(made.bare()) is None


def test_path_lengths_of_networks_of_unlike_depth_are_filled_up():
    reading = made.swept()
    key = f"point/{made.CORE}/histogram"
    shorter = reading.model_copy(update={"arrays": reading.arrays | {key: reading.arrays[key][:8]}})
    assert len(there(lengths_table(reading)).rows) == 21
    assert there(lengths_table(shorter)).rows[20][2] == "0.0 %"
    assert lengths_table(made.bare()) is None


def test_the_margin_in_words():
    reading = made.swept()
    core = there(reading.core)
    assert margin_words(reading, core) == "1 point"
    assert margin_words(reading, core.model_copy(update={"margin": 0.005})) == "0.5 points"
    assert margin_words(made.translated(), there(made.translated().core)) == "0.5"
