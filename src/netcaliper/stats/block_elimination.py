"""How many units the readers of a layer can do without, when each reader may be fitted again to those that stay.

A unit owns a *block* of input columns of every reader (kh * kw columns of a convolution, all pixels after a flatten).
Greedy elimination by blocks, with downdates of the inverse moment matrix gathered in panels.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from netcaliper.errors import DataError, InputError

TAU = 0.01
_SPANNED = 1e-9
_ROUNDING = 1e-13
_TIE = 1e-9
_PANEL = 512
_INFLATED = 1e6
_LARGE = 2**22
_DRIFT = 1e-5
SLACK = 1e-12


@dataclass(frozen=True)
class Reader:
    """A linear map that reads the units: ``y = W x + b``, x its (unfolded) input columns.

    Attributes:
        moment: S, over the rows: centered covariance where a new fit may change the bias, else the second moment about
            zero (divided by the same number).
        weight: W.
        unit_of_column: the unit that owns each column; -1 for columns that always stay.
        variance: ``tr(W C W^T)``, C the centered covariance: the variance of y, summed over outputs.
        rows: number of rows behind the moment.
        name: for messages.
    """

    moment: Float64[np.ndarray, "d d"]
    weight: Float64[np.ndarray, "m d"]
    unit_of_column: Int[np.ndarray, " d"]
    variance: float
    rows: int
    name: str = "reader"


@dataclass(frozen=True)
class BlockElimination:
    """The path of an elimination and what stays at tau.

    Attributes:
        units: number of units n.
        tau: share of a reader's variance that may be left unexplained.
        order: removed units, first removed first.
        unexplained: u of every reader after every step.
        kept: units that stay, ascending; a greedy upper bound on the fewest that tau needs.
        final: u of every reader at ``kept``, from the fitted weights and the moments themselves.
        weights: for every reader the fitted weight, zero in the columns of removed units.
        later: units that go next, as far as was asked.
        later_unexplained: u of every reader after each of these.
    """

    units: int
    tau: float
    order: Int[np.ndarray, " removed"]
    unexplained: Float64[np.ndarray, "removed readers"]
    kept: Int[np.ndarray, " kept"]
    final: Float64[np.ndarray, " readers"]
    weights: tuple[Float64[np.ndarray, "..."], ...]
    later: Int[np.ndarray, " later"]
    later_unexplained: Float64[np.ndarray, "later readers"]

    @property
    def removed(self) -> Int[np.ndarray, " removed"]:
        """Removed units, ascending."""
        return np.sort(self.order)


def eliminate_blocks(
    readers: Sequence[Reader],
    units: int,
    tau: float = TAU,
    stage: Int[np.ndarray, " units"] | None = None,
    reach: float | None = None,
) -> BlockElimination:
    """Remove units greedily as long as every reader, fitted again to the units kept, loses at most tau.

    With K the columns of the units kept and R the others, the best fit of ``W x`` by ``V x_K`` leaves

        ``u = tr(W_R S_{R|K} W_R^T) / tr(W C W^T)``,   ``S_{R|K} = S_RR - S_RK S_KK^-1 S_KR``.

    With ``P = S_KK^-1`` and V the fit at present, taking the block j out of K adds exactly

        ``tr(V_j P_jj^-1 V_j^T) / tr(W C W^T)``

    to u (what K without j leaves unexplained of x_j has the moment ``P_jj^-1``, and it is orthogonal to what was left
    out before), and leads to ``V <- V - V_j P_jj^-1 P_jK`` and ``P <- P - P_Kj P_jj^-1 P_jK``. Each step removes the
    unit that leaves the least maximum of u over readers (of units that tie the least sum, then the last one) and the
    path ends when that exceeds tau: u grows with the set removed, so what is refused once stays refused.

    Speed: scores need the diagonal blocks of P and of ``V^T V`` only, which are kept up to date at every step. P itself
    is a lower triangle to which downdates are applied in panels of several hundred columns, so that the O(d^3) work is
    matrix products and not memory traffic. Where V is large, scores are led forward from a float32 copy of it between
    two panels (units that tie to about 1e-6 may then go in another order); what is added to u is always float64.
    Columns are scaled to unit moment first, hence no step depends on the scale of a unit.

    Singular moments: columns are taken into the inverse unit by unit; one that those before it explain to 1e-9 (and
    whose rest does not matter to y) stays out. A unit with no column of its own is *spanned* and goes first, with the
    u after all spanned units have gone; of units that span one another the last goes. The fit does not use columns that
    stayed out, although they may hold something once others have gone: u is then an upper bound.

    The last word has a direct evaluation: ``final`` is the quadratic form of the difference between W and the fitted
    weights in S, whatever rounding the path has gathered; a step that it does not confirm is taken back.

    Args:
        readers: at least one; those that share one moment array and one ``unit_of_column`` array share the work.
        units: number of units.
        tau: share of each reader's variance that may be lost, in [0, 1); 1e-12 more is put down to rounding.
        stage: integers; all units of the lowest stage are tried before any of the next one. By default one stage.
        reach: go on to this u, at least ``tau``, all units in one stage; what goes after tau is told apart.

    Returns:
        The path, the kept units and the fitted weights.

    Raises:
        InputError: no readers, a tau outside [0, 1) or arrays that do not fit each other.
        DataError: a reader has no more rows than columns (everything would look explained), or is not finite.
    """
    _check(readers, units, tau, reach)
    stage = np.zeros(units, dtype=np.int64) if stage is None else np.asarray(stage, dtype=np.int64)
    turn = np.argsort(-stage, kind="stable")  # what should go first comes into the inverse last
    shared: dict[tuple[int, int], list[int]] = {}
    for number, reader in enumerate(readers):
        shared.setdefault((id(reader.moment), id(reader.unit_of_column)), []).append(number)
    systems = [_System([readers[i] for i in numbers], numbers, units, turn) for numbers in shared.values()]
    path, allowed = _Path(systems, stage, len(readers)), tau + SLACK
    for limit in np.unique(stage):
        path.extend(int(limit), allowed)
    steps = len(path.order)
    kept = path.kept_after(steps)
    final, weights = _fits(readers, systems, kept)
    while steps and (final > allowed).any():  # rounding carried the path across tau
        steps -= 1
        path.unexplained[steps] = np.maximum(path.unexplained[steps], final)
        kept = path.kept_after(steps)
        fits = [refit([reader], ~kept)[0] for reader in readers]
        weights, final = tuple(weight for weight, _ in fits), np.array([share for _, share in fits])
    if reach is not None and units:
        path.extend(int(stage.max()), reach + SLACK)
    order = np.array(path.order, dtype=np.int64)
    unexplained = np.array(path.unexplained).reshape(len(order), len(readers))
    return BlockElimination(
        units,
        tau,
        order[:steps],
        unexplained[:steps],
        np.flatnonzero(kept),
        final,
        weights,
        order[steps:],
        unexplained[steps:],
    )


class _Path:
    """The units that have gone so far and what every reader has lost."""

    def __init__(self, systems: Sequence["_System"], stage: Int[np.ndarray, " units"], readers: int) -> None:
        self.order: list[int] = []
        self.unexplained: list[np.ndarray] = []
        self._systems, self._stage = systems, stage
        self._there = np.ones(len(stage), dtype=bool)
        self._lost = np.zeros(readers)
        for system in systems:
            self._lost[system.numbers] = system.lost

    def kept_after(self, steps: int) -> Bool[np.ndarray, " units"]:
        """Return which units are there after some steps."""
        kept = np.ones(len(self._stage), dtype=bool)
        kept[self.order[:steps]] = False
        return kept

    def extend(self, limit: int, allowed: float) -> None:
        """Take units of stages up to ``limit`` (and all that are spanned) as long as no reader loses too much."""
        if (self._lost > allowed).any():
            return
        spanned = np.logical_and.reduce([system.spanned for system in self._systems]) & self._there
        for unit in sorted(np.flatnonzero(spanned).tolist(), key=lambda unit: self._stage[unit]):
            self._take(unit)
        while True:
            candidates = np.flatnonzero(self._there & (self._stage <= limit))
            after = np.tile(self._lost, (len(candidates), 1))
            for system in self._systems:
                after[:, system.numbers] += system.scores()[candidates]
            if len(candidates) == 0 or after.max(1).min() > allowed:
                return
            unit = int(candidates[_choose(after)])
            self._lost = self._lost.copy()
            for system in self._systems:
                self._lost[system.numbers] += system.drop(unit)
            self._take(unit)

    def _take(self, unit: int) -> None:
        self._there[unit] = False
        self.order.append(unit)
        self.unexplained.append(self._lost)


def refit(
    readers: Sequence[Reader], removed: Bool[np.ndarray, " units"]
) -> list[tuple[Float64[np.ndarray, "m d"], float]]:
    """Fit readers of one input to the units that stay, and say what each loses.

    Args:
        readers: linear maps that share one moment and one ``unit_of_column``.
        removed: units that go.

    Returns:
        For each the fitted weight V, zero in the columns of removed units, and its u. A fit in the centered covariance
        goes with the bias ``b + (W - V) mean(x)``; one in the second moment keeps b.
    """
    if not _gone(readers[0], removed).any():
        return [(reader.weight, 0.0) for reader in readers]
    return _System(readers, range(len(readers)), len(removed), np.arange(len(removed)), removed).fits()


def _gone(reader: Reader, removed: Bool[np.ndarray, " units"]) -> Bool[np.ndarray, " d"]:
    """Return the columns that removed units own."""
    owned = reader.unit_of_column >= 0
    gone = np.zeros(len(owned), dtype=bool)
    gone[owned] = removed[reader.unit_of_column[owned]]
    return gone


def _fits(
    readers: Sequence[Reader], systems: Sequence["_System"], kept: Bool[np.ndarray, " units"]
) -> tuple[Float64[np.ndarray, " readers"], tuple[Float64[np.ndarray, "..."], ...]]:
    """Return u and the fitted weight of every reader; one that loses no column keeps its weight as it is."""
    final, weights = np.zeros(len(readers)), [reader.weight for reader in readers]
    for system in systems:
        if _gone(system.readers[0], ~kept).any():
            for number, (weight, share) in zip(system.numbers, system.fits(), strict=True):
                final[number], weights[number] = share, weight
    return final, tuple(weights)


def _choose(after: Float64[np.ndarray, "candidates readers"]) -> int:
    """Return the candidate of the least maximum; of those that tie the one of the least sum, then the last."""
    largest, total = after.max(1), after.sum(1)
    ties = largest <= largest.min() * (1 + _TIE)
    ties &= total <= total[ties].min() * (1 + _TIE)
    return int(np.flatnonzero(ties)[-1])


def _check(readers: Sequence[Reader], units: int, tau: float, reach: float | None) -> None:
    """Refuse what cannot be eliminated from."""
    if not readers:
        raise InputError("`readers` must hold at least one reader, got none; units that nothing reads need no fit.")
    if not 0 <= tau < 1:
        raise InputError(f"`tau` must lie in [0, 1), got {tau}; the default is {TAU}.")
    if reach is not None and not tau <= reach < 1:
        raise InputError(
            f"`reach` must lie in [`tau`, 1), got {reach} and a tau of {tau}; leave it out to stop at tau."
        )
    for reader in readers:
        d = reader.weight.shape[1]
        if reader.moment.shape != (d, d) or reader.unit_of_column.shape != (d,):
            raise InputError(
                f"`{reader.name}` must have one moment and one unit for each of its {d:,} weight columns, got a moment "
                f"of shape {reader.moment.shape} and {len(reader.unit_of_column):,} units; unfold them in one order."
            )
        if reader.unit_of_column.max(initial=-1) >= units:
            raise InputError(
                f"`units` must exceed every unit of `{reader.name}`, got {units} and {reader.unit_of_column.max()}."
            )
        if reader.rows <= d:
            raise DataError(
                f"`{reader.name}` must have more rows than columns, got {reader.rows:,} rows for {d:,} columns: every "
                f"unit would look explained by the others; give more examples ({20 * d:,} rows are enough)."
            )
        if not (np.isfinite(np.trace(reader.moment)) and np.isfinite(reader.weight).all()):
            raise DataError(f"`{reader.name}` must have finite moments and weights, got others; look for overflow.")


class _System:
    """The inverse moment matrix of one input and the fits of all readers that share it.

    Columns are permuted so that those of one unit are neighbors, and scaled to unit moment. ``P = base - F F^T`` (the
    lower triangle of ``base`` only) and ``V = fitted - Y F^T``, where F and Y hold what is pending.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        numbers: Sequence[int],
        units: int,
        turn: Int[np.ndarray, " units"],
        removed: Bool[np.ndarray, " units"] | None = None,
    ) -> None:
        self.readers, self.numbers, self.units = readers, list(numbers), units
        owner = readers[0].unit_of_column
        self._owner = owner
        self._scale = np.sqrt(np.maximum(np.diag(readers[0].moment), 0))
        position = np.append(np.argsort(turn), -1)  # columns without an owner (-1) come first
        columns = np.argsort(position[owner], kind="stable")
        gone = np.zeros(len(owner), dtype=bool) if removed is None else _gone(readers[0], removed)
        columns = columns[(self._scale[columns] > 0) & ~gone[columns]]
        sizes = np.cumsum([len(reader.weight) for reader in readers])
        self._segments = [slice(int(a), int(b)) for a, b in zip([0, *sizes[:-1]], sizes, strict=True)]
        self._variance = np.array([reader.variance for reader in readers])
        weight = np.concatenate([reader.weight for reader in readers])[:, columns] * self._scale[columns]
        matters = np.zeros(len(columns))
        for segment, variance in zip(self._segments, self._variance, strict=True):
            if variance > 0:
                matters = np.maximum(matters, (weight[segment] ** 2).sum(0) / variance)
        swept = self._scaled(columns)
        inside = _sweep(swept, owner[columns], matters)
        self.columns, outside = columns[inside], np.flatnonzero(~inside)
        self.spanned = np.bincount(owner[self.columns] + 1, minlength=units + 1)[1:] == 0
        self._fitted = torch.from_numpy(weight[:, inside])
        self.lost = np.zeros(len(readers))
        if len(outside):
            left_out = torch.from_numpy(weight[:, outside])
            self._fitted += left_out @ _gather(swept, outside, np.flatnonzero(inside))
            rest = _gather(swept, outside, outside)
            self.lost = self._shares([((left_out[s] @ rest) * left_out[s]).sum() for s in self._segments])
            swept = _compact(swept, inside)
        self._base = swept.neg_()
        self._hold()
        self._worst = self._inflation()
        if removed is not None:
            self._polish()  # what the removed columns held is taken over by the others

    def _scaled(self, columns: Int[np.ndarray, " k"]) -> Float64[Tensor, "k k"]:
        """Return a scaled copy of the moment of some columns."""
        moment = torch.from_numpy(self.readers[0].moment)
        if len(columns) == len(moment) and (np.diff(columns) == 1).all():
            copy = moment.clone()
        else:
            index = torch.from_numpy(columns)
            copy = moment.index_select(0, index).index_select(1, index)
        scale = torch.from_numpy(self._scale[columns])
        return copy.div_(scale).div_(scale[:, None])

    def _shares(self, spent: Sequence[Tensor]) -> Float64[np.ndarray, "readers *units"]:
        """Return what is unexplained as a share of each reader's variance (nothing of nothing is 0)."""
        amount = torch.stack(list(spent)).clamp_min(0).numpy()
        variance = self._variance.reshape(-1, *[1] * (amount.ndim - 1))
        return np.where(variance > 0, amount / np.where(variance > 0, variance, 1), np.where(amount > 0, np.inf, 0))

    # ---- the path

    def _hold(self) -> None:
        """Take stock while nothing is pending: where the units are, and the diagonal blocks that scores need."""
        owner = self._owner[self.columns]
        present, start, size = np.unique(owner, return_index=True, return_counts=True)
        real = present >= 0
        self._present, start, size = present[real], start[real], size[real]
        self._slot = np.full(self.units, -1, dtype=np.int64)
        self._slot[self._present] = np.arange(len(self._present))
        self._range = [slice(int(a), int(a + b)) for a, b in zip(start, size, strict=True)]
        widest = int(size.max(initial=0))
        mask = np.arange(widest) < size[:, None]
        self._block = torch.from_numpy(np.where(mask, start[:, None] + np.arange(widest), 0))
        self._mask = torch.from_numpy(mask.astype(np.float64))[:, :, None]
        self._eye = torch.eye(widest, dtype=torch.float64)
        i, j = self._block[:, :, None], self._block[:, None, :]
        blocks = self._base[torch.maximum(i, j), torch.minimum(i, j)]
        self._precision = blocks * (self._mask * self._mask.mT) + torch.diag_embed(1 - self._mask[:, :, 0])
        fitted = self._fitted[:, self._block.reshape(-1)].reshape(len(self._fitted), *self._block.shape)
        fitted = fitted.permute(1, 2, 0) * self._mask
        self._grams = [fitted[:, :, s] @ fitted[:, :, s].mT for s in self._segments]
        self._pending = torch.zeros(_PANEL + widest, len(self.columns), dtype=torch.float64)
        self._weights = torch.zeros(len(self._fitted), _PANEL + widest, dtype=torch.float64)
        self._filled = 0
        # reading V for the scores takes most of the time of a step; they lead the choice only, u stays float64
        self._shadow = self._fitted.float() if self._fitted.numel() > _LARGE else self._fitted

    def _inflation(self) -> float:
        """Return the largest variance inflation among the columns of units that stay (1 is the least possible)."""
        return float(self._precision.diagonal(dim1=1, dim2=2).max()) if len(self._present) else 1.0

    def scores(self) -> Float64[np.ndarray, "units readers"]:
        """Return what each unit would add to u of each reader; 0 where it owns no column."""
        added = np.zeros((self.units, len(self.readers)))
        if len(self._present):
            with _one_thread():
                inverse = torch.linalg.inv(self._precision).flatten(1)
                spent = [torch.linalg.vecdot(inverse, gram.flatten(1)) for gram in self._grams]
            added[self._present] = self._shares(spent).T
        self._scored = added
        return added

    def drop(self, unit: int) -> Float64[np.ndarray, " readers"]:
        """Take the columns of a unit out of P and V; return what that adds to u of each reader."""
        if self._slot[unit] < 0:
            return np.zeros(len(self.readers))
        with _one_thread():
            added = self._downdate(int(self._slot[unit]))
        self._slot[unit] = -1
        drifted = (np.abs(added - self._scored[unit]) > _DRIFT * added + _ROUNDING).any()
        if self._filled >= _PANEL or drifted:
            self._apply()
        if self._worst > _INFLATED and self._inflation() < self._worst / 1e3:
            self._apply()
            self._refresh()
        return added

    def _downdate(self, slot: int) -> Float64[np.ndarray, " readers"]:
        """Add the downdate of one unit to those that are pending and bring the diagonal blocks up to date."""
        r = self._range[slot]
        pending, weights = self._pending[: self._filled], self._weights[:, : self._filled]
        row = torch.cat([self._base[r, : r.stop], self._base[r.stop :, r].mT], 1)
        row[:, r] = _symmetric(row[:, r])
        row -= pending[:, r].mT @ pending
        factor = torch.linalg.cholesky(_symmetric(row[:, r]))
        f = torch.linalg.solve_triangular(factor, row, upper=False)
        now = self._fitted[:, r] - weights @ pending[:, r]
        y = torch.linalg.solve_triangular(factor, now.mT, upper=False)
        f_block = f.mT[self._block] * self._mask
        self._precision -= f_block @ f_block.mT
        for number, segment in enumerate(self._segments):
            part = y[:, segment]
            g = (part.to(self._shadow.dtype) @ self._shadow[segment]).double() - (part @ weights[segment]) @ pending
            cross = (g.mT[self._block] * self._mask) @ f_block.mT
            self._grams[number] += f_block @ (part @ part.mT) @ f_block.mT - cross - cross.mT
            self._grams[number][slot] = 0
        self._precision[slot] = self._eye
        end = self._filled + r.stop - r.start
        self._pending[self._filled : end], self._weights[:, self._filled : end] = f, y.mT
        self._filled = end
        return self._shares([(y[:, segment] ** 2).sum() for segment in self._segments])

    def _apply(self) -> None:
        """Apply the pending updates and close the gaps that removed units left."""
        owner = self._owner[self.columns]
        stays = (owner < 0) | (self._slot[owner] >= 0)
        keep = torch.from_numpy(stays)
        pending = self._pending[: self._filled, keep].mT
        self._base = _compact(self._base, stays)
        _subtract(self._base, pending, pending)
        self._fitted = self._fitted[:, keep] - self._weights[:, : self._filled] @ pending.mT
        self.columns = self.columns[stays]
        self._hold()

    def _refresh(self) -> None:
        """Invert anew: once units that nearly spanned one another have gone, the downdates have lost digits."""
        swept = self._scaled(self.columns)
        inside = _sweep(swept, self._owner[self.columns], np.full(len(self.columns), np.inf))
        if inside.all():
            self._base = swept.neg_()
            self._hold()
            self._polish()
        self._worst = self._inflation()

    # ---- the fits

    def fits(self) -> list[tuple[Float64[np.ndarray, "m d"], float]]:
        """Return the fitted weight of every reader and what it loses by direct evaluation."""
        self._apply()
        error, gradient = self._gradient()
        # the fit is optimal up to rounding unless the moment is ill-conditioned
        if float((gradient**2).sum()) * self._inflation() > 1e-14 * self._variance.min():
            self._polish()
            error, _ = self._gradient()
        shares = self._shares(list(error))
        fitted = self._unscaled()
        return [(fitted[segment], float(share)) for segment, share in zip(self._segments, shares, strict=True)]

    def _unscaled(self) -> Float64[np.ndarray, "m d"]:
        """Return the fits of all readers over all columns, in the columns' own scale."""
        fitted = np.zeros((len(self._fitted), len(self._owner)))
        fitted[:, self.columns] = self._fitted.numpy() / self._scale[self.columns]
        return fitted

    def _gradient(self) -> tuple[Float64[Tensor, " readers"], Float64[Tensor, "m k"]]:
        """Return ``tr(E S E^T)`` of every reader and the columns kept of ``E S``, with E = W - V."""
        lacks = torch.from_numpy(np.concatenate([reader.weight for reader in self.readers]) - self._unscaled())
        product = lacks @ torch.from_numpy(self.readers[0].moment)
        spent = torch.stack([(product[segment] * lacks[segment]).sum() for segment in self._segments])
        kept = torch.from_numpy(self.columns)
        return spent, product[:, kept] / torch.from_numpy(self._scale[self.columns])

    def _polish(self) -> None:
        """Take one Newton step, ``V <- V + (W - V) S_:K P``; from any V this is the fit, up to the rounding of P."""
        for _ in range(2):
            _, gradient = self._gradient()
            self._fitted += _times(gradient, self._base)
        self._hold()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep small operations on one thread: to wake up others takes longer, and much longer on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# ---- symmetric matrices of which only the lower triangle is kept


def _sweep(
    matrix: Float64[Tensor, "k k"], owner: Int[np.ndarray, " k"], matters: Float64[np.ndarray, " k"]
) -> Bool[np.ndarray, " k"]:
    """Sweep a moment matrix of unit diagonal in place and return which columns were taken in (I; the others are O).

    Afterwards the lower triangle holds

        ``[[-S_II^-1, S_II^-1 S_IO], [S_OI S_II^-1, S_OO - S_OI S_II^-1 S_IO]]``

    (Goodnight 1979). It goes by panels of whole units, so that the work is matrix products.

    Args:
        matrix: symmetric.
        owner: unit of every column, neighbors.
        matters: squared weights of a column as a share of the variance of what reads it.
    """
    k = len(owner)
    inside = np.zeros(k, dtype=bool)
    first = (np.append(-2, owner)[:-1] != owner) | (owner < 0)
    starts = np.flatnonzero(first)
    for a, b in _panels(starts, k):
        taken = torch.from_numpy(_taken(matrix[a:b, a:b], starts[(starts >= a) & (starts < b)] - a, matters[a:b]))
        inside[a:b] = taken.numpy()
        pivots = a + torch.nonzero(taken).squeeze(1)
        if not len(pivots):
            continue
        panel = torch.cat([matrix[a:b, :a].mT, matrix[a:, a:b]])
        panel[a:b] = _symmetric(panel[a:b])
        panel = panel[:, taken]
        factor = torch.linalg.cholesky(_symmetric(panel[pivots]))
        root = torch.linalg.solve_triangular(factor, torch.eye(len(factor), dtype=torch.float64), upper=False)
        inverse = root.mT @ root  # cholesky_inverse is many times slower
        panel[pivots] = 0
        left = panel @ inverse
        half = panel @ root.mT
        _subtract(matrix, half, half)
        left[pivots] = -inverse
        matrix[pivots, :b] = left[:b].mT
        matrix[a:, pivots] = left[a:]
    return inside


def _panels(starts: Int[np.ndarray, " blocks"], end: int) -> list[tuple[int, int]]:
    """Cut columns into panels of whole blocks, about ``_PANEL`` columns each."""
    panels, a = [], 0
    for start in [*starts[1:].tolist(), end]:
        if start - a >= _PANEL or (start == end and start > a):
            panels.append((a, start))
            a = start
    return panels


def _taken(
    rest: Float64[Tensor, "q q"], starts: Int[np.ndarray, " blocks"], matters: Float64[np.ndarray, " q"]
) -> Bool[np.ndarray, " q"]:
    """Choose the columns of a panel that those taken before do not explain; within a unit the least explained first.

    Args:
        rest: what the panels before leave unexplained, lower triangle.
        starts: first column of every unit.
        matters: as in ``_sweep``.
    """
    rest = _symmetric(rest)
    # how much a column may keep to itself: more if nothing reads it
    allowed = np.clip(_SPANNED / np.maximum(matters, 1e-300), _ROUNDING, _SPANNED)
    factor, failed = torch.linalg.cholesky_ex(rest)
    if not failed and bool((factor.diagonal().numpy() ** 2 > allowed).all()):
        return np.ones(len(rest), dtype=bool)
    left = rest.numpy()
    taken = np.zeros(len(left), dtype=bool)
    for a, b in zip(starts, [*starts[1:], len(left)], strict=True):
        while True:
            excess = np.where(taken[a:b], -np.inf, left.diagonal()[a:b] - allowed[a:b])
            best = int(a + np.argmax(excess))
            if excess.max() <= 0:
                break
            taken[best] = True
            column = left[:, best] / np.sqrt(left[best, best])
            left -= column[:, None] * column
    return taken


def _symmetric(matrix: Float64[Tensor, "q q"]) -> Float64[Tensor, "q q"]:
    """Return a symmetric copy from the lower triangle."""
    lower = matrix.tril()
    return lower + lower.tril(-1).mT


def _subtract(matrix: Float64[Tensor, "k k"], left: Float64[Tensor, "k q"], right: Float64[Tensor, "k q"]) -> None:
    """Subtract ``left right^T`` from the lower triangle, in place."""
    for a in range(0, len(matrix), _PANEL):
        b = min(a + _PANEL, len(matrix))
        matrix[a:b, :b].addmm_(left[a:b], right[:b].mT, alpha=-1)


def _compact(matrix: Float64[Tensor, "k k"], stays: Bool[np.ndarray, " k"]) -> Float64[Tensor, "s s"]:
    """Return the lower triangle of some rows and the same columns."""
    if stays.all():
        return matrix
    keep = torch.from_numpy(np.flatnonzero(stays))
    small = torch.empty(len(keep), len(keep), dtype=torch.float64)
    for a in range(0, len(keep), _PANEL):
        b = min(a + _PANEL, len(keep))
        small[a:b, :b] = matrix[keep[a:b]].index_select(1, keep[:b])
    return small


def _gather(
    matrix: Float64[Tensor, "k k"], rows: Int[np.ndarray, " r"], columns: Int[np.ndarray, " c"]
) -> Float64[Tensor, "r c"]:
    """Return any rows and columns of the symmetric matrix."""
    gathered = torch.empty(len(rows), len(columns), dtype=torch.float64)
    j = torch.from_numpy(columns)
    for a in range(0, len(rows), _PANEL):
        i = torch.from_numpy(rows[a : a + _PANEL])[:, None]
        gathered[a : a + _PANEL] = matrix[torch.maximum(i, j), torch.minimum(i, j)]
    return gathered


def _times(left: Float64[Tensor, "m k"], matrix: Float64[Tensor, "k k"]) -> Float64[Tensor, "m k"]:
    """Return ``left`` times the symmetric matrix."""
    product = torch.zeros_like(left)
    for a in range(0, len(matrix), _PANEL):
        b = min(a + _PANEL, len(matrix))
        product[:, a:b] += left[:, a:b] @ _symmetric(matrix[a:b, a:b])
        product[:, :a] += left[:, a:b] @ matrix[a:b, :a]
        product[:, a:b] += left[:, :a] @ matrix[a:b, :a].mT
    return product
