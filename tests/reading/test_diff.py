"""Differences between readings: complete, matched by name, with notes on what may be compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import readings
from netcaliper.reading.diff import SITE_COUNTS, SITE_SHARES, diff
from netcaliper.reading.schema import Share


def test_a_reading_does_not_differ_from_itself():
    found = diff(readings.small(), readings.small())
    assert found.same
    assert found.unchanged == len(readings.small().sites)
    assert found.notes == ()
    assert found.to_frame().empty


def test_sites_are_matched_by_name_and_the_rest_is_listed():
    a = readings.assemble((readings.site("one"), readings.site("two"), readings.site("gone")))
    b = readings.assemble((readings.site("new"), readings.site("two", losses=(3, 0, 0, 0)), readings.site("one")))
    found = diff(a, b)
    assert (found.added, found.removed, found.unchanged) == (("new",), ("gone",), 1)
    assert [site.name for site in found.sites] == ["two"]
    changes = {change.field: change for change in found.sites[0].changes}
    assert (changes["dead"].before, changes["dead"].after, changes["dead"].difference) == (0, 3, 3)
    assert changes["needed"].difference == -3
    assert {change.field: change.difference for change in found.network} == {"needed_units": -3}
    frame = found.to_frame()
    assert set(frame["scope"]) == {"network", "site", "added", "removed"}
    assert frame.query("field == 'dead'")["difference"].item() == 3


@given(st.tuples(*[st.integers(0, 8)] * 4), st.tuples(*[st.integers(0, 8)] * 4))
def test_differences_are_antisymmetric(first, second):
    a, b = (readings.assemble((readings.site("x", losses=losses),)) for losses in (first, second))
    there = {change.field: change.difference for site in diff(a, b).sites for change in site.changes}
    back = {change.field: change.difference for site in diff(b, a).sites for change in site.changes}
    assert there.keys() == back.keys()
    for field, difference in there.items():
        assert (difference is None) == (back[field] is None)
        assert difference is None or difference + (back[field] or 0) == 0


@pytest.mark.parametrize("field", [*SITE_COUNTS, *SITE_SHARES])
def test_no_field_is_forgotten(field):
    site = readings.site("x")
    old = getattr(site, field)
    new = Share(value=0.999) if field in SITE_SHARES else (old or 0) + 1
    found = diff(readings.assemble((site,)), _with(site.model_copy(update={field: new})))
    assert field in [change.field for change in found.sites[0].changes]


def _with(site):
    plain = readings.assemble((readings.site("x"),))
    return plain.model_copy(update={"sites": (site,)})


def test_intervals_say_whether_shares_are_apart():
    def reading(value):
        share = Share(value=value, low=value - 0.02, high=value + 0.02, sample=100)
        return readings.assemble((readings.site("x", redundant=share),))

    near, far = (diff(reading(0.3), reading(other)).sites[0].changes[0] for other in (0.31, 0.4))
    assert (near.apart, far.apart) == (False, True)


def test_what_becomes_judged_has_no_difference():
    a = readings.assemble((readings.unjudged("x", "too few rows"),))
    b = readings.assemble((readings.site("x"),))
    changes = {change.field: change for change in diff(a, b).sites[0].changes}
    assert (changes["needed"].before, changes["needed"].after, changes["needed"].difference) == (None, 64, None)
    assert changes["reason"].before == "too few rows"


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"model_fingerprint": "0" * 64}, "two different models"),
        ({"data_fingerprint": "0" * 64}, "different data"),
        ({"seed": 5}, "different seeds"),
        ({"mode": "paper"}, "different modes"),
        ({"examples": {"calibrate": 10}}, "different sample sizes"),
        ({"versions": {"netcaliper": "9"}}, "different versions: netcaliper 0.1.0 and 9"),
    ],
)
def test_what_makes_readings_hard_to_compare_is_noted(update, words):
    a = readings.small()
    b = a.model_copy(update={"provenance": a.provenance.model_copy(update=update)})
    found = diff(a, b)
    assert found.same
    assert any(words in note for note in found.notes)
