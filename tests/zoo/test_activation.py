"""Every name builds the module of that nonlinearity."""

import pytest
import torch
import torch.nn.functional as F

from netcaliper.zoo.activation import ACTIVATIONS, activation


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_module_equals_the_function_of_the_same_name(name):
    x = torch.linspace(-4, 4, 101)
    function = getattr(F, name, None) or getattr(torch, name)
    torch.testing.assert_close(activation(name)(x), function(x))


def test_modules_are_not_shared():
    assert activation("relu") is not activation("relu")
