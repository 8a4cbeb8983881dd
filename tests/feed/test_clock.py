"""Seconds by phase."""

import time

import pytest

from netcaliper.feed.clock import Clock


def test_phases_add_up():
    clock = Clock()
    for _ in range(2):
        with clock("a"):
            time.sleep(0.01)
    with clock("b"):
        pass
    assert clock.seconds["a"] >= 0.02
    assert 0 <= clock.seconds["b"] < clock.seconds["a"]


def test_a_phase_that_fails_is_not_counted():
    clock = Clock()
    with pytest.raises(ValueError, match="no"), clock("a"):
        raise ValueError("no")
    assert clock.seconds == {}
