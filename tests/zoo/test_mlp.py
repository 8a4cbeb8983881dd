"""An MLP is the composition of affine maps and its activation, with the widths that were asked for."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.errors import InputError
from netcaliper.zoo.mlp import MLP, MLPConfig


@given(
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    inputs=st.integers(1, 7),
    classes=st.integers(1, 5),
    examples=st.integers(1, 6),
)
def test_logits_equal_a_float64_composition(widths, inputs, classes, examples):
    model = MLP(inputs, widths, classes)
    x = torch.randn(examples, inputs)
    h = x.double().numpy()
    state = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
    for layer in range(len(widths)):
        z = h @ state[f"hidden.{layer}.linear.weight"].T + state[f"hidden.{layer}.linear.bias"]
        assert z.shape == (examples, widths[layer])
        h = np.maximum(z, 0)
    expected = h @ state["head.weight"].T + state["head.bias"]
    np.testing.assert_allclose(model(x).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_number_of_parameters_follows_from_the_widths():
    model = MLP(64, [32, 16], 10)
    assert sum(p.numel() for p in model.parameters()) == 64 * 32 + 32 + 32 * 16 + 16 + 16 * 10 + 10


def test_images_are_flattened():
    model = MLP(64, [8])
    x = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(model(x), model(x.reshape(3, 64)))


def test_config_is_frozen_and_describes_the_network():
    config = MLP(12, [3, 4], 2, "gelu").config
    assert config == MLPConfig(inputs=12, widths=(3, 4), classes=2, activation="gelu")
    assert config.example_shape == (12,)
    with pytest.raises(ValueError, match="frozen"):
        config.inputs = 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": []}, "`widths`.*at least 1"),
        ({"widths": [4, 0]}, "`widths`.*greater than or equal to 1"),
        ({"widths": "wide"}, "`widths` = 'wide'"),
        ({"inputs": -1}, "`inputs` = -1.*greater than or equal to 1"),
        ({"classes": 2.5}, "`classes` = 2.5"),
        ({"activation": "rely"}, "`activation` = 'rely'.*'relu'"),
        ({"widhts": [3]}, "`widhts` is not an argument of MLPConfig; did you mean `widths`"),
        ({"qqq": 3}, "known arguments: inputs, widths, classes, activation"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        MLPConfig(**arguments)
