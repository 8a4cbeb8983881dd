"""The AlexNet-like network has the published parameter counts, poolings, normalization and biases."""

import pytest
import torch
from torch import nn
from torch.nn.functional import max_pool2d, pad

import netcaliper as nc
from netcaliper.errors import InputError
from netcaliper.zoo.alexnet import AlexNet, AlexNetConfig
from netcaliper.zoo.models import build


@pytest.mark.parametrize(
    ("width", "count"), [(0.25, 438_746), (0.5, 1_749_930), (1.0, 6_989_642), (2.0, 27_938_442), (4.0, 111_713_546)]
)
def test_counts_of_the_paper(width, count):
    """Casper et al. 2021, printed by the notebooks of the official code."""
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in AlexNet(width).parameters()) == count


def test_response_norm_is_torchs_with_tensorflows_alpha():
    norm = AlexNet(0.25).conv1.norm
    x = 100 * torch.randn(2, 9, 4, 5)
    assert torch.equal(norm(x), nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)(x))
    slow = torch.empty_like(x)
    for unit in range(9):
        window = x[:, max(0, unit - 2) : unit + 3]
        slow[:, unit] = x[:, unit] / (1 + 2e-5 * window.square().sum(1)) ** 0.75
    torch.testing.assert_close(norm(x), slow)


@pytest.mark.parametrize("size", [8, 16, 32])
def test_pooling_is_same_padding_at_the_end(size):
    x = torch.randn(1, 2, size, size)
    expected = max_pool2d(pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)
    assert torch.equal(AlexNet(0.25).conv1.pool(x), expected)
    assert expected.shape[-1] == size // 2


def test_biases():
    model = build("alexnet", {"width": 0.25})
    biases = {name: set(p.tolist()) for name, p in model.named_parameters() if name.endswith("bias")}
    assert biases["conv1.conv.bias"] == biases["head.bias"] == {0.0}
    for name in ("conv2.conv.bias", "fc3.linear.bias", "fc4.linear.bias"):
        assert list(biases[name]) == [pytest.approx(0.1)]


def test_one_layer_wider():
    assert AlexNet(4.0, only=2, size=8).config.layer_widths == (96, 256, 1536, 192)
    assert AlexNet(0.5, size=8).config.layer_widths == (48, 128, 192, 96)
    smallest = AlexNet(5 / 96, size=8).eval()
    assert smallest.config.layer_widths[0] == 5
    assert smallest(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


def test_dropout_only_in_training_and_only_in_dense_layers():
    model = AlexNet(0.25, dropout=0.5, size=8)
    assert [name for name, m in model.named_modules() if isinstance(m, nn.Dropout)] == ["fc3.dropout", "fc4.dropout"]
    x = torch.randn(4, 3, 8, 8)
    model.eval()
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


def test_it_can_be_traced():
    graph = nc.trace(AlexNet(0.25, size=8).eval(), torch.randn(2, 3, 8, 8))
    units = {site.name: site.units for site in graph.sites}
    assert [units[name] for name in ("conv1.act", "conv2.act", "fc3.act", "fc4.act")] == [24, 64, 96, 48]
    assert max(graph.replay.values()) < 1e-5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 30}, "`size` = 30 cannot be used: two poolings halve the image"),
        ({"width": 0.001}, "`width` = 0.001 cannot be used: it leaves 0 of 96 channels"),
        ({"width": 0.05}, "it leaves 4 of 96 channels, and the normalization reads 5; use at least 5/96"),
        ({"only": 4}, "`only` = 4"),
        ({"dropout": 1.0}, "`dropout` = 1"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        AlexNetConfig(**arguments)
