"""R2 of every unit on all others, by one factorization."""

import numpy as np
from jaxtyping import Float64
from scipy.linalg import cholesky, solve_triangular

from netcaliper.errors import DataError
from netcaliper.stats.cholesky import pivoted_basis
from netcaliper.stats.covariance import Moments

DEPENDENT = 1e-11
RIDGE = 1e-12


def r2_on_others(moments: Moments) -> Float64[np.ndarray, " units"]:
    """Return R2 of the least-squares regression of every unit on all other units, with intercept.

    For a non-singular correlation C, ``R2_i = 1 - 1 / (C_ii (C^-1)_ii)``. Exact duplicates and combinations make C
    singular: pivoted Cholesky sets a basis apart from the units that it spans (to 1e-11 of their variance), and a
    ridge of 1e-12 goes on the spanned units alone. Put last in the factorization they take nothing from the accuracy
    of the others, and a basis unit that a spanned unit determines comes out at R2 = 1 like the spanned unit itself.

    Args:
        moments: of the rows.

    Returns:
        R2 in [0, 1]; NaN for units that are constant within rounding.

    Raises:
        DataError: there are not more than n + 1 rows for the n units that vary; every R2 would be near 1.
    """
    units = len(moments.live)
    if moments.count <= units + 1:
        raise DataError(
            f"`rows` must be more than units + 1 for a regression on all other units, got {moments.count} rows for "
            f"{units} units; give more examples."
        )
    r2 = np.full(len(moments.mean), np.nan)
    if units:
        r2[moments.live] = 1 - unexplained_by_others(moments.correlation)
    return r2


def unexplained_by_others(correlation: Float64[np.ndarray, "n n"]) -> Float64[np.ndarray, " n"]:
    """Return ``1 - R2_i = 1 / (C^-1)_ii`` for every unit, C singular or not."""
    basis, spanned = pivoted_basis(correlation, DEPENDENT)
    order = np.concatenate([basis, spanned])
    ordered = correlation[np.ix_(order, order)]
    tail = np.arange(len(basis), len(order))
    ordered[tail, tail] += RIDGE
    inverse = solve_triangular(_cholesky(ordered, len(basis)), np.eye(len(order)), lower=True)
    unexplained = np.empty(len(order))
    unexplained[order] = 1 / np.einsum("ki,ki->i", inverse, inverse)
    return np.clip(unexplained, 0, 1)


def _cholesky(ordered: Float64[np.ndarray, "n n"], rank: int) -> Float64[np.ndarray, "n n"]:
    """Factor a correlation whose trailing units are spanned by the first ``rank``; their complement is rounding."""
    factor = np.zeros_like(ordered)
    if rank:
        factor[:rank, :rank] = cholesky(ordered[:rank, :rank], lower=True)
    if rank < len(ordered):
        factor[rank:, :rank] = solve_triangular(factor[:rank, :rank], ordered[:rank, rank:], lower=True).T
        rest = ordered[rank:, rank:] - factor[rank:, :rank] @ factor[rank:, :rank].T
        # rounding of the complement can exceed the ridge when the basis itself is ill conditioned
        values, vectors = np.linalg.eigh(rest)
        root = vectors * np.sqrt(np.maximum(values, RIDGE))
        factor[rank:, rank:] = np.transpose(np.linalg.qr(root.T, mode="r"))
    return factor
