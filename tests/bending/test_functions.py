"""Which calls count as an activation, in every way of writing them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from netcaliper.bending.functions import activation_name, slope_below_zero, works_in_place


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (F.relu, "relu"), (torch.relu, "relu"), (torch.relu_, "relu"), (Tensor.relu, "relu"), (Tensor.relu_, "relu"),
        (F.gelu, "gelu"), (F.silu, "silu"), (torch.sigmoid, "sigmoid"), (Tensor.tanh, "tanh"), (F.glu, "glu"),
        (Tensor.clamp, "clamp"), (F.leaky_relu, "leaky_relu"), (F.logsigmoid, "log_sigmoid"),
    ],
)  # fmt: skip
def test_every_spelling_has_one_name(function, name):
    assert (activation_name(function) or "").replace("logsigmoid", "log_sigmoid") == name


@pytest.mark.parametrize("function", [torch.add, F.linear, F.softmax, F.dropout, torch.exp, Tensor.clone])
def test_other_functions_have_none(function):
    assert activation_name(function) is None


def test_in_place_is_told_by_name_keyword_and_place():
    x = torch.zeros(1)
    assert works_in_place(torch.relu_, (x,), {})
    assert works_in_place(F.relu, (x,), {"inplace": True})
    assert works_in_place(F.relu, (x, True), {})
    assert works_in_place(F.leaky_relu, (x, 0.1, True), {})
    assert not works_in_place(F.leaky_relu, (x, 0.1), {})
    assert not works_in_place(F.relu, (x,), {"inplace": False})
    assert not works_in_place(Tensor.relu, (x,), {})


def test_slopes_below_zero():
    x = torch.zeros(1)
    assert slope_below_zero("relu", (x,), {}) == 0.0
    assert slope_below_zero("leaky_relu", (x,), {}) == 0.01
    assert slope_below_zero("leaky_relu", (x, 0.3), {}) == 0.3
    assert slope_below_zero("leaky_relu", (x,), {"negative_slope": 0.2}) == 0.2
    assert slope_below_zero("gelu", (x,), {}) is None
