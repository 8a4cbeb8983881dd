"""Whole residual blocks as paths of one step."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import netcaliper as nc
from netcaliper.shrink.blocks import find_blocks, inside_blocks
from netcaliper.shrink.held import Held
from netcaliper.shrink.judge import Judge, without
from netcaliper.shrink.paths import UnitPath
from netcaliper.shrink.proof import parameters
from netcaliper.shrink.sizes import Sizes
from netcaliper.surgery.cut import cut_checked
from netcaliper.trace.batches import as_batch
from netcaliper.trace.graph import Graph
from netcaliper.zoo.resnet import ResNet
from networks import randomized


@pytest.fixture(scope="module")
def found():
    x = torch.randn(20, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    graph: Graph = nc.trace(randomized(ResNet(14, 0.25, size=8), 0), x[:2])
    judge = Judge(graph, Held((replace(as_batch(x, form=graph.form), indices=torch.arange(20)),), 0))
    return graph, judge, *find_blocks(graph, judge)


def test_blocks_with_a_projection_stay_by_name(found):
    _, _, blocks, stay = found
    assert len(blocks) == len(stay) == 3
    assert all(why for _, why in stay)


def test_the_loss_is_the_divergence_without_the_branch(found):
    graph, judge, blocks, _ = found
    for path in blocks:
        assert path.loss.tolist() == [0, judge.judge(without(graph, [path.block.branch])).divergence]
        assert path.places(8).tolist() == [1]
        assert path.start == 0


def test_what_goes_with_a_block_is_what_the_cut_module_loses(found):
    graph, _, blocks, _ = found
    for number, path in enumerate(blocks):
        module = cut_checked(graph, {}, None, [path.name]).module
        sizes = Sizes(graph, blocks)
        assert sizes.of([int(i == number) for i in range(len(blocks))])[0] == parameters(module)


def test_dimensions_inside_of_a_block_have_nothing_left(found):
    graph, _, blocks, _ = found
    paths = [UnitPath(d, np.arange(1), np.zeros(2)) for d in graph.structure.dimensions]
    inner = inside_blocks(paths, blocks[:1])
    own = {name for name, _ in blocks[0].tensors}
    assert inner == {p.name for p in paths if all(h.names[0] in own for h in p.dimension.holders)}
    assert len(inner) <= 1
    assert inside_blocks(paths, ()) == set()
