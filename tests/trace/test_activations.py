"""Each entry says where its function is exactly linear and where it is flat: checked against the function."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netcaliper.trace.trace import trace

FUNCTIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "hardtanh": lambda x: F.hardtanh(x, -2.0, 0.5),
    "clamp": lambda x: torch.clamp(x, -0.5, 1.5),
    "clamp_min": lambda x: torch.clamp_min(x, 0.25),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "elu": F.elu,
    "celu": F.celu,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "abs": torch.abs,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "selu": F.selu,
}


class Between(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.a, self.b = nn.Linear(2, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(FUNCTIONS[self.name](self.a(x)))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_zone_and_flats_are_where_the_function_is_linear(name: str) -> None:
    (site,) = trace(Between(name).eval(), torch.randn(2, 2)).sites
    activation = site.activation
    assert activation is not None
    assert activation.name == name
    z = torch.linspace(-9, 9, 3601, dtype=torch.float64)
    slope = torch.diff(FUNCTIONS[name](z)) / torch.diff(z)
    middle = (z[1:] + z[:-1]) / 2
    step = float(z[1] - z[0])
    one, zero = (slope - 1).abs() < 1e-9, slope.abs() < 1e-12
    if activation.zone is not None:
        low, high = activation.zone
        inside = (middle > low + step) & (middle < high - step)
        assert bool(inside.any())
        assert bool(one[inside].all())
    flat = torch.zeros_like(zero)
    for low, high in activation.flat:
        flat |= (middle > low + step) & (middle < high - step)
    assert bool(zero[flat].all())
    if activation.pieces is not None:
        kinks = (torch.diff(slope).abs() > 1e-9).nonzero().flatten()
        assert {round(float(z[k + 1]), 2) for k in kinks} <= {
            round(p + d, 2) for p in activation.pieces for d in (-step, 0.0, step)
        }, "a piecewise-linear function bends only at its breakpoints"


class Bounded(nn.Module):
    """Clipped at bounds that are tensors, infinite until they are set."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 3), nn.Linear(3, 2)
        self.register_buffer("low", torch.tensor(-torch.inf))
        self.register_buffer("high", torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.clamp(self.a(x), self.low, self.high))


def test_a_clamp_at_tensors_has_no_interval_of_its_own() -> None:
    (site,) = trace(Bounded().eval(), torch.randn(2, 2)).sites
    assert site.activation is not None
    assert (site.activation.name, site.activation.zone, site.activation.pieces) == ("clamp", None, None)
    assert [c.unit_of_column.tolist() for c in site.consumers] == [[0, 1, 2]]
