"""The tables of a shrunk network."""

import pytest

import shrinking_readings as made
from netcaliper.report.shrinking_tables import (
    MOST_POINTS,
    amount,
    baselines_table,
    classes_table,
    curve_table,
    sites_table,
    sizes_table,
    steps_table,
    where,
)
from netcaliper.stats.intervals import clopper_pearson
from readings import there


@pytest.mark.parametrize("make", [made.halved, made.proved, made.bare, made.untouched])
def test_every_row_is_as_long_as_the_heads(make):
    reading = make()
    for lay_out in (sizes_table, sites_table, steps_table, curve_table, baselines_table, classes_table):
        table = lay_out(reading)
        assert table is None or all(len(row) == len(table.heads) for row in table.rows)


def test_sizes_and_sites():
    rows = sizes_table(made.halved()).rows
    assert rows[0] == ("parameters", "272,474", "137,210", "50.4 %", "–")
    assert rows[-1] == ("time of 64 examples", "41.2 ms", "30.5 ms", "74.0 %", "71.0 to 78.0 %")
    assert there(sites_table(made.halved())).rows[1] == ("layer1.0.relu1", "8", "16", "50.0 %", "8")
    assert sites_table(made.bare()) is None


def test_steps_say_what_went_and_what_the_gate_said():
    rows = there(steps_table(made.halved())).rows
    assert rows[2][:6] == ("3", "absorb", "layer1.0.relu1", "kept", "6 of 14", "99.64 %")
    assert rows[5][:5] == ("6", "drop block", "layer1.1", "rolled back", "–")
    assert rows[7][3:7] == ("refused", "–", "–", "–")
    assert where(made.steps()[5]) == "layer1.1"
    assert amount(made.steps()[0]) == "2 of 16"
    assert steps_table(made.untouched()) is None


def test_a_long_curve_is_thinned_and_keeps_its_ends_and_the_chosen_point():
    table = there(curve_table(made.halved()))
    assert len(table.rows) == 24
    assert [row[0] for row in table.rows].count("chosen") == 1
    points = tuple(
        made.curve()[0].model_copy(update={"parameters": 1000 - k, "chosen": k == 7}) for k in range(300)
    )  # fmt: skip
    long = made.halved().model_copy(update={"plan": made.plan(curve=points)})
    rows = there(curve_table(long)).rows
    assert len(rows) in (MOST_POINTS, MOST_POINTS + 1)
    assert (rows[0][1], rows[-1][1]) == ("1,000", "701")
    assert ("chosen", "993") in [row[:2] for row in rows]


def test_baselines_stand_below_this_network():
    table = there(baselines_table(made.halved()))
    assert table.rows[0] == ("this network", "98.8 %", "98.5 %", "91.86 %")
    assert table.rows[2][0] == "random, fitted again"
    assert table.heads[3] == "accuracy"
    without = made.halved().model_copy(update={"proof": made.proof(metric=None)})
    assert there(baselines_table(without)).heads == ("which units go", "agreement", "at least")


def test_classes_with_the_least_agreement_come_first():
    rows = there(classes_table(made.halved())).rows
    low, high = clopper_pearson(483, 500)
    assert rows[0] == ("class 3", "96.6 %", f"{100 * low:.1f} to {100 * high:.1f} %", "17", "500")
    assert rows[0][1] <= rows[-1][1]
    assert classes_table(made.bare()) is None
