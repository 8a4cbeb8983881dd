"""Linear maps between units, and their sums and compositions as formulas on the weights.

A map acts on one axis of a value, the units', alone (a linear layer: a kernel without spatial axes) or together with
the spatial axes behind it (a convolution). Weights are float64 while they are folded; tensors on the meta device plan a
fold without computing it. Notation: kernel size k, stride s, dilation d, padding p; the second map is applied after
the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import gcd

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Sizes = tuple[int, ...]
Bias = Float[Tensor, "units *spatial"]


class InexactError(Exception):
    """Two maps whose composition is no map of this kind at the border; the message says why."""


@dataclass(frozen=True, eq=False)
class Scale:
    """Every unit times a factor of its own; ``factor`` ``None`` is the identity."""

    factor: Float[Tensor, " units"] | None = None


@dataclass(frozen=True, eq=False)
class Kernel:
    """A convolution with zero padding, or without spatial axes a matrix.

    Attributes:
        weight: ``[out, in / groups, *k]``.
        stride: one number for every spatial axis; so are the others.
        padding: rows of zeros on either side.
        dilation: step between taps.
        groups: blocks of the block-diagonal weight.
    """

    weight: Float[Tensor, "out in_of_group *k"]
    stride: Sizes = ()
    padding: Sizes = ()
    dilation: Sizes = ()
    groups: int = 1

    @property
    def size(self) -> Sizes:
        """Kernel size k along every spatial axis."""
        return tuple(self.weight.shape[2:])

    @property
    def inputs(self) -> int:
        """Number of input units."""
        return self.weight.shape[1] * self.groups

    @property
    def pointwise(self) -> bool:
        """Tell whether it looks at one place only, and keeps all places."""
        return all(k == 1 and s == 1 and p == 0 for k, s, p in zip(self.size, self.stride, self.padding, strict=True))


LinearMap = Scale | Kernel


def macs(one: LinearMap, positions: int) -> int:
    """Return the multiply-adds of a map at so many output positions: ``out in / groups prod(k)`` at each."""
    return one.weight.numel() * positions if isinstance(one, Kernel) else 0


def rows(one: Kernel, index: Int[Tensor, " m"]) -> Kernel:
    """Return the map to some of its output units."""
    return replace(one, weight=one.weight[index.to(one.weight.device)])


def columns(one: Kernel, index: Int[Tensor, " m"]) -> Kernel:
    """Return the map from some of its input units."""
    return replace(one, weight=one.weight[:, index.to(one.weight.device)])


def exact(second: Kernel, first: Kernel) -> bool:
    """Tell whether the composition of two kernels is one kernel at the border too.

    The pair pads the value in between with zeros, one kernel sees there what the first map would make of the padded
    input. They agree along an axis if nothing is padded in between (p2 = 0), or if the first map makes zeros out of
    zeros without looking further (k1 = 1, p1 = 0; its bias is another matter, see ``through``).
    """
    axes = zip(second.padding, first.size, first.padding, strict=True)
    return all(p2 == 0 or (k1 == 1 and p1 == 0) for p2, k1, p1 in axes)


def compose(second: LinearMap, first: LinearMap, *, interior: bool = False) -> LinearMap:
    """Return ``second ∘ first``.

    Two kernels give one with ``s = s1 s2``, ``p = p1 + p2 s1``, taps at ``a s1 d2 + u d1`` and weights
    ``W[o, i, a s1 d2 + u d1] += sum_m W2[o, m, a] W1[m, i, u]``; block-diagonal weights stay so in the
    ``gcd(groups1, groups2)`` blocks that both respect.

    Args:
        second: is applied to what ``first`` makes.
        first: is applied to the input.
        interior: accept a kernel that is right away from the border only.

    Raises:
        InexactError: the kernel would be wrong at the border (see ``exact``) and ``interior`` does not allow it.
    """
    if isinstance(first, Scale):
        return _after_scale(second, first)
    if isinstance(second, Scale):
        if second.factor is None:
            return first
        return replace(first, weight=first.weight * second.factor.reshape(-1, *[1] * (first.weight.dim() - 1)))
    if not interior and not exact(second, first):
        raise InexactError(
            f"a convolution that pads {_words(second.padding)} follows one of size {_words(first.size)} with padding "
            f"{_words(first.padding)}: one kernel would be wrong at the border"
        )
    steps = [(s1 * d2, d1) for s1, d2, d1 in zip(first.stride, second.dilation, first.dilation, strict=True)]
    dilation = tuple(_lattice(a, k2, b, k1) for (a, b), k2, k1 in zip(steps, second.size, first.size, strict=True))
    extents = [a * (k2 - 1) + b * (k1 - 1) for (a, b), k2, k1 in zip(steps, second.size, first.size, strict=True)]
    size = tuple(extent // d + 1 for extent, d in zip(extents, dilation, strict=True))
    groups = gcd(first.groups, second.groups)
    weight1, weight2 = _in_blocks(first, groups), _in_blocks(second, groups)
    blocks = weight1.new_zeros(groups, weight2.shape[1], weight1.shape[2], *size)
    every = [slice(None)] * 3
    for tap in product(*map(range, second.size)):
        places = [
            slice(t * a // d, t * a // d + b * (k1 - 1) // d + 1, max(b // d, 1))
            for t, (a, b), d, k1 in zip(tap, steps, dilation, first.size, strict=True)
        ]
        blocks[(*every, *places)] += torch.einsum("gom,gmi...->goi...", weight2[(*every, *tap)], weight1)
    return Kernel(
        blocks.flatten(0, 1),
        stride=tuple(s1 * s2 for s1, s2 in zip(first.stride, second.stride, strict=True)),
        padding=tuple(p1 + p2 * s1 for p1, p2, s1 in zip(first.padding, second.padding, first.stride, strict=True)),
        dilation=dilation,
        groups=groups,
    )


def through(
    one: LinearMap, bias: Float[Tensor, "units *field"], spatial: Sizes | None, *, interior: bool = False
) -> Float[Tensor, "made *whole"]:
    """Return what a map makes of a constant, the same for every example.

    Where a kernel pads, a constant does not stay one: its border differs, and the result is a map of the whole field.

    Args:
        one: the map.
        bias: a number for every unit, or a number for every unit and place.
        spatial: sizes of the field that the map reads, ``None`` if they are not fixed.
        interior: accept a number for every unit that is right away from the border only.

    Raises:
        InexactError: the map pads, the field has no fixed size, and ``interior`` does not allow it.
    """
    if isinstance(one, Scale):
        return bias if one.factor is None else bias * one.factor.reshape(-1, *[1] * (bias.dim() - 1))
    if bias.dim() == 1 and (interior or not any(one.padding)):
        taps = _in_blocks(one, one.groups).flatten(3).sum(3) if one.size else _in_blocks(one, one.groups)
        return torch.einsum("goi,gi->go", taps, bias.reshape(one.groups, -1)).flatten()
    if bias.dim() == 1:
        if spatial is None:
            raise InexactError(
                f"a bias goes into a convolution that pads {_words(one.padding)}; the size of its field is not fixed"
            )
        bias = bias.reshape(-1, *[1] * len(spatial)).expand(-1, *spatial)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[len(one.size) - 1]
    return convolve(bias[None], one.weight, None, one.stride, one.padding, one.dilation, one.groups)[0]


def add(one: LinearMap, two: LinearMap) -> LinearMap | None:
    """Return the map that makes the sum of what two maps make, ``None`` if it is none of this kind.

    The identity is a 1 in the middle of a kernel; kernels of the same stride are laid over each other so that the tap
    that sees the place itself is the same (at index p for d = 1), on a grid that has the taps of both.
    """
    if isinstance(one, Scale) and isinstance(two, Scale):
        if one.factor is None or two.factor is None:
            factor = two.factor if one.factor is None else one.factor
            return None if factor is None else Scale(factor + 1.0)  # twice the identity: two terms say it
        return Scale(one.factor + two.factor)
    a, other = (one, two) if isinstance(one, Kernel) else (two, one)
    assert isinstance(a, Kernel)
    b = other if isinstance(other, Kernel) else _as_kernel(other, a)
    if b is None or a.stride != b.stride or a.weight.shape[0] != b.weight.shape[0] or a.inputs != b.inputs:
        return None
    reach = [_reach(kernel) for kernel in (a, b)]  # (before, after) the place itself, along every axis
    if any(x[0] - x[1] != y[0] - y[1] for x, y in zip(*reach, strict=True)):
        return None  # the outputs would have other sizes
    before = [max(x[0], y[0]) for x, y in zip(*reach, strict=True)]
    after = [max(x[1], y[1]) for x, y in zip(*reach, strict=True)]
    offsets = [[low - x[0] for low, x in zip(before, of, strict=True)] for of in reach]
    dilation = tuple(
        _grid([(offsets[n][axis], kernel.size[axis], kernel.dilation[axis]) for n, kernel in enumerate((a, b))])
        for axis in range(len(before))
    )
    size = tuple((low + high) // d + 1 for low, high, d in zip(before, after, dilation, strict=True))
    groups = gcd(a.groups, b.groups)
    first = _in_blocks(a, groups)
    blocks = first.new_zeros(groups, first.shape[1], first.shape[2], *size)
    for kernel, offset in zip((a, b), offsets, strict=True):
        places = [
            slice(o // d, o // d + step * (k - 1) // d + 1, max(step // d, 1))
            for o, d, k, step in zip(offset, dilation, kernel.size, kernel.dilation, strict=True)
        ]
        blocks[(slice(None), slice(None), slice(None), *places)] += _in_blocks(kernel, groups)
    return Kernel(blocks.flatten(0, 1), a.stride, tuple(before), dilation, groups)


def _after_scale(second: LinearMap, first: Scale) -> LinearMap:
    if first.factor is None:
        return second
    if isinstance(second, Scale):
        return Scale(first.factor if second.factor is None else first.factor * second.factor)
    # row r of the weight reads the input units of its own group
    of_group = first.factor.reshape(second.groups, -1)
    of_row = of_group.repeat_interleave(second.weight.shape[0] // second.groups, 0)
    return replace(second, weight=second.weight * of_row.reshape(*of_row.shape, *[1] * len(second.size)))


def _in_blocks(one: Kernel, blocks: int) -> Float[Tensor, "blocks out in *k"]:
    """Return the weight as that many diagonal blocks, a divisor of its groups; what lies beside its own is zero."""
    out, of_group = one.weight.shape[0] // one.groups, one.weight.shape[1]
    share = one.groups // blocks
    grouped = one.weight.reshape(blocks, share, out, of_group, *one.size)
    if share == 1:
        return grouped[:, 0]
    dense = grouped.new_zeros(blocks, share, out, share, of_group, *one.size)
    for number in range(share):
        dense[:, number, :, number] = grouped[:, number]
    return dense.reshape(blocks, share * out, share * of_group, *one.size)


def _as_kernel(one: Scale, like: Kernel) -> Kernel | None:
    """Return a scale as a depthwise kernel of one tap, if one can be added to a kernel: same units, no stride."""
    units = like.inputs
    if like.weight.shape[0] != units or any(s != 1 for s in like.stride):
        return None
    factor = like.weight.new_ones(units) if one.factor is None else one.factor
    ones = tuple(1 for _ in like.size)
    if not like.size:
        return Kernel(torch.diag(factor), groups=1) if like.groups == 1 else Kernel(factor[:, None], groups=units)
    return Kernel(factor.reshape(-1, 1, *ones), ones, tuple(0 for _ in ones), ones, units)


def _reach(one: Kernel) -> list[tuple[int, int]]:
    """Return how far a kernel looks before and after the place that its output belongs to."""
    axes = zip(one.size, one.padding, one.dilation, strict=True)
    return [(p, d * (k - 1) - p) for k, p, d in axes]


def _lattice(a: int, size_a: int, b: int, size_b: int) -> int:
    """Return the largest dilation on whose grid all sums of multiples of two steps lie."""
    return max(gcd(a if size_a > 1 else 0, b if size_b > 1 else 0), 1)


def _grid(taps: Sequence[tuple[int, int, int]]) -> int:
    """Return the largest dilation on whose grid all taps ``offset + u d``, u < k lie."""
    numbers = [offset for offset, _, _ in taps] + [d for _, k, d in taps if k > 1]
    return max(gcd(*numbers), 1)


def _words(sizes: Sizes) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else " x ".join(map(str, sizes))
