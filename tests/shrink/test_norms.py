"""LayerNorms over the units that stay."""

import numpy as np
import torch

import netcaliper as nc
from netcaliper.shrink.norms import over_kept
from netcaliper.surgery.cut import cut_checked
from netcaliper.surgery.masking import masked
from netcaliper.trace.graph import Graph
from netcaliper.zoo.vit import ViT
from networks import randomized


def traced() -> Graph:
    return nc.trace(randomized(ViT(width=12, heads=3, depth=1).double(), 0), torch.randn(3, 1, 8, 8).double())


def test_the_graph_over_kept_units_computes_what_the_cut_module_does():
    graph = traced()
    stream = next(d for d in graph.structure.dimensions if d.kind == "stream")
    assert any(norm.kind == "layer_norm" for norm in stream.norms)
    removed = {stream.name: np.isin(np.arange(12), [1, 5, 6])}
    state = masked(graph.program.tensors, graph.structure, removed)
    found = over_kept(graph.with_state(state), removed).run(graph.example).output
    module = cut_checked(graph, removed, state).module
    with torch.no_grad():
        assert torch.allclose(found, module(*graph.example.args), atol=1e-10)
    plain = graph.with_state(state).run(graph.example).output
    assert not torch.allclose(found, plain, atol=1e-3)  # zeros in their place would not do


def test_where_nothing_goes_the_graph_is_the_same():
    graph = traced()
    assert over_kept(graph, {}) is graph
    assert (
        over_kept(graph, {graph.structure.dimensions[0].name: np.zeros(graph.structure.dimensions[0].units, bool)})
        is graph
    )
