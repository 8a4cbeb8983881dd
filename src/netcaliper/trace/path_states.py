"""Exact states of a walk over paths: how many active units lie behind a value, by chance and by count.

A *state* says of all paths that end at one channel: with which probability a random walk that ends here has passed k
active units, how many paths have k of them, and how often the walk has passed each site. Everything is an integer over
a common denominator, so that it is exact and never overflows. Equal states have one id; a value of the graph carries
ids (see ``ids.py``), and since a dense layer leaves all its channels in one state there are few.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd, lcm

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from netcaliper.trace.ids import NONE, Ids, compact

ABSENT = -3
"""In place of an id: a unit that is always off carries no path, unlike an entry that never carried one (``NONE``)."""


@dataclass(frozen=True)
class State:
    """What is known of the paths that end at one channel.

    Attributes:
        chance: ``chance[k] / parts`` is the probability that the random walk that ends here has passed k active units.
        parts: the denominator.
        paths: ``paths[k]`` paths have k active units.
        passed: pairs (site, n): the walk passes ``n / parts`` active units of the site on average.
        unknown: why nothing is known, in words.
    """

    chance: tuple[int, ...] = (1,)
    parts: int = 1
    paths: tuple[int, ...] = (1,)
    passed: tuple[tuple[int, int], ...] = ()
    unknown: str = ""


class States:
    """All states that were met, each once; its methods make ids from ids."""

    def __init__(self) -> None:
        self._states: list[State] = []
        self._number: dict[State, int] = {}
        self._mixed: dict[tuple[tuple[int, int, int], ...], int] = {}

    def __getitem__(self, number: int) -> State:
        return self._states[number]

    def add(self, state: State) -> int:
        """Return the id of a state."""
        if state not in self._number:
            self._number[state] = len(self._states)
            self._states.append(state)
        return self._number[state]

    # ---- ids from ids

    def dense(self, ids: Ids, axis: int, size: int, groups: int = 1) -> Ids:
        """Mix all entries along an axis of ``size`` channels, each with the same chance; paths add up.

        With ``groups`` the axis is cut into as many pieces, which keep apart.

        Returns:
            Ids of the same rank, with one entry a group (or a single one) along the axis.
        """
        moved = ids.movedim(axis, -1)
        columns = moved.shape[-1]
        if columns == 1:
            each = size // groups
            mixed = _mapped(moved, lambda id_: id_ if id_ < 0 else self._mix({id_: (each, each)}))
        else:
            rows = moved.reshape(*moved.shape[:-1], groups, columns // groups)
            mixed = self._by_row(rows, lambda counts: {id_: (n, n) for id_, n in counts.items()})
        return compact(mixed.movedim(-1, axis))

    def positions(self, ids: Ids, axes: Sequence[int]) -> Ids:
        """Mix the positions along axes that hold no units: pixels, tokens.

        A walk comes from each of them with the same chance. Positions are no nodes of their own, so that paths of
        equal states count once.
        """
        axes = [axis for axis in axes if ids.shape[axis] > 1]
        if not axes:
            return ids
        last = list(range(-len(axes), 0))
        moved = ids.movedim(axes, last)
        mixed = self._by_row(moved.flatten(-len(axes)), lambda counts: {id_: (n, 1) for id_, n in counts.items()})
        return compact(mixed.reshape(*mixed.shape, *[1] * len(axes)).movedim(last, axes))

    def branches(self, operands: Sequence[Ids]) -> Ids:
        """Mix k values entry by entry, each with the same chance; paths add up."""
        stacked = torch.stack(torch.broadcast_tensors(*operands), -1)
        return compact(self._by_row(stacked, lambda counts: {id_: (n, n) for id_, n in counts.items()}))

    def step(
        self, ids: Ids, axis: int, site: int, active: Bool[Tensor, " units"], absent: Bool[Tensor, " units"]
    ) -> Ids:
        """Pass the units of a site, which lie along an axis: one more where active, nothing comes through if absent."""
        shape = [1] * ids.dim()
        if shape:  # a single value has no axis
            shape[axis] = len(active)
        longer = _mapped(ids, lambda id_: id_ if id_ < 0 else self._longer(id_, site))
        passed = torch.where(active.reshape(shape), longer, ids)
        return compact(torch.where(absent.reshape(shape) & (passed >= 0), ABSENT, passed))

    def _by_row(self, rows: Ids, weighted: Callable[[dict[int, int]], dict[int, tuple[int, int]]]) -> Ids:
        """Mix the entries along the last axis; equal rows once."""
        shape = rows.shape[:-1]
        distinct, inverse = torch.unique(rows.reshape(-1, rows.shape[-1]), dim=0, return_inverse=True)
        mixed = []
        for row in distinct:
            found, counts = (part.tolist() for part in torch.unique(row, return_counts=True))
            present = {id_: count for id_, count in zip(found, counts, strict=True) if id_ >= 0}
            mixed.append(self._mix(weighted(present)) if present else ABSENT if ABSENT in found else NONE)
        return torch.tensor(mixed, dtype=torch.int64)[inverse].reshape(shape)

    # ---- states from states

    def _mix(self, weights: Mapping[int, tuple[int, int]]) -> int:
        """Return the state of a walk that comes from each state with its chance; ``(chance, times its paths)``."""
        key = tuple((id_, *weights[id_]) for id_ in sorted(weights))
        if key not in self._mixed:
            unknown = next((id_ for id_ in weights if self._states[id_].unknown), None)
            self._mixed[key] = self.add(self._mean(weights)) if unknown is None else unknown
        return self._mixed[key]

    def _mean(self, weights: Mapping[int, tuple[int, int]]) -> State:
        common = reduce(lcm, (self._states[id_].parts for id_ in weights))
        length = max(len(self._states[id_].paths) for id_ in weights)
        chance, paths, passed = [0] * length, [0] * length, {}
        for id_, (share, times) in weights.items():
            state = self._states[id_]
            scale = share * (common // state.parts)
            for k, part in enumerate(state.chance):
                chance[k] += scale * part
            for k, number in enumerate(state.paths):
                paths[k] += times * number
            for site, part in state.passed:
                passed[site] = passed.get(site, 0) + scale * part
        parts = common * sum(share for share, _ in weights.values())
        return _reduced(chance, parts, paths, passed)

    def _longer(self, id_: int, site: int) -> int:
        state = self._states[id_]
        if state.unknown:
            return id_
        passed = dict(state.passed)
        passed[site] = passed.get(site, 0) + state.parts
        return self.add(_reduced([0, *state.chance], state.parts, [0, *state.paths], passed))


def _reduced(chance: list[int], parts: int, paths: list[int], passed: dict[int, int]) -> State:
    """Bring a state into the one form in which equal states are equal."""
    common = gcd(parts, *chance, *passed.values())
    return State(
        tuple(part // common for part in chance),
        parts // common,
        tuple(paths),
        tuple(sorted((site, part // common) for site, part in passed.items())),
    )


def _mapped(ids: Ids, function: Callable[[int], int]) -> Ids:
    """Apply a function of single ids to all of them."""
    distinct, inverse = torch.unique(ids, return_inverse=True)
    images: Int[Tensor, " m"] = torch.tensor([function(id_) for id_ in distinct.tolist()], dtype=torch.int64)
    return images[inverse].reshape(ids.shape)
