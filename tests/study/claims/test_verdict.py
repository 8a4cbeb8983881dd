import pytest

from netcaliper.reading.study import Effect
from netcaliper.study.claims.claim_schema import Claim
from netcaliper.study.claims.verdict import verdict_of


def claim(**threshold):
    return Claim.model_validate(
        {"name": "a", "sentence": "s", "statistic": "growth", "column": "y", "along": "width"} | threshold
    )


def effect(low, high):
    return Effect(value=(low + high) / 2, low=low, high=high)


@pytest.mark.parametrize(
    ("threshold", "low", "high", "verdict"),
    [
        ({"above": 1.0}, 1.01, 2.0, "holds"),
        ({"above": 1.0}, 1.0, 2.0, "undecided"),
        ({"above": 1.0}, 0.5, 1.0, "contradicted"),  # at the threshold is not above it
        ({"above": 1.0}, 1.0, 1.0, "contradicted"),
        ({"below": 1.0}, 0.5, 0.99, "holds"),
        ({"below": 1.0}, 0.5, 1.0, "undecided"),
        ({"below": 1.0}, 1.0, 1.0, "contradicted"),
        ({"within": [0.8, 1.2]}, 0.8, 1.2, "holds"),
        ({"within": [0.8, 1.2]}, 0.7, 1.2, "undecided"),
        ({"within": [0.8, 1.2]}, 0.7, 1.3, "undecided"),
        ({"within": [0.8, 1.2]}, 1.3, 1.4, "contradicted"),
    ],
)
def test_ends_of_intervals_decide(threshold, low, high, verdict):
    assert verdict_of(claim(**threshold), effect(low, high), None)[0] == verdict


@pytest.mark.parametrize(
    ("threshold", "own", "twin", "verdict"),
    [
        ({"above": 1.0}, (1.2, 1.4), (1.1, 1.2), "holds"),
        ({"above": 1.0}, (1.2, 1.4), (0.9, 1.2), "undecided"),
        ({"above": 1.0}, (1.2, 1.4), (0.8, 0.9), "contradicted"),
        ({"above": 1.0}, (0.9, 1.4), (1.1, 1.2), "undecided"),
        ({"above": 1.0}, (0.8, 0.9), (1.1, 1.2), "contradicted"),
        ({"below": 0.9}, (0.5, 0.6), (0.7, 0.8), "holds"),
        ({"below": 0.9}, (0.5, 0.6), (1.1, 1.2), "contradicted"),
    ],
)
def test_beside_a_twin_both_parts_must_hold_and_one_can_contradict(threshold, own, twin, verdict):
    found, reason = verdict_of(claim(beside_twin=True, **threshold), effect(*own), effect(*twin))
    assert found == verdict
    assert (reason is None) == (verdict == "holds" or own[1] < 1 == (threshold == {"above": 1.0}))


def test_without_an_interval_beside_the_twin_nothing_is_decided():
    words = ("undecided", "there is no interval beside the twin")
    assert verdict_of(claim(above=1.0, beside_twin=True), effect(1.2, 1.3), None) == words
    assert verdict_of(claim(above=1.0, beside_twin=True), effect(1.2, 1.3), Effect(value=1.1)) == words
    _, reason = verdict_of(claim(above=1.0, beside_twin=True), effect(0.9, 1.3), effect(1.1, 1.2), "two are too few")
    assert reason == "two are too few; the interval 0.9 to 1.3 reaches across the threshold"


def test_what_is_wrong_without_the_twin_is_wrong():
    for twin, lacks in ((None, ""), (None, "too few"), (effect(1.1, 1.2), "too few")):
        assert verdict_of(claim(above=1.0, beside_twin=True), effect(0.8, 0.9), twin, lacks) == ("contradicted", None)
