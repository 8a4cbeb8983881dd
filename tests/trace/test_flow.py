"""Provenance equals brute force, on random networks of every family."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bestiary import Mixer
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


def test_a_layer_over_tokens_reads_units_where_they_are() -> None:
    graph = trace(Mixer().eval().double(), torch.randn(2, 4, 5, dtype=torch.float64))
    stream, act = graph.site("blocks.0.add#2"), graph.site("blocks.1.tokens.1")
    assert stream.barriers == ()
    assert stream.readers == (act.name,)
    seen: list[Tensor] = []
    taps = {act.name: lambda value, *_: seen.append(value.clone())}
    # a large change of one channel moves the statistics of the norm little where the others are larger still
    base = torch.randn(2, 4, 6, dtype=torch.float64)
    for unit in (None, 2):
        shift = torch.zeros(6, dtype=torch.float64)
        shift[list(range(6)) if unit is None else unit] = 0.1
        graph.run(graph.example, taps=taps, overrides={stream.name: lambda _, shift=shift: base + shift})
    gap = (seen[1] - seen[0]).abs().amax((0, 2))
    assert act.axis == 2
    assert int(gap.argmax()) == 2, "the channel shows at its own place, in every unit of the tokens' layer"
    assert graph.site("blocks.1.add").kind == "stream"


def moves(graph: Graph, site: str, reader: str) -> Tensor:
    """Return which units of a later site change when one unit of a site does, ``[units, units of the reader]``."""
    seen: list[Tensor] = []
    taps = {reader: lambda value, *_: seen.append(value.clone())}
    graph.run(graph.example, taps=taps)
    for unit in range(graph.site(site).units):
        shift = torch.zeros(graph.site(site).units)
        shift[unit] = 1.0
        graph.run(graph.example, taps=taps, overrides={site: lambda value, shift=shift: value + shift})
    return torch.stack([(other != seen[0]).any(0) for other in seen[1:]])
