"""Which producer row lies at every entry of a value and of a parameter, and which of them must go together.

A *layer* of row ids cuts a value into slabs: taking a class of rows away deletes exactly the entries that carry it, and
what is left must again be a value that the same operations take. A value has several layers where units lie along
several axes independently (tokens and channels). A layer may vary along two axes for a while, after a view has split
the axis of its units; what then reads it along one of them *ties* the rows along that axis together: so heads become
units by themselves, because query and key are contracted along the other axis.

Whatever has full size along an axis of units and no row of its own there cannot lose anything, and so the rows are
frozen, with the reason in words. Parameters have rows along every axis from the beginning, as if each were a producer;
only what some weighted call makes becomes a unit in the end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from netcaliper.trace.ids import NONE, Classes, Ids, along, compact


@dataclass(frozen=True, eq=False)
class RowLayer:
    """Row ids of one way to cut a value.

    Attributes:
        ids: of the value's rank, size 1 along every axis on which they do not vary; ``NONE`` where nothing can go.
        through: names of the normalizations over the units since they were made.
    """

    ids: Ids
    through: tuple[str, ...] = ()

    @property
    def axes(self) -> frozenset[int]:
        """The axes along which the rows lie."""
        return frozenset(axis for axis, size in enumerate(self.ids.shape) if size > 1)


@dataclass(frozen=True, eq=False)
class Carried:
    """What a value carries.

    Attributes:
        shape: of the value.
        layers: of row ids; no two vary along the same axis.
        zero: whether the entries of a unit are 0 once all that it has in the state dict is 0.
        fixed: it does not depend on the inputs.
        lost: in words, what hid the rows, if there are none.
    """

    shape: tuple[int, ...]
    layers: tuple[RowLayer, ...] = ()
    zero: bool = False
    fixed: bool = False
    lost: str = ""

    def along(self, axis: int) -> RowLayer | None:
        """Return the layer that varies along an axis."""
        return next((layer for layer in self.layers if axis % len(self.shape) in layer.axes), None)

    def covers(self, axis: int) -> bool:
        """Tell whether it is not repeated along an axis."""
        return self.shape[axis] > 1


class Rows:
    """Classes of producer rows and what is known about them."""

    def __init__(self) -> None:
        self.classes = Classes()
        self.frozen: list[tuple[Ids, str]] = []

    def freeze(self, ids: Ids, why: str) -> None:
        """Mark rows as bound to something that cannot change its size."""
        if bool((ids >= 0).any()):
            self.frozen.append((torch.unique(ids[ids >= 0]), why))

    def freeze_all(self, values: Iterable[Carried], why: str) -> None:
        """Freeze whatever some values carry."""
        for value in values:
            for layer in value.layers:
                self.freeze(layer.ids, why)

    def tie(self, a: Ids, b: Ids, why: str) -> None:
        """Unite rows that stand at the same place; one that meets what cannot go is frozen."""
        a, b = torch.broadcast_tensors(a, b)
        self.classes.union(a, b)
        self.freeze(a[b < 0], why)
        self.freeze(b[a < 0], why)

    def collapse(self, layer: RowLayer, axes: Iterable[int], why: str) -> RowLayer | None:
        """Tie the rows along axes along which nothing can go; ``None``, and frozen, if no other axis is left."""
        axes = layer.axes & set(axes)
        if not axes:
            return layer
        if axes == layer.axes:
            self.freeze(layer.ids, why)
            return None
        ids = layer.ids
        for axis in axes:
            first = ids.amax(axis, keepdim=True)
            self.tie(ids, first, why)
            ids = first
        return replace(layer, ids=ids)

    def without(self, value: Carried, axes: Iterable[int], why: str) -> Carried:
        """Collapse all layers of a value along axes."""
        rank = len(value.shape)
        axes = [axis % rank for axis in axes]
        kept = [self.collapse(layer, axes, why) for layer in value.layers]
        lost = value.lost or (why if any(layer is None for layer in kept) else "")
        return replace(value, layers=tuple(layer for layer in kept if layer is not None), lost=lost)

    def meet(self, values: Sequence[Carried], why: str) -> Carried:
        """Unite what several values carry that are combined entry by entry, with broadcasting."""
        met = values[0]
        for value in values[1:]:
            met = self._pair(met, value, why)
        return met

    def _pair(self, a: Carried, b: Carried, why: str) -> Carried:
        rank = max(len(a.shape), len(b.shape))
        a, b = ranked(a, rank), ranked(b, rank)
        shape = tuple(max(m, n) if min(m, n) else 0 for m, n in zip(a.shape, b.shape, strict=True))
        lost = a.lost or b.lost
        layers: list[RowLayer] = []
        ours, others = self._tight(a, b, why), self._tight(b, a, why)
        for layer in ours.layers:
            mates = sorted((m for m in others.layers if m.axes & layer.axes), key=lambda m: min(m.axes))
            others = replace(others, layers=tuple(m for m in others.layers if m not in mates))
            joined: RowLayer | None = layer
            for mate in mates:
                joined = self._join(joined, mate, a.fixed, b.fixed, why) if joined is not None else None
                if joined is None:
                    self.freeze(mate.ids, why)
            layers += [joined] if joined is not None else []
        layers += others.layers
        return Carried(shape, tuple(layers), fixed=a.fixed and b.fixed, lost="" if layers else lost or ours.lost)

    def _tight(self, value: Carried, other: Carried, why: str) -> Carried:
        """Collapse along the axes on which the other value has full size and no rows."""
        theirs = frozenset(axis for layer in other.layers for axis in layer.axes)
        return self.without(value, [d for d in range(len(value.shape)) if other.covers(d) and d not in theirs], why)

    def _join(self, a: RowLayer, b: RowLayer, a_fixed: bool, b_fixed: bool, why: str) -> RowLayer | None:
        """Unite two layers with axes in common; the one along fewer axes ties the other along the rest."""
        if not b.axes <= a.axes:
            a, b, a_fixed, b_fixed = b, a, b_fixed, a_fixed
        through = tuple(dict.fromkeys((*a.through, *b.through)))
        if not b.axes <= a.axes:
            self.freeze(a.ids, why)
            self.freeze(b.ids, why)
            return None
        if b.axes < a.axes and b_fixed and min(b.axes) != min(a.axes):
            # one number for every place inside a head: the heads stay, and the places inside cannot go
            self.freeze(b.ids, why)
            return self.collapse(a, b.axes, why)
        narrowed = self.collapse(a, a.axes - b.axes, why)
        if narrowed is None:
            return None
        self.tie(narrowed.ids, b.ids, why)
        ids = torch.where(narrowed.ids == NONE, b.ids, narrowed.ids)
        return RowLayer(ids, through)


def ranked(value: Carried, rank: int) -> Carried:
    """Give a value the rank of what it is broadcast to."""
    more = [1] * (rank - len(value.shape))
    if not more:
        return value
    layers = [replace(layer, ids=layer.ids.reshape([*more, *layer.ids.shape])) for layer in value.layers]
    return replace(value, shape=(*more, *value.shape), layers=tuple(layers))


def placed(value: Carried, axis: int, rank: int) -> Carried:
    """Lay a vector (a bias, a scale) out along one axis."""
    layers = [replace(layer, ids=along(axis, rank, layer.ids)) for layer in value.layers]
    shape = [1] * rank
    shape[axis] = value.shape[0]
    return replace(value, shape=tuple(shape), layers=tuple(layers))


def disjoint(rows: Rows, value: Carried, why: str) -> Carried:
    """Keep, of layers that lie along the same axis now, the first; the others are frozen."""
    kept: list[RowLayer] = []
    for layer in value.layers:
        if any(layer.axes & other.axes for other in kept):
            rows.freeze(layer.ids, why)
        else:
            kept.append(layer)
    return replace(value, layers=tuple(kept))


def picked(layer: RowLayer, index: Ids) -> RowLayer:
    """Return a layer whose entries were moved: ``index`` counts the entries of the old ids, ``NONE`` for a filling."""
    table = torch.cat([layer.ids.reshape(-1), torch.tensor([NONE])])
    return replace(layer, ids=compact(table[index]))
