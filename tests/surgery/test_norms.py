"""Normalizations over fewer units against the formula."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cut_structures import gone
from netcaliper.surgery.norms import NormOverKept, rescale


class OnePlus(nn.Module):
    """An RMSNorm that is scaled by one plus its weight, as in Gemma."""

    def __init__(self, units, eps):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.randn(units, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * (1 + self.weight)


@pytest.mark.parametrize("make", [lambda: nn.RMSNorm(6, eps=0.5, dtype=torch.float64), lambda: OnePlus(6, 0.5)])
def test_weight_and_eps_make_up_for_the_units_that_are_gone(make):
    torch.manual_seed(0)
    norm: Any = make()
    kept = ~gone(6, 1, 2, 5)
    nn.init.normal_(norm.weight)
    x = torch.randn(4, 6, dtype=torch.float64) * torch.as_tensor(kept)
    with torch.no_grad():
        expected = norm(x)[:, kept]
        problem, changed = rescale(nn.ModuleDict({"n": norm}), "n", "n.weight", kept)
        assert not problem
        norm.weight.data = norm.weight.data[torch.as_tensor(kept)]
        norm.eps = changed["eps"]
        norm.normalized_shape = (3,)
        torch.testing.assert_close(norm(x[:, kept]), expected, rtol=1e-12, atol=1e-12)
    assert changed == {"eps": 1.0}


class Odd(nn.RMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).abs() + self.weight**2


@pytest.mark.parametrize(
    ("norm", "words"),
    [
        (nn.RMSNorm(6, elementwise_affine=False), "no module with a weight"),
        (nn.RMSNorm(5), "no module with a weight"),
        (nn.Linear(6, 1), "no module with a weight"),
        (Odd(6), "not give the same"),
    ],
)
def test_what_cannot_follow_says_why_and_stays(norm, words):
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    problem, changed = rescale(nn.ModuleDict({"n": norm}), "n", "n.weight", ~gone(6, 1))
    assert words in problem
    assert not changed
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())


def test_an_eps_in_the_code_says_so():
    norm: Any = OnePlus(6, 0.5)
    norm.tiny = norm.__dict__.pop("eps")
    assert "eps" in rescale(nn.ModuleDict({"n": norm}), "n", "n.weight", ~gone(6, 1))[0]


@pytest.mark.parametrize(("norm", "axis"), [(nn.LayerNorm(4), -1), (nn.GroupNorm(1, 4), 1)])
def test_a_norm_over_kept_units_gives_zero_for_the_others(norm, axis):
    kept = ~gone(6, 0, 3)
    x = torch.randn(2, 6, 3).movedim(1, axis)
    y = NormOverKept(norm, kept)(x)
    index = torch.as_tensor(np.flatnonzero(kept))
    assert torch.equal(y.index_select(axis, index), norm(x.index_select(axis, index)))
    assert (y.index_select(axis, torch.tensor([0, 3])) == 0).all()


class ChannelsFirst(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def test_pictures_as_wide_as_they_have_channels():
    """Which axis holds the units cannot be seen from the shape; along the wrong one the norm fails."""
    norm, kept = ChannelsFirst(4), ~gone(6, 0, 3)
    x = torch.randn(2, 6, 6, 6)
    assert torch.equal(NormOverKept(norm, kept)(x)[:, kept], norm(x[:, kept]))
    last = nn.LayerNorm(4)
    assert torch.equal(NormOverKept(last, kept)(x)[..., kept], last(x[..., kept]))
