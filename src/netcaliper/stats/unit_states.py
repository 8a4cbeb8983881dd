"""What single units do: never on, always on, constant, linear or bending; streamed over rows and folds of examples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from netcaliper.stats.sampling import FOLDS

Interval = tuple[float, float]


@dataclass(frozen=True)
class Pieces:
    """Where a scalar function is linear.

    Attributes:
        zone: the open interval of slope one, ``None`` if there is none.
        off: closed intervals of another slope, flat ones included; a unit is off if all its rows lie in one of them.
    """

    zone: Interval | None
    off: tuple[Interval, ...]


def pieces_of(
    zone: Interval | None, flat: Sequence[Interval] = (), breakpoints: Sequence[float] | None = None
) -> Pieces:
    """Cut the line at the breakpoints of a piecewise-linear function; a smooth one has its flat pieces only."""
    if breakpoints is None:
        return Pieces(zone, tuple(flat))
    ends = (-math.inf, *breakpoints, math.inf)
    return Pieces(zone, tuple(piece for piece in pairwise(ends) if piece != zone))


class UnitStates:
    """Minima, maxima and, by fold, moments of every unit's value v = phi(z) and pre-activation z.

    Positions of one example are reduced in the type of the data around that example's mean, everything beyond in
    float64 by Chan's formula, so that neither many rows nor a large mean cost accuracy.

    Args:
        units: number of units n.
        zone: the interval of z on which phi is exactly the identity up to a constant, ``None`` for none.
        bending: whether to gather the moments of z too; a piecewise-linear phi is described by its zone alone.
        folds: number of folds of examples.
        device: where the state is accumulated.
    """

    def __init__(
        self,
        units: int,
        *,
        zone: Interval | None = None,
        bending: bool = True,
        folds: int = FOLDS,
        device: torch.device | str = "cpu",
    ) -> None:
        self.zone = zone
        self.bends = bending
        self.eps = float(np.finfo(np.float64).eps)
        self.paired = False
        self.examples = 0
        self.low, self.high, self.z_low, self.z_high = (
            torch.full((units,), bound, dtype=torch.float64, device=device)
            for bound in (math.inf, -math.inf, math.inf, -math.inf)
        )
        self.count = torch.zeros(folds, 1, dtype=torch.float64, device=device)
        self.in_zone, self.mean, self.scatter, self.z_mean, self.z_scatter, self.cross = (
            torch.zeros(folds, units, dtype=torch.float64, device=device) for _ in range(6)
        )

    def update(
        self,
        value: Float[Tensor, "examples positions units"],
        fold: Int[Tensor, " examples"],
        z: Float[Tensor, "examples positions units"] | None = None,
        valid: Bool[Tensor, "examples positions"] | None = None,
    ) -> None:
        """Take in the rows of some examples.

        Args:
            value: values v.
            fold: fold of every example.
            z: pre-activations, for a site of one scalar function.
            valid: positions that count, at least one in every example; ``None`` for all.
        """
        if value.numel() == 0:
            return
        if valid is not None:
            value, z = _filled(value, valid), None if z is None else _filled(z, valid)
        self.eps = max(self.eps, torch.finfo(value.dtype).eps)
        self.examples += len(value)
        low, high = _extremes(value)
        self._widen(low, high, self.low, self.high)
        batch = UnitStates(value.shape[2], zone=self.zone, folds=len(self.count), device=self.count.device)
        group = _Group(fold, len(self.count), _positions(value, valid))
        batch.count = group.rows
        v_mean, v_rest = _center(value, valid)
        if z is not None:
            self.paired = True
            self._widen(*_extremes(z), self.z_low, self.z_high)
        inside = torch.zeros_like(v_mean) if z is None or self.zone is None else _count_between(z, *self.zone, valid)
        if z is None or not self.bends:
            (batch.mean,), (v,) = group.means(v_mean)
            batch.scatter, batch.in_zone = group.sums(_square(v_rest) + v * v, inside)
        else:
            z_mean, z_rest = _center(z, valid)
            (batch.mean, batch.z_mean), (v, y) = group.means(v_mean, z_mean)
            batch.scatter, batch.z_scatter, batch.cross, batch.in_zone = group.sums(
                _square(v_rest) + v * v, _square(z_rest) + y * y, _dot(z_rest, v_rest) + y * v, inside
            )
        self._join(batch)

    def merge(self, other: "UnitStates") -> None:
        """Take in the rows that ``other`` has seen."""
        self.eps = max(self.eps, other.eps)
        self.paired |= other.paired
        self.examples += other.examples
        self._widen(other.low, other.high, self.low, self.high)
        self._widen(other.z_low, other.z_high, self.z_low, self.z_high)
        self._join(other)

    @staticmethod
    def _widen(low: Tensor, high: Tensor, lowest: Tensor, highest: Tensor) -> None:
        """Move extremes outward, in place: a state stays where it is in memory, so that large blocks fit beside it."""
        torch.minimum(lowest, low, out=lowest)
        torch.maximum(highest, high, out=highest)

    def _join(self, other: "UnitStates") -> None:
        """Chan's formula in every fold at once, in place."""
        total = self.count + other.count
        share = other.count / total.clamp(min=1)
        v, z = other.mean - self.mean, other.z_mean - self.z_mean
        weight = self.count * share
        self.scatter += other.scatter + v * v * weight
        self.z_scatter += other.z_scatter + z * z * weight
        self.cross += other.cross + z * v * weight
        self.mean += v * share
        self.z_mean += z * share
        self.in_zone += other.in_zone
        self.count.copy_(total)

    def finish(self, pieces: Pieces | None = None) -> "UnitFacts":
        """Return the facts about every unit.

        Args:
            pieces: where the site's function is linear; needs pre-activations.
        """
        host = {
            name: getattr(self, name).cpu().numpy()
            for name in ("low", "high", "z_low", "z_high", "in_zone", "mean", "scatter", "z_mean", "z_scatter", "cross")
        }
        counts = self.count.cpu().numpy()[:, 0]
        return UnitFacts(
            counts=counts,
            examples=self.examples,
            eps=self.eps,
            paired=self.paired,
            bends=self.paired and self.bends,
            pieces=pieces,
            **host,
        )


class _Group:
    """Examples of a batch, gathered by fold: few large products rather than many small ones, and no atomics."""

    def __init__(self, fold: Int[Tensor, " examples"], folds: int, positions: Float64[Tensor, "examples 1"]) -> None:
        self.fold = fold.to(torch.int64)
        self.member = (self.fold == torch.arange(folds, device=fold.device)[:, None]).to(torch.float64)
        self.rows = self.member @ positions
        self._root = positions.sqrt()
        self._weight = positions / positions.max()  # 1 where all examples have as many

    def sums(self, *quantities: Float64[Tensor, "examples units"]) -> tuple[Tensor, ...]:
        """Return sums over the examples of each fold."""
        return (self.member @ torch.cat(quantities, 1)).chunk(len(quantities), 1)

    def means(self, *means: Float64[Tensor, "examples units"]) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Return the mean of each fold, and each example's distance from it times the root of its positions."""
        weight = self.member @ self._weight
        totals = self.sums(*(mean * self._weight for mean in means))
        pooled = tuple(total / torch.where(weight > 0, weight, 1.0) for total in totals)
        return pooled, [(mean - of[self.fold]) * self._root for mean, of in zip(means, pooled, strict=True)]


def _filled(
    x: Float[Tensor, "examples positions units"], valid: Bool[Tensor, "examples positions"]
) -> Float[Tensor, "examples positions units"]:
    """Put an example's first valid row at the positions that do not count: no extreme comes from there, and no NaN."""
    first = x[torch.arange(len(x), device=x.device), valid.to(torch.int8).argmax(1)]
    return torch.where(valid[..., None], x, first[:, None])


def _positions(
    x: Float[Tensor, "examples positions units"], valid: Bool[Tensor, "examples positions"] | None
) -> Float64[Tensor, "examples 1"]:
    """Return the number of positions of every example that count."""
    if valid is None:
        return torch.full((len(x), 1), x.shape[1], dtype=torch.float64, device=x.device)
    return valid.sum(1, keepdim=True).to(torch.float64)


def _center(
    x: Float[Tensor, "examples positions units"], valid: Bool[Tensor, "examples positions"] | None
) -> tuple[Tensor, Tensor]:
    """Split x into each example's mean (float64) and the rest, centered in the type of the data (at least float32).

    Where positions do not count (filled by ``_filled``) the rest is 0.
    """
    if x.shape[1] == 1:
        return x[:, 0].to(torch.float64), torch.zeros_like(x[:, :0])
    if x.dtype not in (torch.float32, torch.float64):
        x = x.to(torch.float32)
    if valid is None:
        mean = x.mean(1, keepdim=True)
        return mean[:, 0].to(torch.float64), x - mean
    count = valid.sum(1)[:, None, None]
    x = x.masked_fill(~valid[..., None], 0.0)
    mean = x.sum(1, keepdim=True) / count
    return mean[:, 0].to(torch.float64), (x - mean).masked_fill_(~valid[..., None], 0.0)


_WIDE = 4096


def _extremes(
    x: Float[Tensor, "examples positions units"],
) -> tuple[Float64[Tensor, " units"], Float64[Tensor, " units"]]:
    """Return the least and the largest value of every unit.

    Where the units lie next to each other in memory and are few (channels last), a reduction over rows cannot use wide
    registers; rows are then laid side by side first.
    """
    examples, positions, units = x.shape
    beside = 1
    if x.is_contiguous():
        while (examples * positions) % (2 * beside) == 0 and 2 * beside * units <= _WIDE:
            beside *= 2
    if beside > 1:
        x = x.reshape(-1, 1, beside * units)
    low, high = (extreme.reshape(beside, units) for extreme in (x.amin((0, 1)), x.amax((0, 1))))
    return low.amin(0).to(torch.float64), high.amax(0).to(torch.float64)


def _square(x: Float[Tensor, "examples positions units"]) -> Float64[Tensor, "examples units"]:
    """Return the sum of squares over positions, without a temporary; which way is fast depends on the layout."""
    if x.is_contiguous():
        return _dot(x, x)
    return torch.linalg.vector_norm(x, dim=1).to(torch.float64) ** 2


def _dot(
    x: Float[Tensor, "examples positions units"], y: Float[Tensor, "examples positions units"]
) -> Float64[Tensor, "examples units"]:
    """Return the sum of products over positions."""
    return torch.linalg.vecdot(x, y, dim=1).to(torch.float64)


def _count_between(
    z: Float[Tensor, "examples positions units"],
    low: float,
    high: float,
    valid: Bool[Tensor, "examples positions"] | None,
) -> Float64[Tensor, "examples units"]:
    """Count the positions with low < z < high; exact, since an example has fewer than 2^24 positions."""
    # comparing into a float tensor is several times faster than summing booleans
    inside = torch.gt(z, low, out=torch.empty_like(z, dtype=torch.float32))
    if not math.isinf(high):
        inside *= torch.lt(z, high)
    if valid is not None:
        inside *= valid[..., None]
    return inside.sum(1).to(torch.float64)


@dataclass(frozen=True)
class UnitFacts:
    """What was seen of every unit. Arrays by fold are ``[folds, units]``, the others ``[units]``.

    Attributes:
        counts: rows in every fold.
        examples: number of examples.
        eps: rounding of the type of the data.
        paired: whether pre-activations were seen.
        bends: whether their moments were gathered.
        pieces: where the function is linear.
        low, high: extremes of the value.
        z_low, z_high: extremes of the pre-activation.
        in_zone: rows in the linear zone, by fold.
        mean, scatter: of the value, by fold.
        z_mean, z_scatter: of the pre-activation, by fold.
        cross: sums of products of value and pre-activation around their means, by fold.
    """

    counts: Float64[np.ndarray, " folds"]
    examples: int
    eps: float
    paired: bool
    bends: bool
    pieces: Pieces | None
    low: Float64[np.ndarray, " units"]
    high: Float64[np.ndarray, " units"]
    z_low: Float64[np.ndarray, " units"]
    z_high: Float64[np.ndarray, " units"]
    in_zone: Float64[np.ndarray, "folds units"]
    mean: Float64[np.ndarray, "folds units"]
    scatter: Float64[np.ndarray, "folds units"]
    z_mean: Float64[np.ndarray, "folds units"]
    z_scatter: Float64[np.ndarray, "folds units"]
    cross: Float64[np.ndarray, "folds units"]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.counts.sum())

    @cached_property
    def folds(self) -> tuple[int, ...]:
        """Folds that hold rows."""
        return tuple(np.flatnonzero(self.counts).tolist())

    @cached_property
    def dead(self) -> Bool[np.ndarray, " units"]:
        """Exactly 0 on every row."""
        return (self.low == 0) & (self.high == 0)

    @cached_property
    def constant(self) -> Bool[np.ndarray, " units"]:
        """One value other than 0 on every row, within rounding: ``max - min <= 8 eps max(|max|, |min|)``."""
        size = np.maximum(np.abs(self.low), np.abs(self.high))
        return (self.high - self.low <= 8 * self.eps * size) & ~self.dead

    @cached_property
    def always_on(self) -> Bool[np.ndarray, " units"] | None:
        """Every pre-activation lies in the linear zone; ``None`` for functions without one."""
        if self.pieces is None or self.pieces.zone is None or not self.paired:
            return None
        low, high = self.pieces.zone
        return (self.z_low > low) & (self.z_high < high)

    @cached_property
    def always_off(self) -> Bool[np.ndarray, " units"] | None:
        """Every pre-activation lies in one and the same other piece; ``None`` for functions without a linear zone."""
        if self.always_on is None or self.pieces is None:
            return None
        off = np.zeros_like(self.always_on)
        for low, high in self.pieces.off:
            off |= (self.z_low >= low) & (self.z_high <= high)
        return off & ~self.always_on

    def linear_share(self, without: int | None = None) -> Float64[np.ndarray, " units"]:
        """Return the share of rows in the linear zone, of all folds or without one."""
        use = self._use(without)
        return self.in_zone[use].sum(0) / self.counts[use].sum()

    def moments(
        self, without: int | None = None
    ) -> tuple[Float64[np.ndarray, " units"], Float64[np.ndarray, " units"]]:
        """Return mean and unbiased standard deviation of the value, of all folds or without one."""
        use = self._use(without)
        mean, _ = self._pooled(self.mean, use)
        return mean, np.sqrt(self._total(self.scatter, self.mean, self.mean, use) / max(self.counts[use].sum() - 1, 1))

    def bending(self, without: int | None = None) -> Float64[np.ndarray, " units"]:
        """Return the bending share ``1 - corr(z, phi(z))^2``: what a straight line leaves unexplained of phi(z).

        NaN where z or phi(z) does not vary, or where the moments of z were not gathered.
        """
        use = self._use(without)
        vv = self._total(self.scatter, self.mean, self.mean, use)
        zz = self._total(self.z_scatter, self.z_mean, self.z_mean, use)
        zv = self._total(self.cross, self.z_mean, self.mean, use)
        rows = self.counts[use].sum()
        flat = np.full(len(vv), not self.bends)
        for scatter, mean in ((vv, self.mean), (zz, self.z_mean)):
            flat |= np.sqrt(scatter / max(rows, 1)) <= 4 * self.eps * np.abs(self._pooled(mean, use)[0])
        return np.where(flat, np.nan, 1 - np.clip(zv**2 / np.where(flat, 1, vv * zz), 0, 1))

    def _use(self, without: int | None) -> Int[np.ndarray, " chosen"]:
        """Return the folds to pool."""
        return np.array([fold for fold in self.folds if fold != without], dtype=np.int64)

    def _pooled(
        self, mean: Float64[np.ndarray, "folds units"], use: Int[np.ndarray, " chosen"]
    ) -> tuple[Float64[np.ndarray, " units"], Float64[np.ndarray, "chosen units"]]:
        """Return the mean over folds and each fold's distance from it."""
        weights = self.counts[use] / self.counts[use].sum()
        pooled = weights @ mean[use]
        return pooled, mean[use] - pooled

    def _total(
        self,
        within: Float64[np.ndarray, "folds units"],
        a: Float64[np.ndarray, "folds units"],
        b: Float64[np.ndarray, "folds units"],
        use: Int[np.ndarray, " chosen"],
    ) -> Float64[np.ndarray, " units"]:
        """Return sums of products around the mean over folds from those around each fold's mean."""
        return within[use].sum(0) + self.counts[use] @ (self._pooled(a, use)[1] * self._pooled(b, use)[1])
