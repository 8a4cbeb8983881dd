"""The table of a reading: fixed columns, nullable types, a partition that adds up."""

import pandas as pd
import pytest

import readings
from netcaliper.reading.frame import COLUMNS
from readings import there

FIXED = [
    "site", "kind", "op", "units", "dead", "constant", "duplicate", "dependent", "absorbable", "needed", "prunable",
    "redundant", "always_on", "always_off", "linear_zone", "rows",
]  # fmt: skip


@pytest.mark.parametrize(
    "reading",
    [readings.small(), readings.whole(), readings.wide(16), readings.assemble(())],
    ids=["small", "whole", "wide", "none"],
)
def test_columns_and_types(reading):
    frame = reading.to_frame()
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame.columns[:16]) == FIXED
    assert len(frame) == len(reading.sites)
    for name in ("units", "dead", "needed", "always_on", "rows", "consumers", "selective", "twin_needed", "twin_dead"):
        assert frame[name].dtype == pd.Int64Dtype()
    for name in ("prunable", "redundant", "linear_zone", "selectivity", "twin_prunable", "twin_correlated_neighbors"):
        assert frame[name].dtype == pd.Float64Dtype()


def test_the_columns_of_the_twin_come_last():
    first = next(place for place, name in enumerate(COLUMNS) if name.startswith("twin_"))
    assert all(name.startswith("twin_") for name in COLUMNS[first:])
    assert COLUMNS[first : first + 13] == tuple(
        f"twin_{name}"
        for name in (
            "dead", "constant", "duplicate", "dependent", "absorbable", "needed", "prunable", "redundant",
            "redundant_correlation", "always_on", "always_off", "linear_zone", "bending_share",
        )
    )  # fmt: skip
    assert all(name.removeprefix("twin_") in COLUMNS[:first] for name in COLUMNS[first:])


def test_the_twin_is_read_from_the_twin():
    reading = readings.whole()
    frame = reading.to_frame()
    assert list(frame["twin_needed"]) == [site.needed for site in there(reading.twin).sites]
    assert list(frame["twin_prunable"]) == [there(site.prunable).value for site in there(reading.twin).sites]
    assert list(frame["prunable"]) == [there(site.prunable).value for site in reading.sites]
    assert all(readings.whole(lopsided=True).to_frame()["twin_prunable"].isna())
    without = readings.small().to_frame()
    assert without.filter(like="twin_").isna().to_numpy().all()


def test_the_secondary_measures_have_columns():
    reading = readings.whole()
    row = reading.to_frame().to_dict("records")[1]
    assert (row["selectivity"], row["selective"]) == (0.32, 48)
    assert (row["correlated_neighbors"], row["mean_correlation"]) == (2.5, 0.12)
    assert (row["absorbable"], row["unexplained"]) == (reading.sites[1].absorbable, 0.0094)


def missing(value):
    return value is None or value is pd.NA


def test_the_partition_adds_up_where_it_was_judged():
    rows = readings.small().to_frame().to_dict("records")
    for row in rows:
        parts = [row[name] for name in ("dead", "constant", "duplicate", "dependent", "absorbable", "needed")]
        if row["status"] == "judged":
            assert sum(0 if missing(part) else part for part in parts) == row["units"]
        else:
            assert all(missing(part) for part in parts)
    assert [row["status"] for row in rows].count("not judged") == 1


def test_what_was_not_measured_is_missing_not_zero():
    rows = {row["site"]: row for row in readings.small().to_frame().to_dict("records")}
    for row in rows.values():
        assert missing(row["prunable"])
        assert missing(row["absorbable"])
    assert missing(rows["blocks.0.mlp.act"]["always_on"])
    assert rows["conv2.relu"]["always_on"] == 0
    assert missing(rows["conv2.relu"]["group"])
    assert rows["blocks.0.add"]["group"] == "stream 1"
    assert rows["mixer.relu"]["consumers"] == 0
    assert "812" in rows["head.deep.hidden_layers.12.activation"]["reason"]


def test_a_notebook_shows_names_as_text():
    shown = readings.small()._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "and 40 more sites" in readings.wide(100)._repr_html_()
