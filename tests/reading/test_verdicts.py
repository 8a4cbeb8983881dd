"""Verdicts: the right words for the right counts, and no more than was measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import readings
from netcaliper.reading.numerals import interval, percent
from netcaliper.reading.schema import Share
from netcaliper.reading.verdicts import explain, headline, judged_share, network_verdict, removable, verdict


@pytest.mark.parametrize(
    ("site", "words"),
    [
        (readings.site("a", losses=(0, 0, 10, 24)), "34 of 64 units are copies or combinations of others"),
        (readings.site("a", losses=(0, 0, 10, 0)), "10 of 64 units are copies of others"),
        (readings.site("a", losses=(0, 0, 1, 0)), "1 of 64 units is a copy of another"),
        (readings.site("a", losses=(0, 0, 0, 1)), "1 of 64 units is a combination of others"),
        (readings.site("a", losses=(5, 2, 1, 1)),
         "2 of 64 units are copies or combinations of others; 5 never active; 2 constant"),
        (readings.site("a", losses=(1, 0, 0, 0)), "1 of 64 units is never active"),
        (readings.site("a", units=1, losses=(0, 1, 0, 0)), "1 of 1 unit is constant"),
        (readings.site("a"), "every unit bends; nothing exact to remove"),
        (readings.site("a", always=(64, 0)), "every unit is always on, a linear layer; nothing exact to remove"),
        (readings.site("a", always=(4, 0)), "4 of 64 units always on; nothing exact to remove"),
        (readings.site("a", op="gelu"), "nothing exact to remove"),
        (readings.site("a", op="add", kind="stream"), "nothing exact to remove"),
        (readings.unjudged("a", "too few rows (812 for 1,024 units)", units=1024),
         "too few rows (812 for 1,024 units): not judged"),
        (readings.unjudged("a", "", units=1024, rows=812), "too few rows (812 for 1,024 units): not judged"),
        (readings.unjudged("a", "", refused="softmax mixes the units."), "not read: softmax mixes the units"),
        (readings.unjudged("a", ""), "not judged"),
    ],
)  # fmt: skip
def test_verdict(site, words):
    assert verdict(site) == words


@given(st.tuples(*[st.integers(0, 8)] * 4))
def test_a_verdict_accounts_for_every_removable_unit(losses):
    site = readings.site("a", units=32, losses=losses)
    said = [int(word) for word in verdict(site).replace(";", "").split() if word.isdigit() and word != "32"]
    assert sum(said) == sum(losses) or not any(losses)
    assert removable(site) == sum(losses)
    assert judged_share(site) == (32 - sum(losses)) / 32


def test_dead_names_the_rate_that_the_examples_still_allow():
    said = " ".join(explain(readings.site("a", losses=(3, 0, 0, 0), firing_bound=0.0025)))
    assert "3 units never active on 1,198 examples (fires on less than 0.25 % of examples at 95 %)" in said


def test_units_that_failed_on_the_select_rows_are_told():
    assert any("failed on the select rows" in sentence for sentence in explain(readings.site("a", unconfirmed=2)))


def test_headline_and_network_verdict():
    reading = readings.small()
    assert headline(reading) == "1,384 units on paper, 50 of them exactly removable (3.6 %)."
    said = network_verdict(reading)
    assert "on 1,198 examples" in said
    assert "at most 1,334 of 1,384 units are needed: 6 never active, 2 constant, 11 copies, 31 combinations" in said
    assert "Not judged: 1 site with 1,024 units." in said
    assert "Not read: 2 parts" in said


def test_headline_when_there_is_nothing_to_say():
    assert headline(readings.assemble((readings.site("a"),))) == "64 units on paper, and nothing is exactly removable."
    nothing = readings.assemble((readings.unjudged("a", "too few rows"),))
    assert headline(nothing) == "64 units on paper; none of it could be judged."
    assert "no site" in network_verdict(nothing)


def test_the_mix_is_left_out_where_groups_make_it_ambiguous():
    stream = {"op": "add", "kind": "stream", "group": "stream 1", "losses": (4, 0, 0, 0)}
    reading = readings.assemble((readings.site("a", **stream), readings.site("b", **stream)))
    assert "60 of 64 units are needed." in network_verdict(reading)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (float("nan"), "–"), (0.0, "0.0 %"), (1.0, "100.0 %"), (1e-9, "<0.1 %"),
     (1 - 1e-9, ">99.9 %"), (0.306, "30.6 %")],
)  # fmt: skip
def test_percent_never_rounds_to_none_or_all(value, text):
    assert percent(value) == text


def test_interval():
    assert interval(Share(value=0.3, low=0.281, high=0.33)) == "28.1 to 33.0 %"
    assert interval(Share(value=0.3)) == interval(None) == "–"
