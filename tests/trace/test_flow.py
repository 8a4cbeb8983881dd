"""Provenance equals brute force, on random networks of every family."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brute_force import BruteForce, mismatches
from netcaliper.trace.graph import Graph
from netcaliper.trace.trace import trace
from networks import FAMILIES, build

NETWORKS_PER_FAMILY = 4


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(NETWORKS_PER_FAMILY))
def test_consumers_equal_brute_force(family: str, seed: int) -> None:
    model, example = build(family, seed)
    graph = trace(model, example, name=f"{family} {seed}")
    brute = BruteForce(graph)
    assert graph.sites
    for site in graph.sites:
        assert site.refused is None, (site.name, site.refused)
        assert mismatches(graph, site, brute, list(range(site.units))) == []


class Product(nn.Module):
    """One activation on both sides of a product."""

    def __init__(self, read: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.read = read
        self.a, self.b = nn.Linear(3, 8), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.read(torch.sigmoid(self.a(x))))


@pytest.mark.parametrize(
    "read",
    [
        lambda y: y[..., :4] * y[..., 4:],
        lambda y: y[..., 4:].flip(-1) * y[..., :4],
        lambda y: F.glu(y, -1),
    ],
)
def test_a_product_that_reads_two_units_at_a_place_mixes_none(read: Callable[[Tensor], Tensor]) -> None:
    graph = trace(Product(read).eval(), torch.randn(2, 3))
    sigmoid, gate = graph.sites
    assert gate.kind == "gate"
    assert (sigmoid.units, sigmoid.readers, sigmoid.barriers, sigmoid.refused) == (8, (gate.name,), (), None)
    moved = moves(graph, sigmoid.name, gate.name)
    assert bool((moved.sum(1) == 1).all()), "every unit moves one place of the product ..."
    assert bool((moved.sum(0) == 2).all()), "... and every place reads two units"


def test_a_factor_that_is_a_mixture_is_a_barrier() -> None:
    model = Product(lambda y: y[..., :4] * y[..., 4:].softmax(-1)).eval()
    (sigmoid,) = trace(model, torch.randn(2, 3)).sites
    assert sigmoid.readers == ()
    assert sigmoid.refused == "softmax mixes the units before b"


class Tokens(nn.Module):
    """A residual sum over channels, read by a layer over tokens with a nonlinearity of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.up, self.down = nn.Linear(4, 3), nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        x = x + self.b(x)
        return self.head(x + self.down(torch.tanh(self.up(x.transpose(1, 2)))).transpose(1, 2))


def test_a_layer_over_tokens_reads_units_where_they_are() -> None:
    graph = trace(Tokens().eval(), torch.randn(2, 4, 5))
    stream, tanh, after = graph.sites
    assert [(s.kind, s.units, s.axis) for s in graph.sites] == [
        ("stream", 6, 2),
        ("activation", 3, 2),
        ("stream", 6, 2),
    ]
    assert (stream.readers, stream.barriers, stream.refused) == ((tanh.name,), (), None)
    assert [c.name for c in stream.consumers] == ["head"]
    assert [c.unit_of_column.tolist() for c in tanh.consumers] == [[0, 1, 2]]
    assert moves(graph, stream.name, tanh.name, axis=1).tolist() == torch.eye(6, dtype=torch.bool).tolist()
    assert [c.name for c in after.consumers] == ["head"]


def moves(graph: Graph, site: str, reader: str, axis: int = -1) -> Tensor:
    """Return which places along an axis of a later site change when one unit of a site does, ``[units, places]``."""
    seen: list[Tensor] = []
    taps = {reader: lambda value, *_: seen.append(value.clone())}
    graph.run(graph.example, taps=taps)
    for unit in range(graph.site(site).units):
        shift = torch.zeros(graph.site(site).units)
        shift[unit] = 1.0
        graph.run(graph.example, taps=taps, overrides={site: lambda value, shift=shift: value + shift})
    return torch.stack([(other != seen[0]).movedim(axis, -1).flatten(0, -2).any(0) for other in seen[1:]])


class Clipped(nn.Module):
    """Two linear maps with a clamp between them, at bounds that are stored."""

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)
        self.low: Tensor
        self.high: Tensor
        self.register_buffer("low", torch.tensor(-bound))
        self.register_buffer("high", torch.tensor(bound))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.clamp(self.first(x), self.low, self.high))


def test_a_clamp_at_infinite_bounds_is_no_nonlinearity() -> None:
    x = torch.randn(4, 3)
    assert [site.op for site in trace(Clipped(0.5).eval(), x).sites] == ["clamp"]
    assert trace(Clipped(float("inf")).eval(), x).sites == ()


def test_an_activation_that_returns_more_than_its_value_is_skipped_by_name() -> None:
    layers = nn.Sequential(nn.Linear(3, 5), nn.RReLU(inplace=True), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    graph = trace(layers.eval(), torch.randn(4, 3))
    assert [site.op for site in graph.sites] == ["relu"]
    assert graph.skipped == (("1", "aten.rrelu_with_noise_functional returns more than its value"),)
