"""The sizes that torch's modules keep follow their weights."""

import pytest
import torch
from torch import nn

from netcaliper.errors import CutRefused
from netcaliper.surgery.module_sizes import adds_bias, is_conv1d, output_axis, set_sizes


def narrowed(module, **axes):
    """Keep all but the last entries of axes of its tensors, then set the sizes."""
    for name, cuts in axes.items():
        tensor = getattr(module, name)
        for axis in cuts:
            tensor.data = tensor.data.narrow(axis, 0, tensor.shape[axis] - 1)
    set_sizes(module)
    return module


@pytest.mark.parametrize(
    ("module", "axes", "sizes"),
    [
        (nn.Linear(4, 3), [0, 1], {"in_features": 3, "out_features": 2}),
        (nn.Conv2d(4, 3, 1), [0, 1], {"in_channels": 3, "out_channels": 2, "groups": 1}),
        (nn.ConvTranspose2d(4, 3, 1), [0], {"in_channels": 3, "out_channels": 3}),
        (nn.Conv1d(4, 4, 1, groups=4), [0], {"in_channels": 3, "out_channels": 3, "groups": 3}),
        (nn.Conv2d(4, 6, 1, groups=2), [1], {"in_channels": 2, "out_channels": 6, "groups": 2}),
        (nn.LayerNorm(4), [0], {"normalized_shape": (3,)}),
        (nn.RMSNorm(4), [0], {"normalized_shape": (3,)}),
        (nn.GroupNorm(1, 4), [0], {"num_channels": 3}),
        (nn.Embedding(7, 4), [1], {"embedding_dim": 3, "num_embeddings": 7}),
        (nn.PReLU(4), [0], {"num_parameters": 3}),
        (nn.BatchNorm2d(4), [0], {"num_features": 3}),
    ],
)
def test_sizes_follow_the_weight(module, axes, sizes):
    found = narrowed(module, weight=axes)
    assert {name: getattr(found, name) for name in sizes} == sizes


def test_a_batch_norm_without_weights_follows_its_statistics():
    assert narrowed(nn.BatchNorm1d(4, affine=False), running_mean=[0]).num_features == 3


def test_a_recurrent_layer_follows_its_input_weights():
    assert narrowed(nn.LSTM(5, 3), weight_ih_l0=[1]).input_size == 4


@pytest.mark.parametrize("module", [nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 1, groups=2)])
def test_parts_of_groups_are_refused(module):
    with pytest.raises(CutRefused, match="3 channels left"):
        narrowed(module, weight=[0])


def test_biases_are_added_to_linear_layers_and_convolutions_without_one():
    assert adds_bias(nn.Linear(2, 2, bias=False))
    assert adds_bias(nn.Conv2d(2, 2, 1, bias=False))
    assert not adds_bias(nn.Linear(2, 2))
    assert not adds_bias(nn.LayerNorm(2, bias=False))


def test_the_output_axis_of_a_weight():
    class Conv1D(nn.Module):
        def __init__(self):
            super().__init__()
            self.nf, self.nx, self.weight = 3, 2, nn.Parameter(torch.ones(2, 3))

    module = Conv1D()
    assert is_conv1d(module)
    assert output_axis(module) == 1
    assert output_axis(nn.ConvTranspose1d(2, 3, 1)) == 1
    assert output_axis(nn.Linear(2, 3)) == 0
    assert narrowed(module, weight=[1]).nf == 2
