"""Which call is which: reused modules, functions, writing in place, checkpointed blocks, copies and pickles."""

import copy
import inspect
import io
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import netcaliper as nc
from netcaliper.bending.calls import Framed, Reading
from netcaliper.errors import InputError

X = torch.linspace(-1.0, 1.0, 12).reshape(3, 4)


class Reused(nn.Module):
    """One ReLU module called twice, and two functional calls."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Linear(4, 4) for _ in range(4))
        self.head = nn.Linear(4, 2)
        self.relu = nn.ReLU()

    def forward(self, x, scale=1.0):
        x = self.relu(self.a(x))
        x = self.relu(self.b(x))
        x = F.relu(self.c(x) * scale)
        x = torch.relu(self.d(x))
        return self.head(x)


class Block(nn.Module):
    """In-place ReLUs around a shortcut that starts before the first one."""

    def __init__(self, functional=False):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.functional = functional

    def forward(self, x):
        y = self.conv1(x)
        z = F.relu_(y) if self.functional else self.relu(y)
        z = self.conv2(z) + y  # y was written over
        return self.relu(z)


class Checkpointed(nn.Module):
    """Blocks, computed again in the backward pass or not."""

    def __init__(self, *blocks, bounded=False):
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 1)
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Conv2d(3, 2, 1)
        self.how, self.reentrant, self.bounded = "plain", False, bounded

    def inner(self, x):
        for block in self.blocks:
            x = block(x)
        return torch.tanh(x) if self.bounded else x

    def forward(self, x):
        x = self.stem(x)
        if self.how == "function":
            return self.head(checkpoint(self.inner, x, use_reentrant=self.reentrant))
        if self.how == "plain":
            return self.head(self.inner(x))
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=self.reentrant)
        return self.head(x)


def alphas_of(bend, seed=0):
    """Give every alpha a value of its own, strictly between 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in bend.model.named_parameters():
            if "bend_alpha" in name:
                parameter.copy_(0.1 + 0.8 * torch.rand(parameter.shape, generator=generator))
    return bend.alphas()


def prelu(x, alpha, axis=1):
    layout = [1] * x.dim()
    layout[axis] = -1
    return torch.where(x > 0, x, x * alpha.reshape(layout))


def gradients(model, x):
    model.zero_grad()
    model(x).square().sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_every_call_of_a_reused_module_and_of_a_function_has_its_own_alphas():
    torch.manual_seed(0)
    model = Reused().eval()
    bend = nc.Bending(model, X)
    assert bend.sites == ("relu", "relu#2", "relu#3", "relu#4")
    alpha = list(alphas_of(bend).values())
    assert {n for n, _ in bend.model.named_parameters() if "bend" in n} == {
        "relu.bend_alpha", "relu.bend_alpha_2", "bend_alpha", "bend_alpha_2",
    }  # fmt: skip
    x = X
    for layer, values in zip((model.a, model.b, model.c, model.d), alpha, strict=True):
        x = prelu(layer(x), values)
    torch.testing.assert_close(bend.model(X), model.head(x))


@pytest.mark.parametrize("functional", [False, True])
def test_a_value_that_is_written_over_and_read_later(functional):
    torch.manual_seed(0)
    block = Block(functional).eval()
    model = nn.Sequential(block, nn.Conv2d(3, 2, 1)).eval()
    x = torch.randn(2, 3, 5, 5)
    bend = nc.Bending(model, x)
    first, second = alphas_of(bend).values()
    y = prelu(block.conv1(x), first)
    expected = model[1](prelu(block.conv2(y) + y, second))
    torch.testing.assert_close(bend.model(x), expected)
    weights = list(model.parameters())
    theirs = torch.autograd.grad(expected.square().sum(), weights)
    ours = [p for n, p in bend.model.named_parameters() if "bend" not in n]
    torch.testing.assert_close(torch.autograd.grad(bend.model(x).square().sum(), ours), theirs)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("how", ["module", "function"])
def test_blocks_that_are_computed_again(how, reentrant):
    torch.manual_seed(0)
    model = Checkpointed(Block(), Block(True)).eval()
    x = torch.randn(2, 3, 5, 5)
    bend = nc.Bending(model, x)
    alphas_of(bend)
    expected = gradients(bend.model, x)
    bend.model.how, bend.model.reentrant = how, reentrant
    found = gradients(bend.model, x)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_reused_block_that_is_computed_again_is_refused_by_name():
    block = Block()
    model = Checkpointed(block, nn.Identity(), block).eval()
    bend = nc.Bending(model, torch.randn(2, 3, 5, 5))
    assert len(bend.sites) == 4
    bend.model.how = "module"
    with pytest.raises(InputError, match=r"`blocks\.0` .*2 places"):
        bend.model(torch.randn(2, 3, 5, 5)).sum().backward()


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_call_inside_a_checkpointed_function_is_refused_not_left_straight(reentrant):
    bend = nc.Bending(Checkpointed(Block(), bounded=True).eval(), torch.randn(2, 3, 5, 5))
    assert "tanh" in bend.sites
    bend.model.how, bend.model.reentrant = "function", reentrant
    with pytest.raises(InputError, match="checkpointed"):
        bend.model(torch.randn(2, 3, 5, 5, requires_grad=True))


class Steps(nn.Module):
    """Calls its cell as often as the input is long."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x):
        h = torch.zeros_like(x[:, 0])
        for t in range(x.shape[1]):
            h = F.relu(self.cell(h + x[:, t]))
        return self.head(h)


def test_more_calls_than_were_read_are_refused():
    bend = nc.Bending(Steps().eval(), torch.randn(2, 3, 3))
    assert len(bend.sites) == 3
    with pytest.raises(InputError, match=r"relu as often .* got call 4"):
        bend.model(torch.randn(2, 4, 3))
    bend.model(torch.randn(2, 3, 3))  # nothing is left open


def test_an_error_inside_leaves_nothing_open():
    bend = nc.Bending(Reused().eval(), X)
    before = bend.model(X)
    with pytest.raises(RuntimeError):
        bend.model(torch.zeros(3, 5))
    assert torch.equal(bend.model(X), before)


def test_copies_and_pickles_compute_the_same_and_share_nothing():
    bend = nc.Bending(Reused().eval(), X)
    alphas_of(bend)
    file = io.BytesIO()
    torch.save(bend.model, file)
    file.seek(0)
    copies: list[Any] = [copy.deepcopy(bend.model), torch.load(file, weights_only=False)]
    for other in copies:
        assert type(other).__name__ == "Reused"
        assert torch.equal(other(X), bend.model(X))
        with torch.no_grad():
            other.relu.bend_alpha.fill_(-3.0)
        assert not torch.equal(other(X), bend.model(X))


def test_a_framed_forward_has_the_signature_of_the_modules_own():
    module: Any = Reused()
    framed = Framed(module, "", Reading())
    assert list(inspect.signature(framed).parameters) == ["x", "scale"]
    framed.install()
    assert module.forward is framed
    framed.remove()
    assert module.forward.__func__ is Reused.forward


def test_two_bent_models_one_inside_the_other():
    inner = nc.Bending(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)), X)
    outer = nc.Bending(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)), X)
    alphas_of(inner, 1)
    alphas_of(outer, 2)
    expected = outer.model(inner.model(X))
    outer.model[0].register_forward_pre_hook(lambda module, args: (inner.model(args[0]),))
    assert torch.equal(outer.model(X), expected)
