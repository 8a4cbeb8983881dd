"""Plans and proofs are plain, finite and frozen."""

import math

import pytest
from pydantic import ValidationError

import shrinking_readings as made
from netcaliper.reading.shrinking import Gate, Latency


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(ValidationError, match="finite"):
        Gate(agreement=value, examples=3)
    with pytest.raises(ValidationError, match="finite"):
        made.plan(surgery={"scale": [1.0, value]})


def test_records_are_frozen_and_know_no_other_words():
    with pytest.raises(ValidationError, match="frozen"):
        made.plan().seed = 3
    with pytest.raises(ValidationError, match="Extra inputs"):
        made.proof(agreemnt=1.0)


@pytest.mark.parametrize(
    ("low", "ratio", "high", "faster", "slower"),
    [(0.7, 0.8, 0.99, True, False), (0.7, 0.8, 1.0, False, False), (1.01, 1.1, 1.3, False, True)],
)
def test_faster_and_slower_need_the_whole_interval(low, ratio, high, faster, slower):
    latency = Latency(ratio=ratio, low=low, high=high, pairs=41)
    assert (latency.faster, latency.slower) == (faster, slower)


def test_what_other_programs_rely_on_is_there():
    names = {
        "agreement", "agreement_low", "examples", "disagreements", "max_abs_difference", "parameters_before",
        "parameters_after", "macs_before", "macs_after", "tier", "verification_reads",
    }  # fmt: skip
    assert names <= set(made.proof().model_dump())
    assert made.bare().proof.verification_reads == 1
