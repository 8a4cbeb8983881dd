"""Pivoted Cholesky factorization: the numerical rank of a correlation matrix, and a basis of its units."""

import numpy as np
from jaxtyping import Float64, Int
from scipy.linalg import get_lapack_funcs


def pivoted_basis(
    correlation: Float64[np.ndarray, "n n"], tolerance: float
) -> tuple[Int[np.ndarray, " basis"], Int[np.ndarray, " rest"]]:
    """Find units that span all others: repeatedly take the unit that those taken so far explain least.

    ``P^T C P = L L^T``, stopped as soon as no unit has more than ``tolerance`` of its variance unexplained (Higham
    1990; LAPACK's blocked ``dpstrf``).

    Args:
        correlation: unit diagonal.
        tolerance: unexplained share of the variance at or below which a unit counts as dependent.

    Returns:
        The basis in the order of the pivots, and the dependent units, ascending. Both together are all units.
    """
    if len(correlation) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    (factorize,) = get_lapack_funcs(("pstrf",), (correlation,))
    _, pivots, rank, info = factorize(correlation, tol=tolerance)
    if info < 0:
        raise ValueError(f"dpstrf refused argument {-info}: the correlation is not finite")
    order = pivots.astype(np.int64) - 1
    return order[:rank], np.sort(order[rank:])
