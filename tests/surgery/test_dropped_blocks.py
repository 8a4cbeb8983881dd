"""Residual blocks left out of the module, against the graph with their branches at zero."""

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import netcaliper as nc
from cut_structures import structure
from netcaliper.errors import CutRefused, InputError
from netcaliper.surgery.answers import difference
from netcaliper.surgery.cut import cut_checked
from netcaliper.surgery.dropped_blocks import _TRIALS, gone_with, replacements
from netcaliper.trace.residual import residual_blocks
from netcaliper.zoo.resnet import ResNet
from netcaliper.zoo.vit import ViT
from networks import randomized
from timm_models import import_transformers


def test_a_block_behind_a_relu_becomes_the_identity():
    model: Any = randomized(ResNet(depth=14, width=0.25, size=8), 0)
    x = torch.randn(3, model.config.channels, 8, 8)
    graph = nc.trace(model, x)
    blocks = residual_blocks(graph)
    names = [blocks.blocks[i].name for i in blocks.droppable]
    assert len(names) >= 2
    found = replacements(graph, names)
    assert found == {"stages.1.1": "identity", "stages.2.1": "identity"} | (
        {"stages.0.1": "identity"} if "stages.0.1.add" in names else {}
    )
    graph.structure = structure()
    small: Any = cut_checked(graph, {}, dropped=names)
    assert isinstance(small.module.stages[1][1], nn.Identity)
    assert small.cuts.replaced == found
    expected = model.head(
        _through(model, x, skip={(int(path.split(".")[1]), int(path.split(".")[2])) for path in found}).mean((2, 3))
    )
    with torch.no_grad():
        assert difference(expected, small.module(x)) < 1e-5


def _through(model, x, skip):
    x = model.act(model.norm(model.conv(x)))
    for s, stage in enumerate(model.stages):
        for b, block in enumerate(stage):
            x = x if (s, b) in skip else block(x)
    return x.detach()


class Block(nn.Module):
    """A block with a ReLU behind the sum."""

    def __init__(self, width=4):
        super().__init__()
        self.up, self.down = nn.Linear(width, 6), nn.Linear(6, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.down(torch.relu(self.up(x))))


def test_a_relu_stays_where_the_skip_is_not_one_already():
    """Whatever the skip is on the example: only a skip that is made by a ReLU is never negative."""
    model: Any = randomized(nn.Sequential(nn.Linear(3, 4), Block(), Block(), nn.Linear(4, 2)), 0)
    with torch.no_grad():
        model[0].bias += 100
    graph = nc.trace(model, torch.randn(4, 3))
    names = [block.name for block in residual_blocks(graph).blocks]
    assert replacements(graph, names[:1]) == {"1": "relu"}
    assert replacements(graph, names[1:]) == {"2": "identity"}
    assert replacements(graph, names) == {"1": "relu", "2": "identity"}


def test_one_sum_of_a_transformer_block():
    model: Any = randomized(ViT(width=8, depth=2, heads=2), 0)
    x = torch.randn(2, 1, 8, 8)
    graph = nc.trace(model, x)
    blocks = residual_blocks(graph)
    attention, ffn = [block.name for block in blocks.blocks if block.name.startswith("blocks.0.")]
    found = replacements(graph, [ffn])
    assert found == {"blocks.0.ffn": "zero", "blocks.0.norm2": "identity"}
    assert replacements(graph, [attention, ffn]) in ({"blocks.0": "identity"}, {"blocks.0": "first"})
    graph.structure = structure()
    small: Any = cut_checked(graph, {}, dropped=[ffn]).module
    with torch.no_grad():
        y = model.embedding(x).flatten(2).transpose(1, 2) + model.positions.weight
        h = model.blocks[0].norm1(y)
        y = model.blocks[1](y + model.blocks[0].attention(h, h))
        assert difference(model.head(model.norm(y).mean(1)), small(x)) < 1e-5
    assert nc.trace(small, x).replay


class TwoSums(nn.Module):
    """Sums of two sizes in one module: without the first, the second is the first that the module makes."""

    def __init__(self):
        super().__init__()
        self.one, self.wide, self.two = nn.Linear(4, 4), nn.Linear(4, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.wide(x + self.one(x))
        return x + torch.relu(self.two(x))


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (nn.Sequential(nn.Linear(3, 4), TwoSums(), nn.Linear(6, 2)), torch.randn(4, 3)),
        (ViT(width=8, depth=2, heads=2), torch.randn(2, 1, 8, 8)),
        (ResNet(depth=14, width=0.25, size=8, channels=1), torch.randn(2, 1, 8, 8)),
        (nn.Sequential(nn.Linear(3, 4), Block(), Block(), nn.Linear(4, 2)), torch.randn(4, 3)),
    ],
    ids=["two sums", "vit", "resnet", "relu behind"],
)
def test_what_goes_with_a_block_is_no_site_of_the_small_network(model, x):
    model = randomized(model, 0)
    graph = nc.trace(model, x)
    graph.structure = structure()
    found = residual_blocks(graph)
    assert found.droppable
    for number in found.droppable:
        dropped = [found.blocks[number].name]
        small: Any = cut_checked(graph, {}, dropped=dropped)
        gone = gone_with(graph, dropped, small.cuts.replaced)
        left = [site.units for site in graph.sites if site.node not in gone]
        assert left == [site.units for site in nc.trace(small.module, x).sites]


def test_a_module_that_returns_a_tuple_is_refused_by_name():
    library = import_transformers()
    torch.manual_seed(0)
    config = library.GPT2Config(
        vocab_size=31, n_positions=8, n_embd=8, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    model: Any = randomized(library.GPT2LMHeadModel(config), 0)
    graph = nc.trace(model, {"input_ids": torch.arange(10).reshape(2, 5)})
    attention, ffn = [block.name for block in residual_blocks(graph).blocks if "h.0" in block.name]
    with pytest.raises(CutRefused, match=r"`transformer.h.0.add`.*`transformer.h.0.attn` returns a tuple") as caught:
        replacements(graph, [attention])
    assert caught.value.dimensions == (attention,)
    assert replacements(graph, [ffn])["transformer.h.0.mlp"] == "zero"
    assert replacements(graph, [attention, ffn]) == {"transformer.h.0": "first"}


def test_a_branch_without_a_module_is_refused_by_name():
    class Inline(nn.Module):
        def __init__(self):
            super().__init__()
            self.into, self.out, self.weight = nn.Linear(4, 4), nn.Linear(4, 2), nn.Parameter(torch.randn(4, 4))

        def forward(self, x: Tensor) -> Tensor:
            x = self.into(x)
            return self.out(x + torch.relu(x @ self.weight))

    graph = nc.trace(Inline().eval(), torch.randn(3, 4))
    (block,) = residual_blocks(graph).blocks
    with pytest.raises(CutRefused, match=f"`{block.name}`.*no module of its own"):
        replacements(graph, [block.name])


def test_names_that_are_no_droppable_blocks_are_refused():
    graph = nc.trace(randomized(ResNet(depth=8, width=0.25, size=8), 0), torch.randn(2, 3, 8, 8))
    with pytest.raises(InputError, match="'nowhere'.*no residual block"):
        replacements(graph, ["nowhere"])
    first = next(block for block in residual_blocks(graph).blocks if block.reason)
    with pytest.raises(InputError, match="shortcut"):
        replacements(graph, [first.name])
    assert replacements(graph, []) == {}


def test_what_blocks_are_tried_on_goes_with_the_graph():
    model = randomized(ResNet(depth=14, width=0.25, size=8), 0)
    graph = nc.trace(model, torch.randn(3, 3, 8, 8))
    replacements(graph, [next(block.name for block in residual_blocks(graph).blocks if block.reason is None)])
    assert graph in _TRIALS
    held = weakref.ref(_TRIALS[graph])
    del graph
    gc.collect()
    assert held() is None


def test_bounds_at_infinity_are_left_as_they_are():
    class Clamped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.last = nn.Linear(4, 4), nn.Linear(4, 2)
            self.register_buffer("bound", torch.tensor([-torch.inf, torch.inf]))

        def forward(self, x: Tensor) -> Tensor:
            bound: Any = self.bound
            return self.last(x + torch.relu(self.inner(torch.maximum(x, bound[0]))))

    graph = nc.trace(nn.Sequential(nn.Linear(4, 4), Clamped()).eval(), torch.randn(3, 4))
    (block,) = residual_blocks(graph).blocks
    assert replacements(graph, [block.name]) == {"1.inner": "zero"}
