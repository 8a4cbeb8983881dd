"""Affine forms: a value as a sum of linear maps of other values plus a constant, and putting one form into another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.fx import Node

from netcaliper.surgery.linear_maps import (
    Bias,
    InexactError,
    Kernel,
    LinearMap,
    Scale,
    Sizes,
    add,
    compose,
    macs,
    through,
)


@dataclass(frozen=True, eq=False)
class Term:
    """A linear map of the value of a node."""

    source: Node
    map: LinearMap


@dataclass(frozen=True, eq=False)
class Affine:
    """``sum of map(source) + bias``.

    Attributes:
        terms: the maps and what they read.
        axis: axis of the value along which the units lie; ``None`` if the form treats all entries alike (``x + y``).
        bias: a number for every unit, or for every unit and place; ``None`` for zero.
    """

    terms: tuple[Term, ...]
    axis: int | None
    bias: Bias | None = None

    def planned(self) -> "Affine":
        """Return the form without numbers (on the meta device): shapes and costs of a fold are found with it."""
        terms = tuple(Term(term.source, _planned(term.map)) for term in self.terms)
        return Affine(terms, self.axis, None if self.bias is None else self.bias.to("meta"))


@dataclass(frozen=True, order=True)
class Cost:
    """What a value costs: multiply-adds of its kernels, then passes over a tensor (one for every operation)."""

    macs: int
    passes: int

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.macs + other.macs, self.passes + other.passes)


FREE = Cost(0, 0)


def cost(form: Affine, positions: int) -> Cost:
    """Return what a form costs at so many positions (entries of the value over units)."""
    kernels = [term for term in form.terms if isinstance(term.map, Kernel)]
    scaled = [term for term in form.terms if isinstance(term.map, Scale) and term.map.factor is not None]
    with_it = kernels or (len(scaled) == len(form.terms) == 1)  # a vector is added in the same pass
    apart = form.bias is not None and not (with_it and form.bias.dim() == 1)
    passes = max(len(kernels) + len(scaled) + len(form.terms) - 1 + apart, 1)  # a copy is a pass too
    return Cost(sum(macs(term.map, positions) for term in kernels), passes)


def agree(a: int | None, b: int | None) -> bool:
    """Tell whether two forms have their units along one axis."""
    return a is None or b is None or a == b


def put_into(
    outer: Affine, number: int, inner: Affine, spatial: Sizes | None, *, interior: bool = False
) -> tuple[Affine, bool]:
    """Put a form into another one in place of the value that it makes.

    Args:
        outer: the form that reads the value.
        number: of the term that reads it.
        inner: the form of the value.
        spatial: sizes of the value behind its unit axis, ``None`` if they are not fixed.
        interior: accept what is wrong at the border.

    Returns:
        The form, and whether it is exact.

    Raises:
        InexactError: it would be wrong at the border, or the units lie along different axes.
    """
    if not agree(outer.axis, inner.axis):
        raise InexactError("the two act along different axes")
    after = outer.terms[number].map
    terms, right = [], True
    for term in inner.terms:
        try:
            composed = compose(after, term.map)
        except InexactError:
            if not interior:
                raise
            composed, right = compose(after, term.map, interior=True), False
        terms.append(Term(term.source, composed))
    bias = outer.bias
    if inner.bias is not None:
        try:
            moved = through(after, inner.bias, spatial, interior=not right)
        except InexactError:
            if not interior:
                raise
            moved, right = through(after, inner.bias, spatial, interior=True), False
        bias = moved if bias is None else joined(bias, moved)
    axis = outer.axis if outer.axis is not None else inner.axis
    every = (*outer.terms[:number], *terms, *outer.terms[number + 1 :])
    return Affine(merged(every), axis, bias), right


def joined(a: Float[Tensor, "units *a"], b: Float[Tensor, "units *b"]) -> Float[Tensor, "units *both"]:
    """Return the sum of two constants, one of which may be a map of the whole field."""
    rank = max(a.dim(), b.dim())
    wide = [bias.reshape(*bias.shape, *[1] * (rank - bias.dim())) for bias in (a, b)]
    return wide[0] + wide[1]


def merged(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Add maps of one source where one map costs no more than the two."""
    kept: list[Term] = []
    for term in terms:
        for place, other in enumerate(kept):
            total = add(other.map, term.map) if other.source is term.source else None
            if total is not None and macs(total, 1) <= macs(other.map, 1) + macs(term.map, 1):
                kept[place] = Term(term.source, total)
                break
        else:
            kept.append(term)
    return tuple(kept)


def _planned(one: LinearMap) -> LinearMap:
    return _each_tensor(one, lambda tensor: tensor.to("meta"))


def _each_tensor(one: LinearMap, function: Callable[[Tensor], Tensor]) -> LinearMap:
    if isinstance(one, Scale):
        return one if one.factor is None else Scale(function(one.factor))
    return Kernel(function(one.weight), one.stride, one.padding, one.dilation, one.groups)
