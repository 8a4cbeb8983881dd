"""How wide the network really is, in one sentence: an upper bound, with what it rests on, and never more."""

import pytest

import readings
from netcaliper.reading.headline import headline, network_verdict, twin_name
from netcaliper.reading.schema import NeededAt
from readings import there

WHOLE = (
    "480 units on paper; at most 183 of them are needed (38.1 %), and with all others taken over by these the network "
    "still gives the same answer on 99.3 % of 599 held-back examples (at least 98.5 % at 95 %); untrained, the same "
    "network needs 383."
)


def changed(reading=None, *, twin=None, **network):
    """A reading with another network row, and another one of its twin."""
    reading = reading or readings.whole()
    update = {"network": reading.network.model_copy(update=network)}
    if twin is not None:
        row = there(reading.twin).network.model_copy(update=twin)
        update["twin"] = there(reading.twin).model_copy(update={"network": row})
    return reading.model_copy(update=update)


def test_everything_in_one_sentence():
    assert headline(readings.whole()) == WHOLE


def test_without_a_twin():
    assert headline(readings.whole().model_copy(update={"twin": None})) == f"{WHOLE.partition('; untrained')[0]}."


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (184, "; untrained, the same network needs 184."),
        (183, "; untrained, the same network needs just as many, so training is not what made it narrow."),
        (90, "; untrained, the same network needs even fewer, 90, so training is not what made it narrow."),
    ],
)
def test_a_twin_that_needs_no_more_takes_the_credit_from_training(needs, words):
    assert headline(changed(twin={"needed_units": needs})).endswith(words)


def test_a_twin_that_was_not_judged_is_left_out():
    assert "untrained" not in headline(changed(twin={"needed_units": None}))


def test_a_shuffled_twin_is_called_so():
    reading = readings.whole()
    shuffled = reading.model_copy(update={"twin": there(reading.twin).model_copy(update={"kind": "shuffled"})})
    assert twin_name(there(shuffled.twin)) == "with its weights shuffled"
    assert "; with its weights shuffled, the same network needs 383." in headline(shuffled)


def test_low_agreement_is_said_and_what_would_keep_the_answers():
    said = headline(changed(agreement=0.88, agreement_low=0.852))
    assert said.startswith("480 units on paper; layer by layer, at most 183 of them are needed (38.1 %), but with all ")
    assert "taken over at once by these the network gives the same answer on only 88.0 % of" in said
    assert "(at least 85.2 % at 95 %), while 163 of 480 keep 97 % of its answers; untrained" in said
    said = headline(changed(agreement=0.88, agreement_low=0.852, needed_at_97=NeededAt(target=0.97, reason="no tau")))
    assert "while" not in said


def test_an_agreement_between_target_and_bound_gives_its_bound():
    assert "still gives the same answer on 97.2 % of 599 held-back examples (at least 95.8 % at 95 %)" in headline(
        changed(agreement=0.972, agreement_low=0.958)
    )


def test_a_count_that_was_not_verified_says_so():
    assert "at most 183 of them are needed (38.1 %, not verified on held-back examples); untrained" in headline(
        changed(agreement=None, agreement_low=None)
    )


def test_next_tokens_are_no_answers():
    ablation = there(readings.whole().network.ablation).model_copy(update={"task": "tokens"})
    assert "still gives the same next token in 99.3 % of the cases, on 599 held-back examples" in headline(
        changed(ablation=ablation)
    )


def test_absorption_that_was_judged_at_some_sites_only():
    sites = (readings.site("a", absorbable=10), readings.site("b", losses=(4, 0, 0, 0)))
    assert headline(readings.assemble(sites)) == (
        "128 units on paper; at most 114 of them are needed (89.1 %, what the next layer can absorb was judged at 1 of "
        "2 sites, not verified on held-back examples)."
    )


def test_sites_that_were_not_judged():
    assert headline(readings.small()) == (
        "1,384 units on paper; 8 of 9 sites could be judged, with at most 350 of 400 units needed (87.5 %, after "
        "everything that is exactly removable)."
    )


def test_the_twin_is_compared_at_the_sites_that_were_judged():
    reading = readings.whole()
    open_site = readings.unjudged("head.relu", "too few rows", units=256)
    partly = changed(
        reading.model_copy(update={"sites": (*reading.sites[:-1], open_site)}), needed_units=None, agreement=None
    )
    left = sum(there(site.needed) for site in reading.sites[:-1])
    other = sum(there(site.needed) for site in there(reading.twin).sites[:-1])
    said = headline(partly)
    assert f"; 3 of 4 sites could be judged, with at most {left} of 224 units needed (" in said
    assert said.endswith(f"; untrained, the same network needs {other}.")


@pytest.mark.parametrize(
    ("sites", "words"),
    [
        ((readings.site("a"),), "64 units on paper, and nothing is exactly removable."),
        ((readings.site("a", absorbable=0),), "64 units on paper, and no unit was found that can go."),
        (
            (readings.site("a", absorbable=0), readings.site("b")),
            "128 units on paper, and no unit was found that can go (what the next layer can absorb was judged at 1 of "
            "2 sites).",
        ),
        ((readings.unjudged("a", "too few rows"),), "64 units on paper; none of it could be judged."),
        ((), "0 units on paper; none of it could be judged."),
        (
            (readings.site("a", units=8, losses=(7, 0, 0, 0)),),
            "8 units on paper; at most 1 of them is needed (12.5 %, after everything that is exactly removable).",
        ),
    ],
)
def test_where_there_is_little_to_say(sites, words):
    assert headline(readings.assemble(sites)) == words


def test_a_network_of_which_nothing_can_go_still_names_its_twin():
    reading = readings.assemble((readings.site("a", absorbable=0),))
    twin = there(readings.whole(1).twin).model_copy(
        update={"network": reading.network.model_copy(update={"needed_units": 30}), "sites": reading.sites}
    )
    said = headline(reading.model_copy(update={"twin": twin}))
    assert (
        said
        == "64 units on paper, and no unit was found that can go; untrained, the same network needs even fewer, 30."
    )


def test_the_verdict_names_what_the_units_are():
    said = network_verdict(readings.small())
    assert "At 9 sites, on 1,198 examples, at most 350 of 400 units of the 8 sites that could be judged" in said
    assert "the others are 6 never active, 2 constant, 11 copies and 31 combinations of others." in said
    assert "Not judged: 1 site with 1,024 units." in said
    assert "Not read: 2 parts" in said
    assert "172 that the next layer can absorb." in network_verdict(readings.whole())
    nothing = readings.assemble((readings.unjudged("a", "too few rows"),))
    assert "no site had enough rows" in network_verdict(nothing)
    assert "or absorbable by the next layer." in network_verdict(readings.assemble((readings.site("a", absorbable=0),)))


def test_the_mix_is_left_out_where_groups_make_it_ambiguous():
    stream = {"op": "add", "kind": "stream", "group": "stream 1", "losses": (4, 0, 0, 0)}
    reading = readings.assemble((readings.site("a", **stream), readings.site("b", **stream)))
    assert "60 of 64 units are needed." in network_verdict(reading)


def test_prunable_with_its_interval_and_the_twin():
    share = there(readings.whole().network.prunable)
    said = network_verdict(readings.whole())
    sure = f"({100 * there(share.low):.1f} to {100 * there(share.high):.1f} % over 8 orders)"
    assert (
        f"Held at their mean in random order, {100 * share.value:.1f} % of the units {sure} can go while 80 % " in said
    )
    assert f"; untrained, {100 * there(there(readings.whole().twin).network.prunable).value:.1f} %." in said
    assert "; untrained, it is undefined." in network_verdict(readings.whole(lopsided=True))


def without_share(why):
    reading = changed(prunable=None, ablation=None)
    return network_verdict(reading.model_copy(update={"warnings": (f"network: prunable: {why}.",)}))


def test_an_undefined_share_has_its_reason_and_no_number():
    assert f"The prunable share is {readings.LOPSIDED}; untrained, 5" in without_share(readings.LOPSIDED)
    assert "The prunable share is open: too few examples (9); untrained" in without_share("too few examples (9)")
    assert "prunable" not in network_verdict(readings.small())


def test_orders_that_never_cross_and_correlated_ones():
    share, ablation, _ = readings.ablated(480, 1.0, order="correlated")
    said = network_verdict(changed(prunable=share, ablation=ablation))
    assert "Held at their mean with the most correlated first, 100.0 % of the units" in said
    assert "with 8 of 8 orders that holds to the end" in said


def test_needed_at_97_beside_chance():
    said = network_verdict(readings.whole())
    assert "To keep 97 % of the answers, 163 of 480 units are enough (98.7 % of 599 held-back examples, at" in said
    assert "As many units chosen at random keep 60.9 %: the choice is worth +37.7 points (+33.4 to +42.0)." in said


def at_97(**more):
    return there(readings.whole().network.needed_at_97).model_copy(update=more)


def test_needed_at_97_that_was_not_confirmed_is_not_claimed():
    said = network_verdict(changed(needed_at_97=at_97(agreement=0.958, agreement_low=0.94, met=False)))
    assert "On select examples 163 of 480 units keep 97 % of the answers; this was not confirmed (95.8 %" in said
    assert "are enough" not in said


def test_no_clear_difference_to_chance_is_said():
    found = at_97(advantage=0.004, advantage_low=-0.006, advantage_high=0.014)
    assert "+0.4 points (-0.6 to +1.4), which is no clear difference." in network_verdict(changed(needed_at_97=found))


def test_needed_at_97_that_was_refused_has_its_reason():
    refused = NeededAt(target=0.97, reason="60 verify examples cannot show 97 % at 95 %; 99 are needed.")
    assert "is open: 60 verify examples cannot show 97 % at 95 %; 99 are needed." in network_verdict(
        changed(needed_at_97=refused)
    )


def test_a_regression_has_an_error_and_no_bound():
    found = at_97(agreement=0.981, agreement_low=None)
    reading = changed(agreement=0.994, agreement_low=None, needed_at_97=found)
    assert (
        "and with all others taken over by these the network is off by 0.6 % of the variance of its output on 599 "
        "held-back examples; untrained"
    ) in headline(reading)
    said = network_verdict(reading)
    assert "To keep 97 % of the variance of the output, 163 of 480 units are enough (98.1 % on 599 held" in said
