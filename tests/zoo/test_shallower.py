"""Shallower networks of the same family: fewer layers, as many parameters."""

import pytest
import torch
from torch import nn

from netcaliper.errors import InputError
from netcaliper.zoo.models import build
from netcaliper.zoo.shallower import shallower

CASES = [
    ("mlp", {"widths": [32, 32, 32, 32]}, [2, 1], lambda c: len(c.widths)),
    ("cnn", {"depth": 3, "widths": [8, 8]}, [1], lambda c: c.depth),
    ("resnet", {"depth": 32, "width": 0.5, "size": 8}, [14, 8], lambda c: c.depth),
    ("vit", {"depth": 4, "width": 16, "heads": 2}, [2, 1], lambda c: c.depth),
    (
        "encoder_decoder",
        {"depth": 4, "decoder_depth": 2, "width": 32, "ffn": 48, "heads": 2},
        [2, 1],
        lambda c: c.depth,
    ),
]


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("name", "arguments", "depths", "depth"), CASES, ids=[case[0] for case in CASES])
def test_depth_is_halved_and_parameters_stay(name, arguments, depths, depth):
    model = build(name, arguments)
    found = shallower(model, seed=3)
    assert [depth(network.config) for network in found] == depths
    for network in found:
        assert type(network) is type(model)
        assert size(network) == pytest.approx(size(model), rel=0.08)


def test_the_seed_decides_the_weights_and_nothing_else_is_drawn():
    model, before = build("mlp", {"widths": [6, 6]}), torch.get_rng_state()
    first, again, other = (shallower(model, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


@pytest.mark.parametrize(("name", "arguments"), [("mlp", {"widths": [6]}), ("alexnet", {"width": 0.1})])
def test_what_is_shallow_already_has_none_below_it(name, arguments):
    assert shallower(build(name, arguments)) == ()


def test_networks_of_others_are_refused():
    with pytest.raises(InputError, match="`model` is a Linear; only networks of the zoo"):
        shallower(nn.Linear(2, 2))
