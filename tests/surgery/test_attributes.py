"""Attributes of the user's own modules that hold a size."""

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cut_structures import dimension, gone, structure
from netcaliper.surgery.attributes import following
from netcaliper.surgery.cut import cut

GONE = gone(6, 1, 2)
UNITS = dimension("relu", 6, ("into.weight", 0), ("into.bias", 0, "ride"), ("out.weight", 1, "column"))


class Net(nn.Module):
    """Its forward reads a size from ``read(self)``."""

    def __init__(self, read, **attributes):
        super().__init__()
        self.into, self.out = nn.Linear(3, 6), nn.Linear(6, 2)
        self.read = read
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.into(x)).reshape(self.read(self)))


def followed(read, **attributes) -> tuple[Any, Any, Any]:
    small: Any = cut(Net(read, **attributes).eval(), structure(UNITS), {"relu": GONE}).module
    before = {name: value for name, value in vars(small).items() if not name.startswith("_")}

    def problem(module):
        try:
            return None if module(torch.ones(5, 3)).shape == (5, 2) else "another shape"
        except Exception as failure:
            return type(failure).__name__

    found, words = following(small, [UNITS], {"relu": GONE}, problem)
    if words is not None:
        assert {name: value for name, value in vars(small).items() if not name.startswith("_")} == before
    return found, words, small


def test_the_fewest_attributes_follow():
    found, words, small = followed(lambda own: (-1, own.size), size=6, other=6, third=7, flag=True)
    assert words is None
    assert found == {"": {"size": 4}}
    assert (small.size, small.other) == (4, 6)


def test_a_name_that_says_what_it_is_follows_even_if_nothing_reads_it():
    found, words, _ = followed(lambda own: (-1, own.size), size=6, intermediate_size=6)
    assert words is None
    assert found == {"": {"intermediate_size": 4, "size": 4}}
    assert followed(lambda own: (5, -1), intermediate_size=6)[0] == {"": {"intermediate_size": 4}}
    assert followed(lambda own: (5, -1), hidden=6, intermediate_size=7)[0] == {}


def test_a_name_that_misleads_does_not_follow():
    found, words, _ = followed(lambda own: (-1, own.intermediate_size - 2), intermediate_size=6)
    assert words is None
    assert found == {}


def test_tuples_and_lists_follow():
    found, words, small = followed(lambda own: own.shape, shape=(-1, 6))
    assert words is None
    assert found == {"": {"shape": (-1, 4)}}
    assert small.shape == (-1, 4)
    assert followed(lambda own: own.shape, shape=[-1, 6])[2].shape == [-1, 4]


def test_a_config_is_copied_before_it_changes():
    config = SimpleNamespace(size=6)
    found, words, small = followed(lambda own: (-1, own.config.size), config=config)
    assert words is None
    assert found == {"": {"config.size": 4}}
    assert (small.config.size, config.size) == (4, 6)


def test_a_size_in_the_code_is_no_attribute():
    found, words, _ = followed(lambda own: (-1, 6), size=6, intermediate_size=6)
    assert found == {}
    assert words == "RuntimeError"


class Heads(nn.Module):
    def __init__(self, heads=4, each=3, width=12):
        super().__init__()
        self.num_heads, self.per_head, self.inside, self.count = heads, each, heads * each, heads
        self.qkv, self.out = nn.Linear(width, 3 * heads * each), nn.Linear(heads * each, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).split(self.inside, -1)
        q, k, v = (each.reshape(*x.shape[:-1], self.num_heads, self.per_head).transpose(-2, -3) for each in (q, k, v))
        y = torch.softmax(q @ k.mT, -1) @ v
        return self.out(y.transpose(-2, -3).flatten(-2))


def test_products_of_heads_follow_in_all_modules_of_a_class_with_their_own_numbers():
    """The number of heads by its name, the units of all heads because the split fails without; the rest stays."""
    unit = np.repeat(np.arange(4), 3)
    heads = [
        dimension(
            f"{i}", 4, (f"{i}.qkv.weight", 0, "row", np.tile(unit, 3)), (f"{i}.qkv.bias", 0, "ride", np.tile(unit, 3)),
            (f"{i}.out.weight", 1, "column", unit), kind="heads",
        )
        for i in range(2)
    ]  # fmt: skip
    removed = {"0": gone(4, 1), "1": gone(4, 0, 3)}
    small: Any = cut(nn.Sequential(Heads(), Heads()).eval(), structure(*heads), removed).module

    def problem(module):
        try:
            return None if module(torch.ones(2, 5, 12)).shape == (2, 5, 12) else "shape"
        except Exception as failure:
            return str(failure)

    before = copy.deepcopy(small.state_dict())
    found, words = following(small, heads, removed, problem)
    assert words is None
    assert found == {"0": {"num_heads": 3, "inside": 9}, "1": {"num_heads": 2, "inside": 6}}
    assert all(torch.equal(before[name], value) for name, value in small.state_dict().items())
