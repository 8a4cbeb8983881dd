"""Numbers for people: never rounded to something that is not so."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.reading.numerals import count, decimal, interval, percent, plural, points, sampled, span, units
from netcaliper.reading.schema import Share


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0.0 %"),
        (1.0, "100.0 %"),
        (0.3056, "30.6 %"),
        (1e-9, "<0.1 %"),
        (1 - 1e-9, ">99.9 %"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_percent(value, words):
    assert percent(value) == words


@given(st.floats(0, 1))
def test_only_nothing_is_zero_and_only_everything_is_a_hundred(value):
    assert (percent(value) == "0.0 %") == (value == 0)
    assert (percent(value) == "100.0 %") == (value == 1)


def test_counts_nouns_and_intervals():
    assert (count(1024), count(None)) == ("1,024", "–")
    assert (units(1), units(1024), plural(2, "site")) == ("1 unit", "1,024 units", "2 sites")
    assert interval(Share(value=0.3, low=0.281, high=0.33)) == "28.1 to 33.0 %"
    assert interval(Share(value=0.3)) == interval(None) == "–"
    assert span(0.281, 0.33) == "28.1 to 33.0 %"
    assert span(None, 0.33) == "–"
    assert sampled(Share(value=0.3, low=0.281, high=0.33, sample=4096)) == "28.1 to 33.0 %, n = 4,096"
    assert sampled(Share(value=0.3, sample=7)) == "n = 7"


def test_differences_have_their_sign_and_indices_two_decimals():
    assert (points(0.041), points(-0.006), points(0.03, 0.052)) == ("+4.1", "-0.6", "+3.0 to +5.2")
    assert (decimal(0.316), decimal(None), decimal(math.nan)) == ("0.32", "–", "–")
