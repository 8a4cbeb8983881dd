"""One bent call: what is registered where, the short cuts, and values of another form."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from netcaliper.bending.slot import Slot, TargetKind
from netcaliper.errors import InputError


def slot(module=None, *, alphas=3, axis=1, rank=2, target: TargetKind = "identity", whole_in_place=False):
    return Slot(
        "site", module or nn.Identity(), units=3, axis=axis, rank=rank, target=target, alphas=alphas,
        whole_in_place=whole_in_place, device=torch.device("cpu"),
    )  # fmt: skip


def set_alpha(slot, *values):
    with torch.no_grad():
        slot.alpha.copy_(torch.tensor(values))


def test_names_on_the_module_tell_calls_apart():
    module = nn.ELU(alpha=2.0)
    slot(module)
    slot(module, target="fit")
    assert module.alpha == 2.0
    assert set(module.state_dict()) == {
        "bend_alpha", "bend_frozen", "bend_alpha_2", "bend_frozen_2", "bend_a_2", "bend_c_2",
    }  # fmt: skip
    assert module.bend_alpha.dtype == torch.float32
    assert module.bend_frozen.dtype == torch.bool


def test_extra_tensors_and_keywords_reach_the_function_and_get_gradients():
    at, x, weight = slot(), torch.randn(5, 3, requires_grad=True), torch.rand(3, requires_grad=True)
    set_alpha(at, 0.25, 0.5, 0.0)
    y = at(F.prelu, (x,), {"weight": weight})
    alpha = torch.tensor([0.25, 0.5, 0.0])
    expected = alpha * x + (1 - alpha) * F.prelu(x, weight)
    torch.testing.assert_close(y, expected)
    for ours, theirs in zip(
        torch.autograd.grad(y.square().sum(), (x, weight)),
        torch.autograd.grad(expected.square().sum(), (x, weight)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_input_by_keyword():
    at, x = slot(), torch.randn(5, 3)
    set_alpha(at, 1.0, 1.0, 1.0)
    assert torch.equal(at(F.relu, (), {"input": x}), x)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_call_that_is_straight_as_a_whole(in_place):
    at, x = slot(), torch.randn(5, 3)
    at.frozen.fill_(True)
    h = x.clone()
    y = at(F.relu, (h,), {"inplace": in_place})
    assert torch.equal(y, x)
    assert (y is h) == in_place  # otherwise a later `y += 1` would change h
    fitted = slot(target="fit")
    fitted.frozen.fill_(True)
    fitted.affine[0].fill_(2.0)
    fitted.affine[1].fill_(1.0)
    y = fitted(torch.tanh_ if in_place else torch.tanh, (h,), {})
    torch.testing.assert_close(y, 2 * x + 1)
    assert (y is h) == in_place


def test_the_short_cuts_follow_every_change():
    at, x = slot(), torch.tensor([[-1.0, -1.0, -1.0]])
    assert at(F.relu, (x,), {}).tolist() == [[0.0, 0.0, 0.0]]
    at.alpha.requires_grad_(False)
    assert at(F.relu, (x,), {}).tolist() == [[0.0, 0.0, 0.0]]
    set_alpha(at, 0.0, 1.0, 0.5)
    assert at(F.relu, (x,), {}).tolist() == [[0.0, -1.0, -0.5]]
    set_alpha(at, 1.0, 1.0, 1.0)
    assert at(F.relu, (x,), {}).tolist() == [[-1.0, -1.0, -1.0]]
    set_alpha(at, 0.0, 0.0, 0.0)
    assert at(F.relu, (x,), {}).tolist() == [[0.0, 0.0, 0.0]]
    at.frozen[1] = True
    assert at(F.relu, (x,), {}).tolist() == [[0.0, -1.0, 0.0]]


def test_one_alpha_for_the_layer():
    at, x = slot(alphas=1), torch.tensor([[-1.0, -2.0, 3.0]], requires_grad=True)
    set_alpha(at, 0.5)
    at(F.relu, (x,), {}).sum().backward()
    assert at.alpha.grad is not None
    assert at.alpha.grad.tolist() == [-3.0]


@pytest.mark.parametrize("shape", [(5, 4), (3,), (2, 5, 3)])
def test_another_form_than_was_read_is_refused(shape):
    with pytest.raises(InputError, match="`site` must see 2 axes with 3 units"):
        slot()(F.relu, (torch.zeros(shape),), {})


def test_an_activation_under_autocast_keeps_the_dtype_of_its_value():
    at, x = slot(), torch.randn(5, 3)
    set_alpha(at, 0.1, 0.2, 0.3)
    with torch.autocast("cpu", torch.bfloat16):
        y = at(F.relu, (F.linear(x, torch.eye(3)),), {})
        z = at(F.gelu, (F.linear(x, torch.eye(3)),), {})
    assert y.dtype == z.dtype == torch.bfloat16
    y.sum().backward()
    assert at.alpha.grad is not None
    assert at.alpha.grad.dtype == torch.float32
