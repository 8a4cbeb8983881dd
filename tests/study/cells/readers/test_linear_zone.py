"""Lift: planted units in the linear zone, of which a known share became linear."""

from typing import Any

import numpy as np
import pytest
import torch

from netcaliper.study.cells.networks import build_network
from netcaliper.study.cells.readers.linear_zone import read
from netcaliper.zoo.data import digits


def network(always_on):
    """Return one whose first units of its one site are above 0 on every example, the others on half of them."""
    loaded = build_network("zoo:mlp", {"inputs": 64, "widths": [10], "classes": 10}, seed=0)
    linear: Any = loaded.model.get_submodule("hidden.0.linear")
    with torch.no_grad():
        middle = (digits("test").x.flatten(1) @ linear.weight.T).median(0).values
        linear.bias.copy_(torch.where(torch.arange(10) < always_on, 100.0, -middle))
    return loaded


def test_lift_of_planted_units():
    active = np.ones(10, dtype=bool)
    active[[0, 1, 2, 7]] = False  # 3 of 4 in the zone, 1 of 6 of the others
    planted, site = network(4), "hidden.0.act"
    found = read(planted, digits("test"), {site: active}, seed=0)
    assert found["linear_zone_lift"] == pytest.approx(3 / 4 - 1 / 6)
    assert (found["linear_zone_units"], found["linear_zone_note"]) == (4, None)
    # Rows of verify examples are not read, so that half of the rows is not exactly one half.
    assert found["linear_share_lift"] == pytest.approx((3 + 0.5) / 4 - (1 + 5 * 0.5) / 6, abs=0.05)
    found = read(planted, digits("test"), {site: np.ones(10, dtype=bool)}, seed=0)
    assert (found["linear_zone_lift"], found["linear_share_lift"]) == (0.0, None)
    assert found["linear_zone_note"] == "0 of 10 units became linear, so that there is nothing to compare"
    nothing = read(planted, digits("test"), {}, seed=0)
    assert nothing["linear_zone_lift"] is nothing["linear_share_lift"] is None


@pytest.mark.parametrize("always_on", [0, 10])
def test_without_units_of_both_kinds_there_is_no_lift(always_on):
    active = np.arange(10) < 5
    found = read(network(always_on), digits("test"), {"hidden.0.act": active}, seed=0)
    assert found["linear_zone_lift"] is None
    words = f"{always_on} of 10 units had been in the linear zone, so that there is nothing to compare"
    assert found["linear_zone_note"] == words
    assert found["linear_share_lift"] == pytest.approx(0.0, abs=0.05)
