"""A graph from a module, or as it is."""

import pytest
import torch
from torch import nn

from netcaliper.errors import InputError
from netcaliper.feed.traced import traced

DATA = [(torch.zeros(4, 3), torch.zeros(4).long())]


def net():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU()).eval()


def test_a_module_is_traced_on_the_first_batch_or_on_the_example():
    assert traced(net(), DATA, None, None, "mine").name == "mine"
    assert traced(net(), None, torch.ones(2, 3), None, None).example.size == 2


def test_a_graph_stays_as_it_is():
    graph = traced(net(), DATA, None, None, None)
    assert traced(graph, DATA, None, None, None) is graph
    with pytest.raises(InputError, match="`device` must be the graph's own cpu, got meta"):
        traced(graph, DATA, None, "meta", None)


def test_anything_else_is_refused():
    with pytest.raises(InputError, match="torch module or a graph from nc.trace, got int"):
        traced(3, DATA, None, None, None)


def test_an_unknown_device_is_refused():
    with pytest.raises(InputError, match="`device` must be one that torch can use here, got 'nowhere'"):
        traced(net(), DATA, None, "nowhere", None)
