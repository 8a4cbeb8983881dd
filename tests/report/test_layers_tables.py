"""The tables of a reading of layers."""

import math

import layers_readings
from netcaliper.report.layers_tables import class_table, probability, tables, without_value


def test_tables_without_a_row_are_left_out():
    assert [table.name for table in tables(layers_readings.bare())] == ["networks"]
    assert [table.name for table in tables(layers_readings.one())] == ["networks", "blocks"]
    assert [table.name for table in tables(layers_readings.several())] == ["networks", "blocks", "pairs", "crossings"]
    assert [table.name for table in tables(layers_readings.groups())] == ["networks", "groups", "pairs"]


def test_every_row_has_a_cell_for_every_head():
    for make in (layers_readings.one, layers_readings.several, layers_readings.groups, layers_readings.bare):
        for table in tables(make()):
            assert {len(row) for row in table.rows} == {len(table.heads)}


def test_the_numbers():
    networks, blocks = tables(layers_readings.one())
    assert networks.rows[0] == ("resnet38", "13", "9", "8", "4 of 10", "90.0 %", "1", "40")
    assert networks.rows[1][0] == "untrained"
    assert blocks.rows[0][2:6] == ("0.97", "0.41", "12 (30 %)", "0.95")
    (difference,) = layers_readings.groups().differences
    table = class_table("c", "t", "deep", "wide", difference.classes)
    assert table.rows[0] == ("<b>cat</b>", "+2.0", "0.020", "90.0 %", "88.0 %", "0.002", "0.010", "0.100", "200")
    assert class_table("c", "t", "a", "b", difference.superclasses).heads[-1] == "classes"


def test_probabilities():
    assert [probability(p) for p in (1e-9, 0.0123, 1.0, math.nan)] == ["<0.001", "0.012", "1.000", "–"]


def test_what_has_no_value_is_listed_once():
    found = without_value(layers_readings.groups())
    assert [item["whose"] for item in found] == ["6 networks", "6 networks"]
    assert without_value(layers_readings.one())[1]["reason"].startswith("constant on every example")
