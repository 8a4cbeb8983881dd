"""Unit ids: which unit, or which producer row, every entry of a value carries.

Ids are int64 tensors of the value's rank with size 1 along every axis on which they do not vary (a conv output with 64
rows has ids of shape ``[1, 64, 1, 1]``), so that most operations cost nothing. ``NONE`` marks entries that carry
nothing, ``MIXED`` entries that depend on several units.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

NONE = -1
MIXED = -2
_LAST = torch.iinfo(torch.int64).max

Ids = Int[Tensor, "..."]


def along(axis: int, rank: int, ids: Int[Tensor, " n"]) -> Ids:
    """Lay ids out along one axis of a value of the given rank."""
    shape = [1] * rank
    shape[axis] = ids.numel()
    return ids.reshape(shape)


def compact(ids: Ids) -> Ids:
    """Reduce every axis along which all entries are equal to size 1."""
    for axis in range(ids.dim()):
        if ids.shape[axis] > 1:
            first = ids.narrow(axis, 0, 1)
            if ids.stride(axis) == 0 or bool((ids == first).all()):
                ids = first
    return ids


def varying(ids: Ids) -> tuple[int, ...]:
    """Return the axes along which compact ids differ; empty entries (a class token, a border) do not count."""
    axes = tuple(axis for axis, size in enumerate(ids.shape) if size > 1)
    if not bool((ids == NONE).any()):
        return axes
    low, high = torch.where(ids == NONE, _LAST, ids), torch.where(ids == NONE, -_LAST, ids)
    return tuple(axis for axis in axes if bool((high.amax(axis) > low.amin(axis)).any()))


def line(ids: Ids, axis: int, size: int) -> Int[Tensor, " size"]:
    """Return the ids along one axis; an entry that carries different units at different places is ``MIXED``."""
    flat = window(ids, [other for other in range(ids.dim()) if other != axis], keepdim=False).reshape(-1)
    return flat.expand(size) if flat.numel() == 1 else flat


def window(ids: Ids, axes: Sequence[int], *, keepdim: bool) -> Ids:
    """Reduce over axes: an id survives if it is the only one there."""
    low, high = torch.where(ids == NONE, _LAST, ids), torch.where(ids == NONE, -_LAST, ids)
    for axis in sorted(axes, reverse=True):
        low, high = low.amin(axis, keepdim=keepdim), high.amax(axis, keepdim=keepdim)
    return torch.where(low == high, low, torch.where(low == _LAST, NONE, MIXED))


def merge(a: Ids, b: Ids) -> Ids:
    """Combine the ids of two operands of an elementwise operation: equal ids pass, unequal ones are mixed."""
    a, b = torch.broadcast_tensors(a, b)
    merged = torch.where(a == b, a, MIXED)
    merged = torch.where(a == NONE, b, merged)
    return compact(torch.where(b == NONE, a, merged))


class Classes:
    """Union-find over row ids, with arrays of pairs at a time."""

    def __init__(self) -> None:
        self._parent = torch.empty(0, dtype=torch.int64)
        self._frozen: set[int] = set()

    def fresh(self, count: int) -> Int[Tensor, " count"]:
        """Return ``count`` new ids, each in a class of its own."""
        start = self._parent.numel()
        ids = torch.arange(start, start + count)
        self._parent = torch.cat([self._parent, ids])
        return ids

    def find(self, ids: Ids) -> Ids:
        """Replace ids by the representatives of their classes; ``NONE`` and ``MIXED`` stay."""
        if self._parent.numel() == 0:
            return ids
        known = ids.clamp_min(0)
        found = self._parent[known]
        while not torch.equal(found, again := self._parent[found]):
            found = again
        return torch.where(ids < 0, ids, found)

    def union(self, a: Ids, b: Ids) -> None:
        """Join the classes of ids that stand at the same place; entries below zero are left out."""
        a, b = torch.broadcast_tensors(a, b)
        together = (a >= 0) & (b >= 0)
        pairs = torch.stack([a[together], b[together]])
        while True:
            pairs = torch.unique(self.find(pairs), dim=1)
            pairs = pairs[:, pairs[0] != pairs[1]]
            if pairs.numel() == 0:
                return
            self._parent[pairs.amax(0)] = pairs.amin(0)

    def freeze(self, ids: Ids) -> None:
        """Mark ids as bound to something that cannot change its size (an input, a reshape, a mixing operation)."""
        self._frozen.update(torch.unique(ids[ids >= 0]).tolist())

    def frozen(self) -> Int[Tensor, " m"]:
        """Return the representatives of all frozen classes."""
        return torch.unique(self.find(torch.tensor(sorted(self._frozen), dtype=torch.int64)))
