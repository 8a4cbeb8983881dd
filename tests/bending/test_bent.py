"""The bent activation: exact at both ends, and gradients against float64 finite differences and plain autograd."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from netcaliper.bending.bent import Bent, Phi
from netcaliper.bending.target import Affine, HalfTimesMean, Identity

FUNCTIONS = {
    "relu": Phi(torch.relu, False, 0.0),
    "leaky_relu": Phi(lambda x: F.leaky_relu(x, 0.1), False, 0.1),
    "gelu": Phi(F.gelu, False, None),
    "silu": Phi(F.silu, False, None),
    "hardswish": Phi(F.hardswish, False, None),
    "elu": Phi(F.elu, False, None),
    "tanh": Phi(torch.tanh, False, None),
}
LAYOUTS = [(1, (2, 3, 4, 4)), (2, (2, 4, 3)), (1, (5, 3)), (0, (3, 5))]


def free(units):
    return torch.zeros(units, dtype=torch.bool)


def bent(x, alpha, name="relu", axis=1, target=None, frozen=None, in_place=False):
    frozen = free(len(alpha)) if frozen is None else frozen
    return Bent.apply(x, alpha, frozen, axis, FUNCTIONS[name], target or Identity(), in_place)


def plain(x, alpha, name, axis, target):
    layout = [1] * x.dim()
    layout[axis] = -1
    weight = alpha.reshape(layout)
    return weight * target.value(x, lambda v: v.reshape(layout)) + (1 - weight) * FUNCTIONS[name].function(x)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("axis", "shape"), LAYOUTS)
@pytest.mark.parametrize("alphas", [3, 1])
@pytest.mark.parametrize("affine", [False, True])
def test_gradients_match_finite_differences(name, axis, shape, alphas, affine):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True)
    alpha = torch.rand(alphas, dtype=torch.float64, generator=generator, requires_grad=True)
    target = Affine(torch.tensor([0.5, 2.0, -1.0]).double(), torch.tensor([0.1, 0.0, 3.0]).double())
    target = target if affine else Identity()
    torch.testing.assert_close(bent(x, alpha, name, axis, target), plain(x, alpha, name, axis, target))
    assert torch.autograd.gradcheck(lambda x, alpha: bent(x, alpha, name, axis, target), (x, alpha))


def test_a_function_of_two_halves():
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    alpha = torch.rand(3, dtype=torch.float64, requires_grad=True)
    c = torch.rand(3, dtype=torch.float64)
    phi = Phi(lambda x: F.glu(x, 1), False, None)

    def call(x, alpha):
        return Bent.apply(x, alpha, free(3), 1, phi, HalfTimesMean(c, 1), False)

    u, g = x.chunk(2, 1)
    torch.testing.assert_close(call(x, alpha), u * ((1 - alpha) * torch.sigmoid(g) + alpha * c))
    assert torch.autograd.gradcheck(call, (x, alpha))


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(FUNCTIONS)), seed=st.integers(0, 2**16), layout=st.sampled_from(LAYOUTS),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)  # fmt: skip
def test_at_alpha_0_and_1_bit_for_bit(name, seed, layout, dtype):
    axis, shape = layout
    generator = torch.Generator().manual_seed(seed)
    x = (3 * torch.randn(shape, generator=generator)).to(dtype).requires_grad_()
    alpha = torch.tensor([0.0, 1.0, 0.5], requires_grad=True)
    y = bent(x, alpha, name, axis)
    g = torch.randn(shape, generator=generator).to(dtype)
    (of_x,) = torch.autograd.grad(y, x, g)
    phi = FUNCTIONS[name].function(x)
    (of_phi,) = torch.autograd.grad(phi, x, g)
    assert y.dtype == dtype
    assert of_x.dtype == dtype
    assert torch.equal(y.select(axis, 0), phi.select(axis, 0))
    assert torch.equal(of_x.select(axis, 0), of_phi.select(axis, 0))
    assert torch.equal(y.select(axis, 1), x.select(axis, 1))
    assert torch.equal(of_x.select(axis, 1), g.select(axis, 1))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_all_at_alpha_0_has_the_same_bits_signs_of_zero_included(name):
    x = torch.tensor([[-0.0, 0.0, -1.0, 1.0, -float("inf"), float("inf"), -200.0]]).T.contiguous().requires_grad_()
    y = bent(x, torch.zeros(1, requires_grad=True), name)
    phi = FUNCTIONS[name].function(x)
    assert torch.equal(torch.signbit(y), torch.signbit(phi))
    assert torch.equal(y.nan_to_num(7.0), phi.nan_to_num(7.0))
    g = torch.ones_like(x)
    ours, theirs = (torch.autograd.grad(of, x, g)[0] for of in (y, phi))
    assert torch.equal(ours.nan_to_num(7.0), theirs.nan_to_num(7.0))


def test_infinite_values_where_some_alphas_are_0_and_some_1():
    x = torch.tensor([[-float("inf"), -float("inf"), -1.0]])
    y = bent(x, torch.tensor([0.0, 1.0, 0.5]))
    assert y.tolist() == [[0.0, -float("inf"), -0.5]]
    y = bent(-x, torch.tensor([0.0, 1.0, 0.5]), "elu")
    assert y[0, :2].tolist() == [float("inf"), float("inf")]


def test_frozen_units_are_linear_whatever_their_alpha_says_and_get_no_gradient():
    x = torch.randn(5, 3, requires_grad=True)
    alpha = torch.tensor([0.3, -7.0, 0.3], requires_grad=True)
    y = bent(x, alpha, "gelu", frozen=torch.tensor([False, True, False]))
    assert torch.equal(y[:, 1], x[:, 1])
    y.square().sum().backward()
    assert alpha.grad is not None
    assert alpha.grad[1] == 0.0
    assert bool((alpha.grad[[0, 2]] != 0).all())


def test_only_the_input_is_saved():
    x = torch.randn(64, 3, 8, 8, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        bent(x, torch.rand(3, requires_grad=True), "gelu")
    large = {t.untyped_storage().data_ptr() for t in kept if t.numel() > 3}
    assert large == {x.untyped_storage().data_ptr()}


def test_in_place_writes_over_the_input_and_keeps_the_pre_activation():
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    alpha = torch.rand(3, dtype=torch.float64, requires_grad=True)

    def call(x, alpha):
        h = x * 1.0
        y = bent(h, alpha, in_place=True)
        return y + h  # h was written over: both are the value

    torch.testing.assert_close(call(x, alpha), 2 * plain(x, alpha, "relu", 1, Identity()))
    assert torch.autograd.gradcheck(call, (x, alpha))
    h = x.detach().clone()
    assert bent(h, alpha.detach(), in_place=True) is h


def test_memory_format_and_dtype_stay():
    x = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    for name in FUNCTIONS:
        y = bent(x, torch.rand(3), name)
        assert y.is_contiguous(memory_format=torch.channels_last)
        assert bent(x.bfloat16(), torch.rand(3), name).dtype == torch.bfloat16


def test_second_derivatives_are_refused_not_wrong():
    x = torch.randn(4, 3, requires_grad=True)
    (g,) = torch.autograd.grad(bent(x, torch.rand(3), "gelu").square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


def test_function_transforms_are_refused_not_wrong():
    with pytest.raises(RuntimeError, match="functorch"):
        torch.func.jacrev(lambda x: bent(x, torch.rand(3), "gelu"))(torch.randn(4, 3))
