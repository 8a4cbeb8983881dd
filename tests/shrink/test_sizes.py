"""Sizes without making the network, against those of the module that is made."""

import copy
from functools import cache

import numpy as np
import pytest
import torch

import netcaliper as nc
from netcaliper.shrink.descent import descend
from netcaliper.shrink.paths import UnitPath
from netcaliper.shrink.proof import multiply_adds, parameters
from netcaliper.shrink.sizes import Sizes
from netcaliper.surgery.cut import cut_checked
from netcaliper.trace.graph import Graph
from netcaliper.zoo.resnet import ResNet
from netcaliper.zoo.vit import ViT
from networks import build, randomized
from timm_models import import_transformers


@cache
def llama() -> Graph:
    library = import_transformers()
    config = library.LlamaConfig(
        vocab_size=31, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=32, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = randomized(library.LlamaForCausalLM(config), 0)
    return nc.trace(model, {"input_ids": torch.arange(18).reshape(3, 6) * 7 % 31})


NETWORKS = {
    "resnet20": lambda: nc.trace(randomized(ResNet(20, 0.5, size=8), 0), torch.randn(2, 3, 8, 8)),
    "vit": lambda: nc.trace(randomized(ViT(width=12, heads=3, depth=2), 0), torch.randn(2, 1, 8, 8)),
    "llama": llama,
    "concat": lambda: nc.trace(*build("concat", 0)),
}


def paths(graph: Graph, seed: int) -> list[UnitPath]:
    rng = np.random.default_rng(seed)
    found = []
    for d in graph.structure.dimensions:
        if all(norm.kind == "rms_norm" for norm in d.norms) and (~d.frozen).any():
            order = rng.permutation(np.flatnonzero(~d.frozen))[: max(1, d.units // 2 - 1)]
            found.append(UnitPath(d, order, np.sort(rng.random(len(order) + 1))))
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_are_those_of_the_module_that_is_cut(name):
    graph = NETWORKS[name]()
    every = paths(graph, 0)
    assert every
    sizes = Sizes(graph, every)
    whole = sizes.of([0] * len(every))
    assert whole[0] == parameters(graph.model)
    attention = multiply_adds(graph.model, graph) - whole[1]  # scores and their product with the values
    assert attention == 0 or name in ("vit", "llama")
    rng = np.random.default_rng(1)
    places = [int(rng.integers(0, len(path.order) + 1)) if path.dimension.kind != "heads" else 0 for path in every]
    removed = {p.name: p.removed(n) for p, n in zip(every, places, strict=True) if n}
    module = cut_checked(graph, removed).module
    assert sizes.of(places) == (parameters(module), multiply_adds(module, graph) - attention)


@pytest.mark.parametrize("name", ["vit", "llama"])
def test_heads_count_too(name):
    graph = NETWORKS[name]()
    every = [path for path in paths(graph, 0) if path.dimension.kind == "heads"]
    sizes = Sizes(graph, every)
    places = [len(path.order) for path in every]
    removed = {p.name: p.removed(n) for p, n in zip(every, places, strict=True)}
    assert sizes.of(places)[0] == parameters(cut_checked(graph, removed).module) < parameters(graph.model)


@pytest.mark.parametrize("name", ["resnet20", "concat"])
def test_what_is_saved_is_the_difference(name):
    graph = NETWORKS[name]()
    every = paths(graph, 2)
    sizes = Sizes(graph, every)
    rng = np.random.default_rng(3)
    now = [int(rng.integers(0, len(path.order))) for path in every]
    for number, path in enumerate(every):
        to = np.arange(now[number] + 1, len(path.order) + 1)
        saved = sizes.saved(number, now, to)
        for i, place in enumerate(to):
            then = copy.copy(now)
            then[number] = int(place)
            expected = [a - b for a, b in zip(sizes.of(now), sizes.of(then), strict=True)]
            assert np.allclose([saved[0][i], saved[1][i]], expected, atol=1)


def test_tied_weights_count_once():
    from bestiary import TiedAutoencoder

    graph = nc.trace(TiedAutoencoder().eval(), torch.randn(3, 6))
    assert Sizes(graph, []).of([])[0] == parameters(graph.model)


def test_the_way_down_has_these_sizes():
    graph = NETWORKS["concat"]()
    every = paths(graph, 4)
    sizes = Sizes(graph, every)
    for place in descend(every, sizes, parameters=1.0, macs=0.0):
        assert (place.parameters, place.macs) == sizes.of(place.steps)
