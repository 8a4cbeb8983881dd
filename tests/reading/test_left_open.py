"""Reasons and warnings, taken apart and put together."""

import pytest

import readings
from netcaliper.reading.left_open import all_warnings, left_open, reasons, undefined, why_not_prunable


@pytest.mark.parametrize(
    ("reason", "parts"),
    [
        (None, ()),
        ("", ()),
        ("too few rows", ("too few rows",)),
        ("no labels: one is needed; prunable: not ablated", ("no labels: one is needed", "prunable: not ablated")),
        ("needed: too few rows; give more; prunable: x", ("needed: too few rows; give more", "prunable: x")),
    ],
)
def test_reasons_are_taken_apart_at_the_measures(reason, parts):
    assert reasons(reason) == parts
    assert "; ".join(parts) == (reason or "")


def test_the_reason_of_one_measure():
    assert left_open("no labels: one; prunable: undefined: one class", "prunable") == "undefined: one class"
    assert left_open("no labels: one", "prunable") is None
    assert left_open(None, "prunable") is None


def test_a_warning_about_the_network_says_why_it_has_no_prunable_share():
    assert why_not_prunable(("data: shuffled", "network: prunable: too few examples (9).")) == "too few examples (9)"
    assert undefined(("network: prunable: too few examples (9).",)) is None
    assert undefined((f"network: prunable: {readings.LOPSIDED}.",)) == readings.LOPSIDED
    assert undefined(("conv1: prunable: undefined: so",)) is None
    assert why_not_prunable(()) is None


def test_every_warning_says_what_it_is_about():
    reading = readings.whole(lopsided=True)
    site = reading.sites[0].model_copy(update={"warnings": ("few rows",)})
    reading = reading.model_copy(update={"sites": (site, *reading.sites[1:]), "warnings": ("shuffled",)})
    assert all_warnings(reading) == (
        "shuffled",
        "features.0.relu: few rows",
        f"twin: network: prunable: {readings.LOPSIDED}.",
    )
