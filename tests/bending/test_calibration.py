"""Least squares and means over data, against numpy, batches of any size, and padding."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import netcaliper as nc
from netcaliper.bending.calibration import Sums, fit_targets
from netcaliper.errors import DataError, InputError


def test_the_line_of_least_squares():
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, (50, 4))
    x[:, 3] = 0.7
    y = np.tanh(x)
    sums = Sums.empty(4)
    for part in np.split(np.arange(50), [7, 8, 30]):
        sums.add(torch.from_numpy(x[part]), torch.from_numpy(y[part]))
    a, c = sums.line()
    for unit in range(3):
        slope, offset = np.polyfit(x[:, unit], y[:, unit], 1)
        assert a[unit] == pytest.approx(slope)
        assert c[unit] == pytest.approx(offset)
    assert a[3] == 0.0
    assert c[3] == pytest.approx(np.tanh(0.7))
    zero, mean = sums.mean()
    assert bool((zero == 0).all())
    np.testing.assert_allclose(mean, y.mean(0))


class Gated(nn.Module):
    def __init__(self, halved=False):
        super().__init__()
        self.up, self.gate, self.head = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 2)
        self.halved = halved

    def forward(self, x):
        if self.halved:
            return self.head(F.glu(torch.cat([self.up(x), self.gate(x)], -1)))
        return self.head(self.up(x) * F.silu(self.gate(x)))


@pytest.mark.parametrize("half", [False, True])
def test_a_gate_goes_to_its_mean_and_the_product_is_linear_then(half):
    torch.manual_seed(0)
    model = Gated(half).eval()
    data = torch.randn(20, 3)
    bend = nc.Bending(model, data)
    (site,) = bend.sites
    phi = torch.sigmoid if half else F.silu
    mean = phi(model.gate(data)).mean(0)
    a, c = bend.targets()[site]
    assert bool((a == 0).all())
    torch.testing.assert_close(c, mean)
    bend.set_active({site: torch.tensor([True, False, False, False])})
    expected = model.up(data) * torch.where(torch.tensor([True, False, False, False]), phi(model.gate(data)), mean)
    torch.testing.assert_close(bend.model(data), model.head(expected))
    bend.set_active({site: torch.zeros(4, dtype=torch.bool)})
    torch.testing.assert_close(bend.model(data), model.head(model.up(data) * mean))


def test_bounded_functions_go_to_their_line_over_all_batches():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).eval()
    data = torch.randn(40, 3)
    whole = nc.Bending(model, data)
    parts = nc.Bending(model, data[:4])
    parts.calibrate([(part, torch.zeros(len(part))) for part in data.split(7)])
    x = model[0](data).detach().double().numpy()
    for (a, c), (b, d) in ((whole.targets()["1"], parts.targets()["1"]),):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(c, d)
        slope, offset = np.polyfit(x[:, 2], np.tanh(x[:, 2]), 1)
        assert float(a[2]) == pytest.approx(slope, rel=1e-4)
        assert float(c[2]) == pytest.approx(offset, abs=1e-5)


def test_a_made_up_example_is_no_calibration():
    bend = nc.Bending(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    for call in (bend.penalty, bend.snap):
        with pytest.raises(InputError, match=r"`1` becomes linear by data.*calibrate"):
            call()
    bend.calibrate([torch.randn(5, 3)])
    bend.penalty()


def test_only_before_training():
    bend = nc.Bending(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(5, 3))
    with torch.no_grad():
        bend.model[1].bend_alpha[2] = 0.1
    with pytest.raises(InputError, match="before training"):
        bend.calibrate([torch.randn(5, 3)])


def test_the_weights_of_the_copy_are_what_runs():
    bend = nc.Bending(nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2)), torch.randn(5, 3))
    with torch.no_grad():
        bend.model[0].weight.zero_()
        bend.model[0].bias.fill_(2.0)
    bend.calibrate([torch.randn(5, 3)])
    a, c = bend.targets()["1"]
    assert bool((a == 0).all())
    torch.testing.assert_close(c, torch.sigmoid(torch.full((4,), 2.0)))


def test_values_that_are_not_finite_are_named():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).eval()
    bend = nc.Bending(model, torch.randn(5, 3))
    with pytest.raises(DataError):
        bend.calibrate([torch.full((5, 3), float("nan"))])
    with torch.no_grad():
        model.state_dict()["0.weight"].fill_(3e38)
    with pytest.raises(DataError, match="`1`"):
        fit_targets(bend.graph, bend._slots, [torch.full((5, 3), 10.0)])
