"""Initial weights have the variances of their formulas, stay inside their bounds, and repeat from a seed."""

import math

import pytest
import torch
from torch import nn

from netcaliper.errors import InputError
from netcaliper.zoo.initializers import INITIALIZERS, TRUNCATED_SD, fans, initialize
from netcaliper.zoo.mlp import MLP
from netcaliper.zoo.models import build

VARIANCES = {
    "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he": lambda fan_in, fan_out: 2 / fan_in,
    "lecun": lambda fan_in, fan_out: 1 / fan_in,
}
LAYERS = [
    (lambda: nn.Linear(300, 500), 300, 500),
    (lambda: nn.Conv2d(30, 80, (3, 5)), 30 * 15, 80 * 15),
    (lambda: nn.Conv1d(64, 96, 7, groups=2), 32 * 7, 96 * 7),
]


@pytest.mark.parametrize(("make", "fan_in", "fan_out"), LAYERS)
@pytest.mark.parametrize("name", INITIALIZERS[1:])
def test_variance_and_bounds(make, fan_in, fan_out, name):
    layer = make()
    initialize(layer, name, scale=3.0, seed=0)
    assert fans(layer.weight) == (fan_in, fan_out)
    family, _, shape = name.partition("_")
    sd = 3.0 * math.sqrt(VARIANCES[family](fan_in, fan_out))
    # The relative error of a sample sd over n draws is below 4 / sqrt(2 n).
    n = layer.weight.numel()
    assert layer.weight.std().item() == pytest.approx(sd, rel=4 / math.sqrt(2 * n))
    assert abs(layer.weight.mean().item()) < 4 * sd / math.sqrt(n)
    bound = 2 * sd / TRUNCATED_SD if shape == "normal" else math.sqrt(3) * sd
    assert 0.98 * bound < layer.weight.abs().max().item() <= bound * (1 + 1e-6)
    assert not layer.bias.any()


def test_the_constant_is_the_deviation_of_a_cut_normal():
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    mass = math.erf(math.sqrt(2))
    assert math.sqrt(1 - 4 * density / mass) == pytest.approx(TRUNCATED_SD, abs=1e-15)


def test_seed_decides_and_the_random_state_stays():
    first, again, other = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(5, 4)
    state = torch.get_rng_state()
    for layer, seed in ((first, 1), (again, 1), (other, 2)):
        initialize(layer, "he_normal", seed=seed)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)


def test_norms_are_left_alone():
    norm = nn.BatchNorm1d(3)
    nn.init.constant_(norm.weight, 7.0)
    initialize(nn.Sequential(nn.Linear(4, 3), norm), "glorot_uniform", seed=0)
    assert norm.weight.tolist() == [7.0] * 3


def test_torch_keeps_what_was_drawn_times_the_scale():
    layer = nn.Linear(5, 4)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    initialize(layer, "torch", scale=2.0)
    assert torch.equal(layer.weight, 2 * weight)
    assert torch.equal(layer.bias, bias)


@pytest.mark.parametrize("network", ["mlp", "cnn", "resnet", "alexnet"])
def test_scale_multiplies_the_same_draws(network):
    arguments = {"initializer": "he_normal"} | ({"width": 0.25} if network == "alexnet" else {})
    plain = build(network, arguments, seed=3).head
    scaled = build(network, {**arguments, "init_scale": 4.0}, seed=3).head
    torch.testing.assert_close(scaled.weight, 4 * plain.weight)


def test_mlp_with_a_deviation_for_each_layer():
    model = MLP(400, [300], 50, init_sds=[1e-3, 1e-2], init_scale=10.0)
    for layer, sd in ((model.get_submodule("hidden.0.linear"), 1e-2), (model.head, 1e-1)):
        assert isinstance(layer, nn.Linear)
        assert layer.weight.std().item() == pytest.approx(TRUNCATED_SD * sd, rel=0.03)
        assert layer.weight.abs().max().item() <= 2 * sd
        assert not layer.bias.any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initialize(nn.Linear(2, 2), "he_normal", scale=0.0), "`scale` must be a positive number, got 0"),
        (lambda: MLP(init_sds=[0.1]), "`init_sds` must hold one number for each of the 3 layers, got 1"),
        (lambda: build("mlp", {"initializer": "he"}), "`initializer` = 'he'"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(InputError, match=message):
        make()
