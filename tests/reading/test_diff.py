"""Differences between readings: complete, matched by name, with notes on what may be compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import readings
from netcaliper.reading.diff import NEEDED_AT_NUMBERS, SHARES, SITE_COUNTS, SITE_SHARES, SITE_VALUES, diff
from netcaliper.reading.schema import Share
from readings import there


def test_a_reading_does_not_differ_from_itself():
    for reading, again in ((readings.small(), readings.small()), (readings.whole(), readings.whole())):
        found = diff(reading, again)
        assert found.same
        assert found.unchanged == len(reading.sites)
        assert found.notes == ()
        assert found.to_frame().empty


def network_changes(**update):
    reading = readings.whole()
    found = diff(reading, reading.model_copy(update={"network": reading.network.model_copy(update=update)}))
    return {change.field: change for change in found.network}


def test_the_parts_of_needed_at_97_are_compared_one_by_one():
    before = there(readings.whole().network.needed_at_97)
    changes = network_changes(needed_at_97=before.model_copy(update={"units": 150, "tau": 0.02, "met": False}))
    assert changes.keys() == {"needed_at_97.units", "needed_at_97.tau", "needed_at_97.met"}
    assert changes["needed_at_97.units"].difference == 150 - there(before.units)
    assert (changes["needed_at_97.met"].before, changes["needed_at_97.met"].difference) == (True, None)
    gone = network_changes(needed_at_97=None)
    assert set(gone) == {f"needed_at_97.{name}" for name in (*NEEDED_AT_NUMBERS, "met")}
    assert all(change.after is None for change in gone.values())


def test_agreement_and_ablation_are_compared():
    ablation = there(readings.whole().network.ablation).model_copy(update={"censored": 3, "perturbation": "zero"})
    changes = network_changes(agreement=0.95, ablation=ablation)
    assert changes.keys() == {"agreement", "ablation.censored", "ablation.perturbation"}
    assert changes["ablation.perturbation"].after == "zero"
    assert changes["ablation.perturbation"].difference is None


def test_the_largest_loss_of_a_site_is_compared():
    a = readings.assemble((readings.site("x", absorbable=4, unexplained={"a": 0.003, "b": 0.009}),))
    b = readings.assemble((readings.site("x", absorbable=4, unexplained={"a": 0.008, "b": 0.001}),))
    (change,) = diff(a, b).sites[0].changes
    assert (change.field, change.before, change.after) == ("unexplained", 0.009, 0.008)


def test_the_twin_is_compared_under_its_own_names():
    a, b = readings.whole(), readings.whole(lopsided=True)
    found = diff(a, b)
    assert not found.same
    assert all(change.field.startswith("twin_") for site in found.sites for change in site.changes)
    assert {"twin_prunable", "twin_ablation.count"} <= {change.field for change in found.sites[0].changes}
    assert "twin_prunable" in {change.field for change in found.network}
    without = diff(a, a.model_copy(update={"twin": None, "arrays": {}}))
    assert "different twins (factory of seed 1 and none)" in without.notes
    assert {"twin_needed", "twin_dead"} <= {change.field for change in without.sites[0].changes}


def test_shares_are_known_by_name():
    assert {"prunable", "twin_prunable", "needed_at_97.agreement", "agreement", "unexplained"} <= SHARES
    assert not {"needed", "twin_needed", "needed_at_97.units", "correlated_neighbors"} & SHARES


def test_numbers_that_are_none_twice_do_not_differ():
    network = readings.small().network.model_copy(update={"path_length": float("nan")})
    reading = readings.small().model_copy(update={"network": network})
    assert diff(reading, reading).same


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


@pytest.mark.parametrize("field", [*SITE_COUNTS, *SITE_SHARES, *SITE_VALUES])
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
