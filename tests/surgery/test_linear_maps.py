"""Formulas on weights against the layers run one after the other."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from netcaliper.surgery.linear_maps import (
    InexactError,
    Kernel,
    Scale,
    add,
    columns,
    compose,
    exact,
    macs,
    rows,
    through,
)

CONVOLVE = {0: F.linear, 1: F.conv1d, 2: F.conv2d}


def apply(one, x):
    if isinstance(one, Scale):
        return x if one.factor is None else x * one.factor.reshape(-1, *[1] * (x.dim() - 2))
    if not one.size:
        return F.linear(x, one.weight)
    return CONVOLVE[len(one.size)](x, one.weight, None, one.stride, one.padding, one.dilation, one.groups)


NUMBERS = st.tuples(
    st.integers(0, 10**6), *(st.tuples(*[st.sampled_from(c)] * 2) for c in ((1, 2), (0, 1, 2), (1, 2, 3)))
)
SIZES = st.tuples(*[st.sampled_from((1, 2, 3))] * 2)


def kernel(numbers, inputs, group, size, out=None):
    seed, s, p, d = numbers
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(out or 2 * group, inputs // group, *size, generator=generator, dtype=torch.float64)
    return Kernel(weight, s, p, d, group)


@settings(max_examples=20)
@given(NUMBERS, NUMBERS, SIZES, SIZES, st.sampled_from((1, 2, 4)), st.sampled_from((1, 2, 4)))
def test_one_kernel_is_two_in_turn_wherever_it_is_called_exact(a, b, size1, size2, group1, group2):
    first = kernel(a, 4, group1, size1, out=8)
    second = kernel(b, 8, group2, size2)
    x = torch.randn(2, 4, 25, 29, dtype=torch.float64)
    expected = apply(second, apply(first, x))
    if exact(second, first):
        got = apply(compose(second, first), x)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-11)
    else:
        with pytest.raises(InexactError, match="wrong at the border"):
            compose(second, first)
        got = apply(compose(second, first, interior=True), x)
        assert got.shape == expected.shape
        # away from the border it is right: only outputs that see the padded ring in between differ
        middle = apply(first, x)
        inside = torch.ones_like(middle[:1, :1])
        ones = Kernel(inside.new_ones(1, 1, *second.size), second.stride, second.padding, second.dilation)
        untouched = (apply(ones, inside) == second.size[0] * second.size[1]).expand_as(expected)
        torch.testing.assert_close(got[untouched], expected[untouched], rtol=0, atol=1e-11)


def test_stride_padding_and_size_are_those_of_the_notes():
    def conv(s, p, k=3):
        return Kernel(torch.randn(2, 2, k, k, dtype=torch.float64), (s, s), (p, p), (1, 1))

    merged = compose(conv(1, 1), conv(2, 1), interior=True)
    assert isinstance(merged, Kernel)
    assert (merged.size, merged.stride, merged.padding, merged.dilation) == ((7, 7), (2, 2), (3, 3), (1, 1))
    merged = compose(conv(1, 1), conv(1, 1), interior=True)
    assert isinstance(merged, Kernel)
    assert (merged.size, merged.padding) == ((5, 5), (2, 2))


@pytest.mark.parametrize(("stride", "wrong", "of"), [(1, 44, 144), (2, 20, 36)])
def test_the_padded_ring_is_wrong_by_much(stride, wrong, of):
    """The notes' bad cases: 44 of 144 pixels, and 20 of 36 behind a stride."""
    generator = torch.Generator().manual_seed(0)
    x, w1, w2 = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((1, 3, 12, 12), (4, 3, 3, 3), (3, 4, 3, 3))
    )
    bias = torch.ones(4, dtype=torch.float64)
    first, second = Kernel(w1, (stride,) * 2, (1, 1), (1, 1)), Kernel(w2, (1, 1), (1, 1), (1, 1))
    expected = apply(second, apply(first, x) + bias[:, None, None])
    got = apply(compose(second, first, interior=True), x)
    got = got + through(second, bias, None, interior=True)[:, None, None]
    differs = ((got - expected).abs() > 1e-9).any(1)
    assert (int(differs.sum()), differs.numel()) == (wrong, of)
    assert (got - expected).abs().max() > 0.1 * expected.abs().max(), "the error is large, not small"


def test_depthwise_stays_depthwise_and_groups_share_their_divisor():
    depthwise = Kernel(torch.randn(6, 1, 3, 3), (1, 1), (0, 0), (1, 1), 6)
    both = compose(depthwise, depthwise)
    assert isinstance(both, Kernel)
    assert both.groups == 6
    grouped = Kernel(torch.randn(6, 2, 1, 1), (1, 1), (0, 0), (1, 1), 3)
    mixed = compose(depthwise, grouped)
    assert isinstance(mixed, Kernel)
    assert mixed.groups == 3
    assert mixed.weight.shape == (6, 2, 3, 3)


@settings(max_examples=20)
@given(NUMBERS, NUMBERS, SIZES, SIZES, st.sampled_from((1, 2, 4)), st.sampled_from((1, 2, 4)), st.booleans())
def test_a_sum_of_maps_is_one_map(numbers1, numbers2, size1, size2, group1, group2, centered):
    a, b = kernel(numbers1, 4, group1, size1, out=4), kernel(numbers2, 4, group2, size2, out=4)
    if centered:
        a, b = (
            replace(one, padding=tuple(d * (k - 1) // 2 for d, k in zip(one.dilation, one.size, strict=True)))
            for one in (a, b)
        )
    b = replace(b, stride=a.stride)
    x = torch.randn(2, 4, 11, 14, dtype=torch.float64)
    total = add(a, b)
    if total is not None:
        torch.testing.assert_close(apply(total, x), apply(a, x) + apply(b, x), rtol=0, atol=1e-11)
    else:
        axes = [zip(m.padding, m.dilation, m.size, strict=True) for m in (a, b)]
        reach = [[2 * p - d * (k - 1) for p, d, k in of] for of in axes]
        assert reach[0] != reach[1], "kernels whose outputs have one size are added"


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("factor", [None, torch.randn(4, dtype=torch.float64)])
def test_the_identity_goes_into_the_middle_of_a_kernel(groups, factor):
    kernel = Kernel(torch.randn(4, 4 // groups, 3, 3, dtype=torch.float64), (1, 1), (1, 1), (1, 1), groups)
    x = torch.randn(2, 4, 7, 5, dtype=torch.float64)
    for total in (add(kernel, Scale(factor)), add(Scale(factor), kernel)):
        assert isinstance(total, Kernel)
        assert total.groups == groups
        torch.testing.assert_close(apply(total, x), apply(kernel, x) + apply(Scale(factor), x))


def test_the_identity_goes_into_a_matrix():
    kernel, x = Kernel(torch.randn(4, 4, dtype=torch.float64)), torch.randn(2, 5, 4, dtype=torch.float64)
    total = add(Scale(), kernel)
    assert total is not None
    torch.testing.assert_close(apply(total, x), apply(kernel, x) + x)


def test_what_cannot_be_added():
    ones = torch.ones(4, 4, 3, 3)
    strided = Kernel(ones, (2, 2), (1, 1), (1, 1))
    assert add(Scale(), strided) is None
    assert add(Scale(), Scale()) is None
    assert add(Kernel(ones, (1, 1), (1, 1), (1, 1)), strided) is None
    assert add(Scale(), Kernel(torch.ones(4, 3))) is None
    assert add(Kernel(ones, (1, 1), (0, 0), (1, 1)), Kernel(ones, (1, 1), (1, 1), (1, 1))) is None, "other sizes"


def test_scales_add():
    two, three = Scale(torch.full((3,), 2.0)), Scale(torch.full((3,), 3.0))
    for total, value in ((add(two, three), 5.0), (add(two, Scale()), 3.0), (add(Scale(), three), 4.0)):
        assert isinstance(total, Scale)
        assert total.factor is not None
        assert total.factor.tolist() == [value] * 3


@pytest.mark.parametrize("groups", [1, 2])
def test_scales_go_into_kernels_on_both_sides(groups):
    kernel = Kernel(torch.randn(6, 4 // groups, 3, 3, dtype=torch.float64), (2, 1), (1, 0), (1, 2), groups)
    before, after = (Scale(torch.randn(n, dtype=torch.float64)) for n in (4, 6))
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(apply(compose(kernel, before), x), apply(kernel, apply(before, x)))
    torch.testing.assert_close(apply(compose(after, kernel), x), apply(after, apply(kernel, x)))
    torch.testing.assert_close(apply(compose(before, before), x), apply(before, apply(before, x)))
    assert compose(kernel, Scale()) is kernel
    assert compose(Scale(), kernel) is kernel


@settings(max_examples=20)
@given(NUMBERS, SIZES, st.sampled_from((1, 2, 4)))
def test_what_a_map_makes_of_a_constant(numbers, size, group):
    one = kernel(numbers, 4, group, size)
    bias = torch.randn(4, dtype=torch.float64)
    field = bias[None, :, None, None].expand(1, 4, 8, 9)
    expected = apply(one, field)[0]
    got = through(one, bias, (8, 9))
    torch.testing.assert_close(got.reshape(*got.shape, *[1] * (3 - got.dim())).expand_as(expected), expected)
    if any(one.padding):
        assert got.dim() == 3, "padding makes a map of the whole field"
        with pytest.raises(InexactError, match="not fixed"):
            through(one, bias, None)
        inside = through(one, bias, None, interior=True)
        assert inside.dim() == 1
    else:
        torch.testing.assert_close(through(one, bias, None), got)
    torch.testing.assert_close(through(one, field[0], (8, 9)), expected)


def test_rows_columns_and_multiply_adds():
    kernel = Kernel(torch.arange(24.0).reshape(4, 6))
    index = torch.tensor([2, 0])
    assert torch.equal(rows(kernel, index).weight, kernel.weight[index])
    assert torch.equal(columns(kernel, index).weight, kernel.weight[:, index])
    assert macs(kernel, 10) == 240
    assert macs(Scale(torch.ones(3)), 10) == 0
    assert kernel.pointwise
    assert not Kernel(torch.ones(1, 1, 1, 1), (2, 2), (0, 0), (1, 1)).pointwise


def test_shapes_can_be_planned_without_numbers():
    first, second = (Kernel(torch.ones(6, 6, 3, 3, device="meta"), (1, 1), (0, 0), (1, 1)) for _ in range(2))
    merged = compose(second, first)
    assert isinstance(merged, Kernel)
    assert merged.weight.is_meta
    assert merged.size == (5, 5)
