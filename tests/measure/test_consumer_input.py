from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import netcaliper as nc
from netcaliper.measure.consumer_input import ConsumerInput, consumer_input, pads_between


def consumers_of(model, example) -> Any:
    graph = nc.trace(model.double().eval(), example.double())
    site = graph.sites[0]
    return graph, site, [(consumer, consumer_input(graph, consumer)) for consumer in site.consumers]


def everything(graph, source, example):
    """Return all unfolded rows of the example batch, and the consumer's own output without its bias."""
    seen = {}
    graph.run(example.double(), taps={source.source: lambda v, *_: seen.update(x=v.clone())})
    graph.run(example.double(), taps={source.node.name: lambda v, *_: seen.update(y=v.clone())})
    width = source.width(seen["x"], len(example))
    at = np.repeat(np.arange(len(example)), width), np.tile(np.arange(width), len(example))
    return source.rows(seen["x"], len(example), *at), seen["x"], seen["y"]


CONVOLUTIONS: dict[str, Any] = {
    "plain": nn.Conv2d(4, 5, 3),
    "padded, stride 2": nn.Conv2d(4, 5, 3, stride=2, padding=1),
    "dilated": nn.Conv2d(4, 5, (3, 2), padding=(2, 0), dilation=(2, 1)),
    "same": nn.Conv2d(4, 5, (4, 3), padding="same"),
    "valid": nn.Conv2d(4, 5, 2, padding="valid"),
    "no bias": nn.Conv2d(4, 5, 1, bias=False),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_rows_of_a_convolution_times_its_weight_are_its_output(name):
    torch.manual_seed(0)
    example = torch.randn(3, 2, 9, 8)
    graph, site, ((consumer, source),) = consumers_of(
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), CONVOLUTIONS[name]), example
    )
    assert isinstance(source, ConsumerInput)
    rows, _, y = everything(graph, source, example)
    bias = 0 if CONVOLUTIONS[name].bias is None else CONVOLUTIONS[name].bias.detach()
    out = rows @ torch.from_numpy(source.weight).T + bias
    assert torch.allclose(out.reshape(3, -1, 5), y.flatten(2).mT, atol=1e-12)
    assert source.unit_of_column(consumer).tolist() == np.repeat(np.arange(4), np.prod(source.kernel)).tolist()
    assert pads_between(graph, site, source) == (name in ("padded, stride 2", "dilated", "same"))


def test_the_rows_of_a_one_dimensional_convolution():
    torch.manual_seed(0)
    example = torch.randn(3, 2, 12)
    conv: Any = nn.Conv1d(4, 5, 3, stride=2, padding=2, dilation=2)
    graph, _, ((_, source),) = consumers_of(nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), conv), example)
    rows, _, y = everything(graph, source, example)
    out = rows @ torch.from_numpy(source.weight).T + conv.bias.detach()
    assert torch.allclose(out.reshape(3, -1, 5), y.mT, atol=1e-12)


class Matrix(nn.Module):
    """A weight that is multiplied from the right, or from the left of the transposed input."""

    def __init__(self, left):
        super().__init__()
        self.first, self.left = nn.Linear(3, 4), left
        self.weight = nn.Parameter(torch.randn(5, 4) if left else torch.randn(4, 5))

    def forward(self, x):
        x = torch.relu(self.first(x))
        return self.weight @ x.transpose(1, 2) if self.left else x @ self.weight


@pytest.mark.parametrize("left", [False, True])
def test_the_rows_of_a_matrix_product(left):
    torch.manual_seed(0)
    example = torch.randn(3, 6, 3)
    graph, _, ((consumer, source),) = consumers_of(Matrix(left), example)
    assert isinstance(source, ConsumerInput), source
    rows, _, y = everything(graph, source, example)
    out = (rows @ torch.from_numpy(source.weight).T).reshape(3, 6, 5)
    assert torch.allclose(out, y.mT if left else y, atol=1e-12)
    assert source.unit_of_column(consumer).tolist() == [0, 1, 2, 3]


def test_a_flattened_channel_owns_all_its_pixels():
    example = torch.randn(3, 2, 5, 5)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5))
    graph, _, ((consumer, source),) = consumers_of(model, example)
    assert source.unit_of_column(consumer).tolist() == np.repeat(np.arange(4), 9).tolist()
    rows, x, _ = everything(graph, source, example)
    assert torch.equal(rows, x)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("name", ["padded, stride 2", "same", "no bias"])
def test_the_consumer_with_another_weight_and_bias(name):
    torch.manual_seed(0)
    example, conv = torch.randn(3, 2, 9, 8), CONVOLUTIONS[name]
    graph, _, ((_, source),) = consumers_of(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), conv), example)
    _, x, y = everything(graph, source, example)
    shift = np.arange(5.0)
    out = source.replaced(graph, x, source.as_stored(2 * source.weight), shift)
    bias = 0 if conv.bias is None else conv.bias.detach()[:, None, None]
    assert torch.allclose(out, 2 * (y - bias) + bias + torch.from_numpy(shift)[:, None, None], atol=1e-12)


def test_zeros_put_around_the_units_on_the_way_are_seen_and_others_are_not():
    example = torch.randn(2, 2, 6, 6)
    padded = nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.ZeroPad2d(1), nn.Conv2d(4, 3, 3))
    before = nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 3, 3))
    for model, expected in ((padded, True), (before, False)):
        graph, site, ((_, source),) = consumers_of(model, example)
        assert pads_between(graph, site, source) == expected


class Standardized(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)


@pytest.mark.parametrize(
    ("consumer", "reason"),
    [
        (nn.Conv2d(4, 4, 3, groups=4), "depthwise"),
        (nn.Conv2d(4, 4, 3, groups=2), "a convolution in 2 groups"),
        (nn.ConvTranspose2d(4, 4, 3), "conv_transpose"),
        (Standardized(4, 4, 3), "a weight that the graph computes"),
        (nn.Sequential(nn.GroupNorm(1, 4), nn.Conv2d(4, 4, 3)), "whose statistics mix them"),
    ],
    ids=["depthwise", "grouped", "transposed", "computed", "normalized"],
)
def test_what_cannot_be_unfolded_is_said(consumer, reason):
    _, _, sources = consumers_of(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), consumer), torch.randn(2, 2, 8, 8))
    assert reason in sources[0][1]
