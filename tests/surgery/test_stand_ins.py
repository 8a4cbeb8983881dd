"""What stands in the place of modules."""

import pytest
import torch
from torch import nn

from netcaliper.surgery.stand_ins import STAND_INS, First, Zero, put_in, put_in_for_now


def test_first_and_zero_take_whatever_they_are_called_with():
    x, y = torch.randn(2, 3), torch.randn(2, 3)
    assert First()(x, y, flag=True) is x
    assert First()(hidden=x) is x
    assert torch.equal(Zero()(hidden=x, other=y), torch.zeros(2, 3))


def test_modules_are_replaced_in_place_and_keep_the_mode():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3), nn.ReLU())).eval()
    put_in(model, {"0": "zero", "1.0": "identity"})
    assert isinstance(model[0], STAND_INS["zero"])
    assert isinstance(model.get_submodule("1.0"), nn.Identity)
    assert not any(part.training for part in model.modules())
    assert torch.equal(model(torch.randn(2, 3)), torch.zeros(2, 3))


def test_for_now_ends_with_the_old_modules_whatever_happens():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3), nn.ReLU())).eval()
    before = dict(model.named_modules())
    with pytest.raises(AttributeError), put_in_for_now(model, {"1.0": "identity", "1": "zero", "2.0": "first"}):
        raise AssertionError("there is no module 2")
    assert dict(model.named_modules()) == before
    with put_in_for_now(model, {"1.0": "identity", "1": "zero"}):
        assert torch.equal(model(torch.randn(2, 3)), torch.zeros(2, 3))
    assert dict(model.named_modules()) == before
