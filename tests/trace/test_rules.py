"""Rules by operation: the ids that come out are those that the operation itself would move."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brute_force import BruteForce, mismatches
from netcaliper.trace.rules import COMPARISONS, RULES, SHAPES
from netcaliper.trace.trace import trace


class Read(nn.Module):
    """conv - ReLU - a function - a Linear that reads whatever comes out, flattened."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        with torch.no_grad():
            width = torch.flatten(function(torch.zeros(2, 4, 6, 6)), 1).shape[1]
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(self.function(torch.relu(self.conv(x))), 1))


MOVES: dict[str, Callable[[Tensor], Tensor]] = {
    "flatten": lambda x: x,
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "transpose": lambda x: x.transpose(1, 3),
    "chunk": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "split": lambda x: x.split([1, 3], 1)[1],
    "slice": lambda x: x[:, 1:3, ::2],
    "select": lambda x: x[:, 2],
    "index": lambda x: x[:, torch.tensor([3, 0, 0])],
    "gather": lambda x: x.flatten(2).index_select(2, torch.tensor([0, 5])),
    "roll": lambda x: x.roll(1, 1),
    "flip": lambda x: x.flip(1),
    "expand": lambda x: x.mean((2, 3), keepdim=True).expand(-1, -1, 2, 2),
    "repeat": lambda x: x[:, :, :1, :1].repeat(1, 2, 1, 1),
    "stack": lambda x: torch.stack([x[:, 0], x[:, 1]], 1),
    "unbind": lambda x: x.unbind(1)[3],
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "pad_space": lambda x: F.pad(x, (1, 1, 0, 2)),
    "pad_channels": lambda x: F.pad(x, (0, 0, 0, 0, 1, 2)),
    "avg_pool": lambda x: F.avg_pool2d(x, 2),
    "max_pool": lambda x: F.max_pool2d(x, 3, 1, 1),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, 2),
    "adaptive_max": lambda x: F.adaptive_max_pool2d(x, 2),
    "upsample": lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear"),
    "mean": lambda x: x.mean((2, 3)),
    "amax": lambda x: x.amax((2, 3)),
    "max": lambda x: x.max(-1)[0],
    "scale": lambda x: x * torch.arange(1.0, 5.0).reshape(1, 4, 1, 1) + 1.0,
    "where": lambda x: torch.where(torch.arange(6) >= 0, x, 0.0),
    "einsum": lambda x: torch.einsum("nchw,hk->nckw", x, x.new_ones(6, 2)),
    "channel_shuffle": lambda x: x.reshape(-1, 2, 2, 6, 6).transpose(1, 2).reshape(-1, 4, 6, 6),
    "unfold_space": lambda x: x.unfold(2, 3, 3),
    "cat_self": lambda x: torch.cat([x, -x], 1),
}


@pytest.mark.parametrize("name", sorted(MOVES))
def test_moves_equal_brute_force(name: str) -> None:
    torch.manual_seed(0)
    graph = trace(Read(MOVES[name]).eval().double(), torch.randn(2, 2, 6, 6, dtype=torch.float64), name=name)
    site = graph.sites[0]
    assert site.refused is None, site.refused
    assert site.consumers, "the Linear reads its units"
    assert mismatches(graph, site, BruteForce(graph), list(range(4))) == []


def test_the_guard_of_a_division_by_a_norm_is_no_site() -> None:
    graph = trace(Read(lambda x: F.normalize(x, dim=2)).eval(), torch.randn(2, 2, 6, 6))
    (site,) = graph.sites
    assert (site.op, site.readers, site.barriers, graph.skipped) == ("relu", (), (), ())
    base = torch.rand(1, 4, 6, 6) + 0.1
    for unit in range(4):
        other = base.clone()
        other[:, unit, 2] += 1
        gap = (F.normalize(other, dim=2) - F.normalize(base, dim=2)).reshape(4, 36).abs().amax(1)
        assert gap.nonzero().flatten().tolist() == [unit]
        assert site.consumers[0].columns(unit).tolist() == list(range(36 * unit, 36 * unit + 36))
    clamped = Read(lambda x: torch.linalg.vector_norm(x, dim=2, keepdim=True).clamp_min(0.5).expand_as(x)).eval()
    assert [site.op for site in trace(clamped, torch.randn(2, 2, 6, 6)).sites] == ["relu", "clamp_min"]


@pytest.mark.parametrize(
    ("function", "by"),
    [
        (lambda x: torch.softmax(x, 1), "softmax"),
        (lambda x: x.mean(1, keepdim=True), "mean"),
        (lambda x: torch.cumsum(x, 1), "cumsum"),
        (lambda x: x.flatten(2).transpose(1, 2) @ x.flatten(2), "matmul"),
    ],
)
def test_mixing_operations_are_named_barriers(function: Callable[[Tensor], Tensor], by: str) -> None:
    site = trace(Read(function).eval(), torch.randn(2, 2, 6, 6)).sites[0]
    assert not site.consumers
    assert site.refused == f"{by} mixes the units before head"


@pytest.mark.parametrize("norm", [nn.GroupNorm(2, 4), nn.LayerNorm([4, 6, 6]), nn.GroupNorm(1, 4)])
def test_normalizations_over_units_are_named_on_the_way(norm: nn.Module) -> None:
    class Normed(Read):
        def __init__(self) -> None:
            super().__init__(lambda x: x)
            self.norm = norm
            self.function = norm.__call__

    site = trace(Normed().eval(), torch.randn(2, 2, 6, 6)).sites[0]
    (consumer,) = site.consumers
    assert len(consumer.through) == 1
    assert "norm" in consumer.through[0]


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4), nn.InstanceNorm2d(4), nn.GroupNorm(4, 4)])
def test_normalizations_of_each_unit_are_no_barriers(norm: nn.Module) -> None:
    class Normed(Read):
        def __init__(self) -> None:
            super().__init__(lambda x: x)
            self.norm = norm
            self.function = norm.__call__

    (consumer,) = trace(Normed().eval(), torch.randn(2, 2, 6, 6)).sites[0].consumers
    assert consumer.through == ()


def test_no_operation_is_in_two_tables() -> None:
    assert not set(RULES) & COMPARISONS
    assert not set(RULES) & SHAPES
    assert not COMPARISONS & SHAPES
