"""Examples for models that came without one."""

import pytest
import torch
from torch import nn

from netcaliper.bending.example import guess_example
from netcaliper.errors import InputError
from netcaliper.zoo.models import build


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Linear(7, 3), nn.ReLU()), (2, 7)),
        (nn.Sequential(nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(2 * 26 * 26, 3)), (2, 4, 28, 28)),
        (nn.Sequential(nn.Conv1d(4, 2, 3), nn.ReLU()), (2, 4, 32)),
        (nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2)), (2, 8)),
    ],
)
def test_by_the_first_layer_with_weights(model, shape):
    example = guess_example(model.eval())
    assert tuple(example.shape) == shape
    assert torch.equal(guess_example(model), example)


def test_what_the_model_itself_offers():
    assert tuple(guess_example(build("mlp", {"widths": [4, 4], "inputs": 3}).eval()).shape) == (2, 3)
    assert set(guess_example(build("decoder", {}).eval())) == {"input_ids", "attention_mask"}


def test_dtype_and_random_state():
    model = nn.Linear(3, 2).double()
    state = torch.get_rng_state()
    assert guess_example(model).dtype == torch.float64
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "model", [nn.Bilinear(3, 3, 2), nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(7, 2))]
)
def test_asks_for_one_when_nothing_fits(model):
    with pytest.raises(InputError, match="`example` is needed"):
        guess_example(model.eval())
