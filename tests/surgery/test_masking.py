"""Masked states: zeros wherever a removed unit lies, and nothing else changed."""

import numpy as np
import pytest
import torch
from torch import nn

from cut_structures import dimension, gone, structure
from netcaliper.errors import CutRefused, InputError
from netcaliper.surgery.masking import masked
from netcaliper.trace.structure import Dimension, Structure

NET = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).eval()
CHANNELS = dimension(
    "2", 4, ("0.weight", 0), ("0.bias", 0, "ride"), ("1.weight", 0, "ride"), ("1.bias", 0, "ride"),
    ("1.running_mean", 0, "ride"), ("1.running_var", 0, "ride"), ("4.weight", 1, "column", np.repeat(np.arange(4), 4)),
)  # fmt: skip


def state_of(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(value.shape, generator=generator) + 0.5 if value.is_floating_point() else value
        for name, value in module.state_dict().items()
    }


def test_zeros_stand_at_every_entry_of_a_removed_unit_and_nowhere_else():
    before = state_of(NET)
    after = masked(before, structure(CHANNELS), {"2": gone(4, 1, 3)})
    assert list(after) == list(before)
    for name in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean"):
        assert (after[name][[1, 3]] == 0).all()
        assert torch.equal(after[name][[0, 2]], before[name][[0, 2]])
    columns = np.repeat(gone(4, 1, 3), 4)
    assert (after["4.weight"][:, columns] == 0).all()
    assert torch.equal(after["4.weight"][:, ~columns], before["4.weight"][:, ~columns])
    for name in ("1.running_var", "4.bias", "1.num_batches_tracked"):
        assert after[name] is before[name]


def test_what_is_given_stays_as_it_is():
    before = state_of(NET)
    kept = {name: value.clone() for name, value in before.items()}
    masked(before, structure(CHANNELS), {"2": gone(4, 0)})
    assert all(torch.equal(before[name], kept[name]) for name in kept)


def test_nothing_removed_is_the_same_state():
    before = state_of(NET)
    after = masked(before, structure(CHANNELS), {"2": gone(4)})
    assert all(after[name] is before[name] for name in before)


def test_one_tensor_under_two_names_stays_one():
    weight = torch.ones(3, 4)
    after = masked({"a": weight, "b": weight}, structure(dimension("s", 4, ("a,b", 1))), {"s": gone(4, 2)})
    assert after["a"] is after["b"]
    assert after["a"].tolist() == [[1, 1, 0, 1]] * 3


def test_two_dimensions_cut_one_tensor_along_two_axes():
    both = structure(dimension("rows", 3, ("w", 0)), dimension("columns", 4, ("w", 1, "column")))
    after = masked({"w": torch.ones(3, 4)}, both, {"rows": gone(3, 0), "columns": gone(4, 1)})
    assert after["w"].tolist() == [[0, 0, 0, 0], [1, 0, 1, 1], [1, 0, 1, 1]]


@pytest.mark.parametrize(
    ("removed", "words"),
    [
        ({"3": gone(4, 0)}, "none of the 1"),
        ({"2": gone(5, 0)}, "each of the 4 units"),
    ],
)
def test_units_that_do_not_fit_are_refused(removed, words):
    with pytest.raises(InputError, match=words):
        masked(state_of(NET), structure(CHANNELS), removed)


def test_refused_dimensions_are_named_with_their_reason():
    with pytest.raises(InputError, match="'lstm'.*hidden state"):
        masked({}, Structure((), (("lstm", "its hidden state is read by itself"),)), {"lstm": gone(2, 0)})


def test_frozen_units_stay():
    frozen = Dimension("2", "inner", 4, CHANNELS.holders, (), {}, (), gone(4, 3), "an output of the network reads it")
    with pytest.raises(InputError, match="unit 3 of `2`.*an output"):
        masked(state_of(NET), structure(frozen), {"2": gone(4, 1, 3)})
    masked(state_of(NET), structure(frozen), {"2": gone(4, 1)})


def test_one_unit_has_to_be_left():
    with pytest.raises(CutRefused, match="all 4 units of `2`") as caught:
        masked(state_of(NET), structure(CHANNELS), {"2": gone(4, 0, 1, 2, 3)})
    assert caught.value.dimensions == ("2",)
