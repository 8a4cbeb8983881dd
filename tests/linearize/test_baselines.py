"""Random units keep the numbers, straight lines are fitted as least squares does it, and planted units are told."""

import numpy as np
import pytest
import torch
from torch import nn

from netcaliper.bending.bending import Bending
from netcaliper.linearize.baselines import curvature, least_straight, random_active
from netcaliper.trace.batches import as_batch


def test_random_units_are_as_many_at_every_site():
    active = {"a": torch.arange(50) < 20, "b": torch.arange(9) < 9, "c": torch.zeros(4, dtype=torch.bool)}
    found = random_active(active, 0)
    assert {name: int(mine.sum()) for name, mine in found.items()} == {"a": 20, "b": 9, "c": 0}
    assert not torch.equal(found["a"], active["a"])
    again, other = random_active(active, 0), random_active(active, 1)
    assert torch.equal(found["a"], again["a"])
    assert not torch.equal(found["a"], other["a"])


def test_the_most_curved_units_stay_wherever_they_are():
    found = least_straight({"a": np.array([0.1, 0.9, 0.5]), "b": np.array([0.7, 0.0])}, 2)
    assert [mine.tolist() for mine in found.values()] == [[False, True, False], [True, False]]
    equals = least_straight({"a": np.array([0.5, 0.5]), "b": np.array([0.5])}, 2)
    assert [mine.tolist() for mine in equals.values()] == [[True, True], [False]]


@pytest.fixture(scope="module")
def planted():
    """A layer whose first unit is always on, whose second is always off, and a third that bends."""
    first, middle, last = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)
    with torch.no_grad():
        first.weight.copy_(torch.eye(3))
        first.bias.zero_()
    model = nn.Sequential(first, nn.Tanh(), middle, nn.ReLU(), last)
    with torch.no_grad():
        middle.weight.copy_(torch.eye(3))
        middle.bias.copy_(torch.tensor([100.0, -100.0, 0.1]))
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
    return model, x, Bending(model, x)


def test_curvature_is_what_least_squares_leaves(planted):
    model, x, bending = planted
    batches = [as_batch(x[:40]), as_batch(x[40:])]
    found = curvature(bending, model.state_dict(), batches)
    with torch.no_grad():
        before = model[:3](x).double().numpy()
        after = np.maximum(before, 0)
        pre = model[:1](x).double().numpy()
    tanh, relu = (found[name] for name in bending.sites)
    for unit in range(3):
        line = np.polyfit(pre[:, unit], np.tanh(pre[:, unit]), 1)
        left = np.var(np.tanh(pre[:, unit]) - np.polyval(line, pre[:, unit])) / np.var(np.tanh(pre[:, unit]))
        assert tanh[unit] == pytest.approx(left, rel=1e-4)
    line = np.polyfit(before[:, 2], after[:, 2], 1)
    assert relu[2] == pytest.approx(
        np.var(after[:, 2] - np.polyval(line, before[:, 2])) / np.var(after[:, 2]), rel=1e-4
    )
    assert relu[0] == pytest.approx(0, abs=1e-6)
    assert relu[1] == 1


def test_a_gated_product_is_straight_in_what_is_gated():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.up, self.down = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(3, 2)

        def forward(self, x):
            return self.down(nn.functional.silu(self.gate(x)) * self.up(x))

    model = Gated()
    with torch.no_grad():  # the first gate hardly moves: the product is nearly a multiple of what is gated
        model.gate.weight[0] = 0
        model.gate.weight[1:] *= 8
        model.gate.bias[0] = 3
    x = torch.randn(128, 4, generator=torch.Generator().manual_seed(0))
    bending = Bending(model, x)
    (found,) = curvature(bending, model.state_dict(), [as_batch(x)]).values()
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert found[1:].min() > 0.05
