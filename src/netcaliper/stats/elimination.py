"""The consistent removable set: units that can all go at once, by greedy backward elimination.

Leave-one-out R2 flags both of two copies although only one can go. Here a unit is removed only if *every* removed
unit, this one and all before it, stays explained by the units that are kept.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int
from scipy.linalg import cho_factor, cho_solve

from netcaliper.stats.cholesky import pivoted_basis
from netcaliper.stats.covariance import Moments

TOLERANCES = (1e-6, 0.01, 0.05)
_SPANNED = 1e-9
_TIE = 1e-9
_PANEL = 64


@dataclass(frozen=True)
class Elimination:
    """The path of an elimination; the sets of growing tolerances are nested.

    Attributes:
        units: number of units n.
        order: removed units, first removed first.
        unexplained: share of its variance that the units kept at that moment left unexplained, for every removed unit.
        sizes: for every tolerance how many units of ``order`` are removed.
    """

    units: int
    order: Int[np.ndarray, " removed"]
    unexplained: Float64[np.ndarray, " removed"]
    sizes: dict[float, int]

    def removed(self, tolerance: float) -> Int[np.ndarray, " gone"]:
        """Return the units removed at a tolerance, ascending."""
        return np.sort(self.order[: self.sizes[tolerance]])

    def kept(self, tolerance: float) -> Int[np.ndarray, " kept"]:
        """Return the units kept at a tolerance, ascending."""
        return np.setdiff1d(np.arange(self.units), self.removed(tolerance))


def eliminate(
    correlation: Float64[np.ndarray, "n n"],
    tolerances: tuple[float, ...] = TOLERANCES,
    duplicate_of: Int[np.ndarray, " n"] | None = None,
) -> Elimination:
    """Remove units greedily as long as all removed ones stay explained to the tolerance.

    Duplicates go first, then the units that pivoted Cholesky finds spanned by the rest (to 1e-9 of their variance),
    which leaves a non-singular block K of kept units. From then on one symmetric matrix is swept,

        ``S = [[-C_KK^-1, C_KK^-1 C_KR], [C_RK C_KK^-1, C_RR - C_RK C_KK^-1 C_KR]]``.

    Its diagonal says at once what K without j would leave unexplained of j, ``-1 / S_jj``, and what K leaves
    unexplained of the removed r, ``S_rr``. The kept unit with the smallest ``-1 / S_jj`` is tried; it goes if this and
    every ``S_rr - S_rj^2 / S_jj`` stay within the tolerance (a unit refused once would be refused again later, since
    removals only raise what is unexplained). Removing it is the reverse sweep ``S <- S - S_:j S_j: / S_jj``, a
    rank-one update; updates are gathered in panels so that the O(n^3) of it is matrix products. The tolerances are
    served in ascending order, each continuing from the set of the one before (for the sweep operator see Goodnight
    1979).

    Args:
        correlation: of the units, unit diagonal.
        tolerances: unexplained shares of a unit's variance that are allowed, ascending.
        duplicate_of: for every unit the unit that it repeats within the smallest tolerance, -1 for none.

    Returns:
        The path and the sets.
    """
    units = len(correlation)
    duplicates = np.zeros(0, dtype=np.int64) if duplicate_of is None else np.flatnonzero(duplicate_of >= 0)
    rest = np.setdiff1d(np.arange(units), duplicates)
    basis, spanned = pivoted_basis(correlation[np.ix_(rest, rest)], min(_SPANNED, 1e-3 * tolerances[0]))
    basis, gone = np.sort(rest[basis]), np.concatenate([duplicates, rest[spanned]])
    sweep = _Sweep(correlation, basis, gone)
    order, unexplained, sizes = list(gone), list(sweep.diagonal[gone]), {}
    for tolerance in tolerances:
        refused = np.zeros(units, dtype=bool)
        while True:
            shares = np.where(sweep.kept & ~refused, -1 / np.where(sweep.kept, sweep.diagonal, -1), np.inf)
            least = shares.min(initial=np.inf)
            if least > tolerance:
                break
            # of units that tie, as the two sides of one relation do, the last goes
            unit = int(np.flatnonzero(shares <= least * (1 + _TIE))[-1])
            column = sweep.column(unit)
            after = sweep.diagonal - column**2 / sweep.diagonal[unit]
            if np.any(after[~sweep.kept] > tolerance):
                refused[unit] = True
                continue
            sweep.drop(unit, column)
            order.append(unit)
            unexplained.append(shares[unit])
        sizes[tolerance] = len(order)
    return Elimination(units, np.array(order, dtype=np.int64), np.array(unexplained, dtype=np.float64), sizes)


class _Sweep:
    """The swept matrix, with rank-one updates gathered in a panel: ``S = base - U diag(w) U^T``."""

    def __init__(
        self,
        correlation: Float64[np.ndarray, "n n"],
        kept: Int[np.ndarray, " kept"],
        gone: Int[np.ndarray, " gone"],
    ) -> None:
        units = len(correlation)
        self.kept = np.zeros(units, dtype=bool)
        self.kept[kept] = True
        self.base = np.zeros_like(correlation)
        if len(kept):
            factor = cho_factor(correlation[np.ix_(kept, kept)])
            precision = cho_solve(factor, np.eye(len(kept)))
            cross = correlation[np.ix_(kept, gone)]
            coefficients = cho_solve(factor, cross)
            residual = correlation[np.ix_(gone, gone)] - cross.T @ coefficients
            self.base[np.ix_(kept, kept)] = -(precision + precision.T) / 2
            self.base[np.ix_(kept, gone)] = coefficients
            self.base[np.ix_(gone, kept)] = coefficients.T
            self.base[np.ix_(gone, gone)] = (residual + residual.T) / 2
        self.diagonal = self.base.diagonal().copy()
        self.diagonal[gone] = np.maximum(self.diagonal[gone], 0)
        self._panel = np.zeros((units, _PANEL))
        self._weights = np.zeros(_PANEL)
        self._filled = 0

    def column(self, unit: int) -> Float64[np.ndarray, " n"]:
        """Return one column of the swept matrix."""
        panel, weights = self._panel[:, : self._filled], self._weights[: self._filled]
        column = self.base[:, unit] - panel @ (panel[unit] * weights)
        column[unit] = self.diagonal[unit]
        return column

    def drop(self, unit: int, column: Float64[np.ndarray, " n"]) -> None:
        """Move a kept unit to the removed ones (reverse sweep on its pivot)."""
        pivot = column[unit]
        update = column.copy()
        update[unit] = 0
        self.diagonal -= update**2 / pivot
        self.diagonal[unit] = -1 / pivot
        self.kept[unit] = False
        # the unit's own row and column are overwritten, so pending updates must not touch them
        self._panel[unit, : self._filled] = 0
        self.base[:, unit] = self.base[unit, :] = -column / pivot
        self.base[unit, unit] = -1 / pivot
        self._panel[:, self._filled], self._weights[self._filled] = update, 1 / pivot
        self._filled += 1
        if self._filled == _PANEL:
            self.base -= (self._panel * self._weights) @ self._panel.T
            self._filled = 0


@dataclass(frozen=True)
class Reconstruction:
    """Removed units written in terms of kept ones: ``x_r = intercept_r + sum_k coefficients[k, r] x_k``.

    Attributes:
        kept: indices of the units that stay.
        removed: indices of the units that go.
        coefficients: [kept, removed].
        intercepts: [removed].
    """

    kept: Int[np.ndarray, " kept"]
    removed: Int[np.ndarray, " removed"]
    coefficients: Float64[np.ndarray, "kept removed"]
    intercepts: Float64[np.ndarray, " removed"]


def reconstruct(
    moments: Moments, kept: Int[np.ndarray, " kept"], removed: Int[np.ndarray, " removed"]
) -> Reconstruction:
    """Fit the removed units on the kept ones by least squares with intercept, on standardized units.

    Args:
        moments: of the rows to fit on (calibrate).
        kept: units that vary and do not determine one another (as ``eliminate`` leaves them).
        removed: units that vary.
    """
    if len(kept) == 0 or len(removed) == 0:
        return Reconstruction(kept, removed, np.zeros((len(kept), len(removed))), moments.mean[removed])
    scale = moments.std[kept]
    gram = moments.covariance[np.ix_(kept, kept)] / scale[:, None] / scale
    cross = moments.covariance[np.ix_(kept, removed)] / scale[:, None]
    coefficients = cho_solve(cho_factor(gram), cross) / scale[:, None]
    intercepts = moments.mean[removed] - moments.mean[kept] @ coefficients
    return Reconstruction(kept, removed, coefficients, intercepts)


def unexplained_share(fit: Reconstruction, fitted: Moments, other: Moments) -> Float64[np.ndarray, " removed"]:
    """Return the share of each removed unit's variance that a fit leaves unexplained on rows it was not fitted on.

    ``E[(x_r - c_r - a_r^T x_K)^2] / var(x_r)`` over the other rows: variance of the residual and square of its mean,
    so that a shifted mean counts. A unit that does not vary on the other rows is judged by its variance on the fitted
    ones.

    Args:
        fit: coefficients and intercepts.
        fitted: moments of the rows of the fit.
        other: moments of the rows to judge on (select).
    """
    kept, removed, a = fit.kept, fit.removed, fit.coefficients
    shift = other.mean[removed] - fit.intercepts - other.mean[kept] @ a
    cross = other.covariance[np.ix_(kept, removed)]
    within = other.covariance[np.ix_(kept, kept)]
    variance = other.covariance[removed, removed]
    residual = variance - 2 * np.einsum("kr,kr->r", a, cross) + np.einsum("kr,kr->r", a, within @ a)
    squared = np.maximum(residual, 0) * (other.count - 1) / other.count + shift**2
    reference = np.where(other.degenerate[removed], fitted.covariance[removed, removed], variance)
    return squared / reference
