"""Verdicts: the right words for the right counts, and no more than was measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import readings
from netcaliper.reading.verdicts import explain, judged_share, kept, prunable, removable, verdict
from readings import there


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
        (readings.site("a", absorbable=12), "12 of 64 units are absorbable by the next layer"),
        (readings.site("a", losses=(0, 0, 1, 0), absorbable=12),
         "1 of 64 units is a copy of another; 12 absorbable by the next layer"),
        (readings.site("a", absorbable=0), "every unit bends; none can go"),
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


@given(st.tuples(*[st.integers(0, 8)] * 4), st.none() | st.integers(0, 8))
def test_a_verdict_accounts_for_every_removable_unit(losses, absorbable):
    site = readings.site("a", units=42, losses=losses, absorbable=absorbable)
    gone = sum(losses) + (absorbable or 0)
    said = [int(word) for word in verdict(site).replace(";", "").split() if word.isdigit() and word != "42"]
    assert sum(said) == gone
    assert removable(site) == gone
    assert judged_share(site) == (42 - gone) / 42


def test_dead_names_the_rate_that_the_examples_still_allow():
    said = " ".join(explain(readings.site("a", losses=(3, 0, 0, 0), firing_bound=0.0025)))
    assert "3 units never active on 1,198 examples (fires on less than 0.25 % of examples at 95 %)" in said


def test_units_that_failed_on_the_select_rows_are_told():
    assert any("failed on the select rows" in sentence for sentence in explain(readings.site("a", unconfirmed=2)))


def test_absorbable_units_name_the_consumer_that_loses_most():
    site = readings.site("a", absorbable=20, unexplained={"fc1": 0.0031, "fc2": 0.0097})
    (said,) = [sentence for sentence in explain(site) if sentence.startswith("Absorbable")]
    assert "20 units whose part each of the next layers can make up" in said
    assert "(largest loss 0.97 %, at fc2)" in said
    (none,) = [sentence for sentence in explain(readings.site("a", absorbable=0)) if "Absorbable" in sentence]
    assert none.startswith("Absorbable: no unit; without one more, the next layer would lose more than 1 %")
    assert not any("Absorbable" in sentence for sentence in explain(readings.site("a")))


def test_what_was_left_open_at_a_judged_site_is_told():
    site = readings.site("a", reason="consumer head is depthwise")
    assert "Left open: consumer head is depthwise." in explain(site)


def test_a_site_that_was_not_judged_names_the_first_reason_only():
    site = readings.unjudged("a", "too few rows (8 for 9 units): give more; more is better; no labels: none needed")
    assert verdict(site) == "too few rows (8 for 9 units): give more; more is better: not judged"
    assert any(sentence.endswith("no labels: none needed.") for sentence in explain(site))
    assert not any("Left open" in sentence for sentence in explain(readings.unjudged("a", "too few rows")))


def ablated(near=0.5, **more):
    share, ablation, _ = readings.ablated(64, near, **more)
    return share, ablation


def test_prunable_has_its_count_and_both_intervals():
    share, ablation = ablated()
    said = prunable(share, ablation, 64)
    assert said.startswith(
        f"{100 * share.value:.1f} % ({100 * there(share.low):.1f} to {100 * there(share.high):.1f} % over 8 orders; "
    )
    assert "over 399 examples; 95 %), so" in said
    assert f"so {ablation.count} of 64 units can be held at their mean, in random order, while 80 %" in said
    assert "count as" not in said


def test_orders_that_never_cross_are_told():
    share, ablation = ablated(1.0)
    assert share.value == 1.0
    assert prunable(share, ablation, 64).endswith(
        "; 8 of 8 permutations never fell below the threshold; they count as 1"
    )


def test_the_largest_of_few_orders_has_no_interval_over_them():
    share, ablation = ablated(bootstrap_low=None, bootstrap_high=None, permutations=3)
    plain = share.model_copy(update={"low": None, "high": None})
    assert prunable(plain, ablation, 64).startswith(f"{100 * share.value:.1f} %, so ")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "80 % of the predictions stay the same"),
        ({"task": "tokens"}, "80 % of the next-token predictions stay the same"),
        ({"task": "regression", "threshold": 0.9}, "the relative error stays within 10 %"),
    ],
)
def test_what_stays_depends_on_the_task(more, words):
    assert kept(ablated(**more)[1]) == words


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"perturbation": "zero"}, "set to zero, in random order"),
        ({"perturbation": "noise"}, "standard deviations (4"),
        ({"order": "correlated"}, "held at their mean, the most correlated with a random one first"),
    ],
)
def test_how_units_were_taken_away(more, words):
    assert words in prunable(*ablated(**more), 64)


def test_the_twin_stands_beside_and_is_labeled():
    reading = readings.whole()
    twin = there(reading.twin).sites[1]
    (said,) = [sentence for sentence in explain(reading.sites[1], twin) if "win" in sentence]
    assert said.startswith(f"Untrained twin: at most {twin.needed} of 64 units needed, prunable ")
    (shuffled,) = [sentence for sentence in explain(reading.sites[1], twin, shuffled=True) if "win" in sentence]
    assert shuffled.startswith("Twin with shuffled weights: ")
    lopsided = readings.whole(lopsided=True)
    assert any("prunable undefined" in s for s in explain(lopsided.sites[1], there(lopsided.twin).sites[1]))


def test_secondary_measures():
    said = explain(readings.whole().sites[1])
    assert "Class selectivity 0.32 (0.30 to 0.34) on average; 48 of 64 units prefer a class." in said
    assert "A unit has 2.5 others with |r| of at least 0.5 on average; mean |r| 0.12." in said
