"""The nodes of a site, and the formula of a bent unit written into the graph."""

import torch
import torch.nn.functional as F
from torch import nn

import netcaliper as nc
from fold_oracle import relative, unfolded
from netcaliper.surgery.bends import bend_all, find_bends
from netcaliper.surgery.plain_graph import plain_graph


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.gate, self.down = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Twice(nn.Module):
    """A ReLU, and a GELU that is written out."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x):
        h = self.b(F.relu(self.a(x)))
        return self.c(0.5 * h * (1 + torch.tanh(0.8 * (h + 0.04 * torch.pow(h, 3.0)))))


def test_carrier_and_root_of_a_gate():
    graph = nc.trace(Gated().eval(), torch.randn(2, 4))
    plain = plain_graph(graph)
    (bend,) = find_bends(graph, plain.graph, {"swiglu": torch.ones(8)}, {"swiglu": (torch.zeros(8), torch.ones(8))})
    assert (bend.carrier.name, bend.root.name, bend.phi.name) == ("linear_1", "linear", "silu")
    assert bend.gate
    assert bool(bend.linear.all())
    (bend,) = find_bends(graph, plain.graph, {"swiglu": torch.ones(8)}, {})
    assert not bool(bend.linear.any()), "a gate with a slope makes a product, not a line"


def test_bent_units_in_the_graph():
    torch.manual_seed(0)
    model, x = Twice().eval().double(), torch.randn(3, 4).double()
    graph = nc.trace(model, x)
    names = [site.name for site in graph.sites]
    assert len(names) == 2
    alphas = {name: torch.rand(8).round(decimals=1) for name in names}
    targets = {names[1]: (torch.randn(8), torch.randn(8))}
    plain = plain_graph(graph)
    bends = find_bends(graph, plain.graph, alphas, targets)
    bend_all(plain.graph, bends, lambda name, value: plain.constant(name, value, graph.dtype))
    plain.tidy()
    with torch.no_grad():
        got = plain.module()(x)
    expected = unfolded(graph, x, alphas, targets)
    assert relative(got, expected) < 1e-12
    assert relative(got, graph.run(x).output) > 1e-3


def test_sites_without_alphas_are_left_out():
    graph = nc.trace(Twice().eval(), torch.randn(2, 4))
    assert find_bends(graph, plain_graph(graph).graph, {graph.sites[0].name: torch.zeros(8)}, {}) == []
