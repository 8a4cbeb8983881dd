"""Forms read off operations, against the operations."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

import netcaliper as nc
from netcaliper.surgery.linear_maps import Kernel, Scale
from netcaliper.surgery.plain_graph import plain_graph
from netcaliper.surgery.recognize import Constants, affine_nodes, is_identity


def forms(model, x):
    plain = plain_graph(nc.trace(model.eval(), x))
    constants = Constants(plain.module())
    return plain.graph, {node: form for node, form, _ in affine_nodes(plain.graph, constants)}


class Everything(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = parametrizations.weight_norm(nn.Conv2d(3, 4, 3, padding="same"))
        self.norm = nn.BatchNorm2d(4, eps=0.1)
        self.gain = nn.Parameter(torch.randn(4, 1, 1))
        self.head, self.drop = nn.Linear(4, 2), nn.Dropout(0.5)

    def forward(self, x):
        h = self.norm(self.conv(x)) * self.gain
        h = F.relu(h + x[:, :1])
        return self.head(self.drop(h.mean((2, 3)))) + 1.0


def test_what_is_recognized():
    graph, found = forms(Everything(), torch.randn(2, 3, 5, 5))
    kinds = [type(form.terms[0].map).__name__ for form in found.values()]
    assert kinds == ["Kernel", "Scale", "Scale", "Kernel"], "a weight that is computed too; no broadcast, no scalar"
    convolution = next(iter(found.values())).terms[0].map
    assert isinstance(convolution, Kernel)
    assert convolution.padding == (1, 1)
    assert [is_identity(node) for node in graph.nodes if node.name in ("clone", "dropout")] == [True]


def test_batchnorm_uses_its_own_eps():
    model = nn.Sequential(nn.BatchNorm1d(3, eps=0.5), nn.Linear(3, 2)).eval()
    x = torch.randn(4, 3)
    _, found = forms(model, x)
    scale = next(iter(found.values()))
    assert isinstance(scale.terms[0].map, Scale)
    assert scale.terms[0].map.factor is not None
    assert scale.bias is None
    torch.testing.assert_close(x.double() * scale.terms[0].map.factor, model[0](x).double())


def test_a_sum_of_two_values_has_two_terms():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 3)

        def forward(self, x):
            return F.relu(x + self.a(x))

    _, found = forms(Sum(), torch.randn(2, 3))
    assert [len(form.terms) for form in found.values()] == [1, 2]
