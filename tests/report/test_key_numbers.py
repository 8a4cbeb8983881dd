"""The numbers at the top: each with its sample or interval, and the twin's beside it."""

import pytest

import readings
from netcaliper.reading.schema import NeededAt
from netcaliper.report.key_numbers import key_numbers
from readings import there


def keys(reading):
    return {key["label"]: (key["value"], key["note"]) for key in key_numbers(reading)}


def test_what_was_measured_stands_there_with_the_twin():
    reading = readings.whole()
    share, other = there(reading.network.prunable), there(there(reading.twin).network.prunable)
    low, high = there(share.low), there(share.high)
    found = keys(reading)
    assert found["Needed, at most"] == ("183", "38.1 % of all; untrained 383")
    assert found["Same answers with only these"] == ("99.3 %", "at least 98.5 % at 95 %; 599 held-back examples")
    assert found["Enough for 97 % of answers"] == ("163", "of 480")
    sure = f"{100 * low:.1f} to {100 * high:.1f} %, 8 orders; untrained {100 * other.value:.1f} %"
    assert found["Prunable at random"] == (f"{100 * share.value:.1f} %", sure)
    assert found["Redundant"][1] == "35.0 to 39.0 %, n = 4,096; untrained 37.0 %"


def test_undefined_is_said_on_either_side():
    assert keys(readings.whole(lopsided=True))["Prunable at random"][1].endswith("; untrained undefined")
    reading = readings.whole()
    row = reading.network.model_copy(update={"prunable": None, "ablation": None})
    lopsided = {"network": row, "warnings": (f"network: prunable: {readings.LOPSIDED}.",)}
    value, note = keys(reading.model_copy(update=lopsided))["Prunable at random"]
    assert value == "undefined"
    assert note.startswith("one class holds 93.0% of the predictions of the untouched network; untrained 5")


def test_a_regression_has_an_error():
    reading = readings.whole()
    row = reading.network.model_copy(update={"agreement": 0.994, "agreement_low": None})
    found = keys(reading.model_copy(update={"network": row}))
    assert found["Output off by, with only these"] == ("0.6 %", "of its variance; 599 held-back examples")
    assert "Same answers with only these" not in found


def test_what_was_not_measured_or_not_confirmed_is_left_out():
    found = keys(readings.small())
    assert not {"Prunable at random", "Same answers with only these", "Enough for 97 % of answers"} & found.keys()
    assert found["Needed, at most"] == ("–", "8 of 9 sites judged")
    reading = readings.whole()
    row = reading.network.model_copy(update={"needed_at_97": NeededAt(target=0.97, units=9, met=False)})
    assert "Enough for 97 % of answers" not in keys(reading.model_copy(update={"network": row}))


@pytest.mark.parametrize(
    ("number", "words"), [(999, "999"), (1000, "1 k"), (154_762, "155 k"), (999_600, "1000 k"), (12_345_678, "12.3 M")]
)
def test_large_numbers_keep_three_digits(number, words):
    row = readings.small().network.model_copy(update={"parameters": number})
    assert keys(readings.small().model_copy(update={"network": row}))["Parameters"][0] == words
