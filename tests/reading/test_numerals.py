"""Numbers for people: never rounded to something that is not so."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.reading.numerals import (
    byte_size,
    count,
    decimal,
    interval,
    percent,
    plural,
    points,
    sampled,
    seconds,
    short,
    span,
    units,
)
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


def test_large_numbers_bytes_and_short_times_have_three_digits():
    assert [short(n) for n in (999, 1000, 155_432, 999_499, 999_999, 12_345_678, 4_100_000_000, 3 * 10**12)] == [
        "999", "1 k", "155 k", "999 k", "1000 k", "12.3 M", "4.1 G", "3 T",
    ]  # fmt: skip
    assert [byte_size(n) for n in (None, 0, 1023, 1024, 1_120_000, 1_048_000, 5 * 2**30)] == [
        "–", "0 B", "1,023 B", "1 KiB", "1.07 MiB", "1,023 KiB", "5 GiB",
    ]  # fmt: skip
    assert [seconds(s) for s in (None, 2.5, 0.00321, 4.2e-5)] == ["–", "2.5 s", "3.21 ms", "42 µs"]
