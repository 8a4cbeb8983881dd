"""Weight decay reaches the parameters it should, and is the gradient of c/2 ||w||^2."""

import pytest
import torch
from torch import nn

from netcaliper.fit.optimizers import OPTIMIZERS, make_optimizer

NAMES = {
    "all": {"0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias", "5.weight", "5.bias"},
    "weights": {"0.weight", "3.weight", "5.weight"},
    "linear": {"3.weight", "5.weight"},
    "hidden_linear": {"3.weight"},
}


def network():
    head = nn.Linear(3, 2)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3), nn.ReLU(), head)


@pytest.mark.parametrize("decayed", NAMES)
def test_what_decays(decayed):
    """Without a gradient of the loss, sgd multiplies what decays by 1 - rate * c and leaves the rest."""
    model = network()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    descent = make_optimizer(model, "sgd", learning_rate=0.5, weight_decay=0.1, decayed=decayed)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    descent.step()
    for name, parameter in model.named_parameters():
        factor = 0.95 if name in NAMES[decayed] else 1.0
        torch.testing.assert_close(parameter.detach(), factor * before[name])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_descends_and_skips_what_is_frozen(name):
    model = nn.Linear(3, 1)
    model.bias.requires_grad_(False)
    bias = model.bias.detach().clone()
    descent = make_optimizer(model, name, learning_rate=0.05)
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(30):
        loss = (model(x) - x.sum(1, keepdim=True) - bias).square().mean()
        descent.zero_grad()
        loss.backward()
        descent.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert torch.equal(model.bias, bias)


def test_momentum_is_sgds_own():
    assert make_optimizer(network(), "sgd", learning_rate=0.1, momentum=0.3).param_groups[0]["momentum"] == 0.3
