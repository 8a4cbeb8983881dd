import pytest

from netcaliper.reading.study import Effect
from netcaliper.study.claims.claim_schema import Claim
from netcaliper.study.claims.words import interval_words, reads, span_words, threshold_words, unit_words

BASE = {"name": "a", "sentence": "s", "column": "prunable_units", "statistic": "growth", "along": "width", "above": 2}


@pytest.mark.parametrize(
    ("more", "words", "unit"),
    [
        ({"where": {"family": "mlp", "size": [1, 2]}},
         "growth of prunable_units a doubling of width, where family = mlp and size = 1 or 2", "g"),
        ({"minus": {"where": {"labels": "random"}, "column": "dead"}},
         "growth of prunable_units a doubling of width; over that of dead, labels = random", "ratio of g"),
        ({"statistic": "mean", "along": None, "minus": {"column": "b"}}, "mean of prunable_units; minus that of b", ""),
        ({"statistic": "slope"}, "slope of prunable_units a doubling of width", "a doubling of width"),
        ({"statistic": "rank"}, "rank correlation of prunable_units with width", "rho"),
        ({"statistic": "flat", "along": None}, "largest minus smallest prunable_units along epoch", ""),
        ({"statistic": "reported", "along": None}, "prunable_units as reported", ""),
        ({"statistic": "gap", "minus": {"column": "b"}}, "prunable_units at equal width; minus that of b", ""),
        ({"statistic": "core", "reference": {"where": {"o": 0}}, "over": {"where": {"c": 2}}},
         "smallest width within 0.01 of the reference's prunable_units; over that of c = 2", "ratio"),
    ],
)  # fmt: skip
def test_what_is_read_is_said_in_words(more, words, unit):
    claim = Claim.model_validate(BASE | more)
    assert reads(claim) == words
    assert unit_words(claim) == unit


def test_thresholds_and_intervals_in_words():
    claim = Claim.model_validate(BASE)
    assert threshold_words(claim) == "above 2"
    assert threshold_words(Claim.model_validate(BASE | {"above": None, "below": 0.5})) == "below 0.5"
    assert threshold_words(Claim.model_validate(BASE | {"above": None, "within": [0.8, 1.3]})) == "within 0.8 to 1.3"
    assert interval_words(claim, 3) == "95 % t interval over 3 seeds"
    assert interval_words(claim, 8) == "95 % bootstrap (expanded percentiles) over 8 seeds"
    assert span_words(Effect(value=1.5, low=1.2345, high=1.9)) == "1.23 to 1.9"
