"""Cuts as plain data: written, read, applied, and refused where they do not fit."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from netcaliper.errors import CorruptReading, InputError
from netcaliper.surgery.cuts import Cuts, TensorCut, add_bias, apply_cuts, indices, ranges, set_attribute, tensor_at

CUTS = Cuts(
    {"0.weight": TensorCut((4, 3), {0: ((0, 1), (2, 4))}), "0.bias": TensorCut((4,), {0: ((0, 1), (2, 4))}),
     "2.weight": TensorCut((2, 4), {1: ((0, 1), (2, 4))})},
    {"1": {"alpha": 0.5}}, {"3": "identity"}, ("2.bias",),
)  # fmt: skip


def net() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ELU(), nn.Linear(4, 2, bias=False), nn.Linear(2, 2)).eval()


@given(st.lists(st.booleans(), max_size=12))
def test_ranges_hold_the_indices(kept):
    array = np.array(kept, dtype=bool)
    assert indices(ranges(array)).tolist() == np.flatnonzero(array).tolist()


def test_json_and_back():
    assert Cuts.from_json(json.loads(json.dumps(CUTS.to_json()))) == CUTS


def test_applying_is_slicing():
    whole, small = net(), net()
    apply_cuts(small, CUTS)
    keep = [0, 2, 3]
    assert torch.equal(small[0].weight, whole[0].weight[keep])
    assert torch.equal(small[0].bias, whole[0].bias[keep])
    assert torch.equal(small[2].weight, whole[2].weight[:, keep])
    assert torch.equal(small[2].bias, torch.zeros(2))
    assert isinstance(small[2].bias, nn.Parameter)
    assert (small[0].out_features, small[2].in_features, small[1].alpha) == (3, 3, 0.5)
    assert isinstance(small[3], nn.Identity)


def test_tied_tensors_are_sliced_once():
    model: Any = nn.ModuleList([nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)])
    model[1].weight = model[0].weight
    one = TensorCut((4, 4), {0: ((0, 2),)})
    apply_cuts(model, Cuts({"0.weight": one, "1.weight": one}))
    assert model[0].weight is model[1].weight
    assert model[0].weight.shape == (2, 4)


@pytest.mark.parametrize(
    ("cuts", "words"),
    [
        (Cuts({"0.weight": TensorCut((5, 3), {0: ((0, 1),)})}), r"`0.weight` must have shape \(5, 3\).*\(4, 3\)"),
        (Cuts({"7.weight": TensorCut((5, 3), {0: ((0, 1),)})}), "`7.weight`.*nothing of that name"),
        (Cuts(attributes={"0": {"heads": 2}}), "`0` must have an attribute `heads`"),
        (Cuts(attributes={"0": {"config.heads": 2}}), "`0` must have an attribute `config.heads`"),
        (Cuts(attributes={"9": {"heads": 2}}), "`9` must have an attribute"),
        (Cuts(replaced={"9": "zero"}), "`9` must be a module"),
        (Cuts(biases=("0.bias",)), "`0.bias`"),
        (Cuts(biases=("1.bias",)), "`1.bias`.*ELU"),
        (Cuts(biases=("9.bias",)), "`9.bias`.*nothing"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_sliced(cuts, words):
    model = net()
    with pytest.raises(InputError, match=words):
        apply_cuts(model, cuts)
    assert [tuple(p.shape) for p in model.parameters()] == [tuple(p.shape) for p in net().parameters()]


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("tensors"),
        lambda record: record.update(replaced={"3": "os.system"}),
        lambda record: record["attributes"].update({"1": {"alpha": "one"}}),
        lambda record: record["attributes"].update({"1": {"alpha": True}}),
        lambda record: record["tensors"]["0.bias"].pop("shape"),
        lambda record: record["tensors"]["0.bias"]["axes"].update({"0": [[2, 1]]}),
        lambda record: record["tensors"]["0.bias"]["axes"].update({"0": [[0, 5]]}),
        lambda record: record["tensors"]["0.bias"]["axes"].update({"0": []}),
        lambda record: record["tensors"]["0.bias"]["axes"].update({"3": [[0, 1]]}),
    ],
)
def test_damaged_records_are_refused(change):
    record = json.loads(json.dumps(CUTS.to_json()))
    change(record)
    with pytest.raises(CorruptReading, match="surgery"):
        Cuts.from_json(record)
    with pytest.raises(CorruptReading):
        Cuts.from_json(None)


def test_attributes_keep_being_lists():
    model: Any = nn.Identity()
    model.sizes = [1, 2]
    set_attribute(model, "sizes", (3, 2))
    assert model.sizes == [3, 2]


def test_tensors_are_found_by_name():
    model = net()
    assert tensor_at(model, "2.weight") is model[2].weight
    assert tensor_at(model, "2.bias") is None
    assert tensor_at(model, "9.x") is None
    add_bias(model, "2.bias")
    assert tensor_at(model, "2.bias") is not None
