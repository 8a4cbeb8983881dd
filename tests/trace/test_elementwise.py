"""Scalar functions written out collapse to their exit; chains do not."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netcaliper.trace.trace import trace
from networks import SqueezeExcite


class Between(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.a, self.b = nn.Linear(2, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.function(self.a(x)))


def gelu_of_gpt2(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + torch.tanh(0.7978845608 * (x + 0.044715 * torch.pow(x, 3.0))))


@pytest.mark.parametrize(
    ("function", "ops"),
    [
        (lambda x: x * torch.sigmoid(x), ["composite(sigmoid)"]),
        (gelu_of_gpt2, ["composite(pow+tanh)"]),
        (lambda x: x * F.relu6(x + 3) / 6, ["composite(relu6)"]),
        (lambda x: F.relu(x) * 0.5, ["relu"]),
        (lambda x: torch.sigmoid(F.relu(x)), ["relu", "sigmoid"]),
        (lambda x: F.relu(x).square(), ["relu", "square"]),
        (lambda x: x + F.relu(x), ["composite(relu)"]),
        (lambda x: torch.maximum(x, 0.1 * x), ["composite(maximum)"]),
        (lambda x: x + 0.5 * x, []),
        (lambda x: x * 2 - 1, []),
        (lambda x: x * x, ["square"]),
    ],
)
def test_sites_of_scalar_functions(function: Callable[[Tensor], Tensor], ops: list[str]) -> None:
    graph = trace(Between(function).eval(), torch.randn(2, 2))
    assert [site.op for site in graph.sites] == ops
    if ops:
        last = graph.sites[-1]
        assert [c.name for c in last.consumers] == ["b"]
        seen = []
        graph.run(torch.randn(3, 2), taps={last.name: lambda value, z: seen.append((value, z))})
        (value, z) = seen[0]
        scale = {"composite(relu6)": 6.0}.get(ops[-1], 1.0)
        if len(ops) == 1 and function(torch.ones(1)) != 0.5:
            assert torch.allclose(value / scale, function(z), atol=1e-6), (
                "the tap gets the root of the region as pre-activation"
            )


def test_a_norm_written_out_is_no_site() -> None:
    graph = trace(Between(lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)).eval(), torch.randn(2, 2))
    assert graph.sites == ()


def test_a_norm_written_out_is_named_on_the_way() -> None:
    def normed(x: Tensor) -> Tensor:
        y = F.relu(x)
        return y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)

    (site,) = trace(Between(normed).eval(), torch.randn(2, 2)).sites
    assert site.readers == ()
    assert [(c.name, c.through) for c in site.consumers] == [("b", ("mean",))]


def test_gates_absorb_their_activation_and_scaled_paths_are_no_sites() -> None:
    gate = trace(Between(lambda x: F.silu(x) * x.roll(1, -1)).eval(), torch.randn(2, 2))
    assert [(s.kind, s.op) for s in gate.sites] == [("gate", "swiglu")]
    scaled = trace(Between(lambda x: F.relu(x) * torch.sigmoid(x.mean(-1, keepdim=True))).eval(), torch.randn(2, 2))
    assert [s.op for s in scaled.sites] == ["relu"]
    halves = trace(Between(lambda x: F.glu(torch.cat([x, x], -1), -1)).eval(), torch.randn(2, 2))
    assert [(s.kind, s.op, s.units) for s in halves.sites] == [("gate", "glu", 4)]


class Scaled(nn.Module):
    """A path that one unit of its own scales, as the shared expert of Qwen2-MoE."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.scale, self.b = nn.Linear(3, 4), nn.Linear(3, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(torch.sigmoid(self.scale(x)) * self.a(x))
        return self.b(y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6))


def test_a_scaled_path_keeps_the_units_of_the_path() -> None:
    sigmoid, relu = trace(Scaled().eval(), torch.randn(2, 3)).sites
    assert (sigmoid.units, sigmoid.readers, sigmoid.refused) == (1, ("relu",), None)
    assert (relu.units, relu.barriers) == (4, ())
    assert [(c.through, c.unit_of_column.tolist()) for c in relu.consumers] == [(("mean",), [0, 1, 2, 3])]


class OnePixel(nn.Module):
    """A squeeze-and-excite block whose map is one pixel large, so that gate and path have equal shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.squeeze, self.b = nn.Conv2d(3, 4, 3), SqueezeExcite(4, 2), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.squeeze(F.relu(self.a(x))))


@pytest.mark.parametrize("size", [3, 5])
def test_a_squeezed_path_is_no_gate_whatever_the_size(size: int) -> None:
    graph = trace(OnePixel().eval(), torch.randn(2, 3, size, size))
    assert [(s.name, s.kind) for s in graph.sites] == [
        ("relu", "activation"),
        ("squeeze.act", "activation"),
        ("squeeze.sigmoid", "activation"),
    ]
    assert [c.name for c in graph.site("squeeze.sigmoid").consumers] == ["b"]


def test_a_local_response_norm_is_named_on_the_way() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.LocalResponseNorm(3), nn.Conv2d(4, 2, 1)).eval()
    (site,) = trace(model, torch.randn(2, 3, 6, 6)).sites
    assert (site.name, site.readers, site.refused) == ("1", (), None)
    assert [(c.name, c.through, c.unit_of_column.tolist()) for c in site.consumers] == [("3", ("2",), [0, 1, 2, 3])]
