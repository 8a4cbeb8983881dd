"""How far a kernel matrix is from another one, whatever their scale.

::

    d(K, L) = 1 - <K, L>_F / (|K|_F |L|_F) = 1/2 | K / |K|_F - L / |L|_F |_F^2

0 for proportional matrices, at most 1 for positive semidefinite ones. Between the tangent kernels of two times of a
training it is the kernel distance of Fort et al., "Deep learning versus kernel learning" (NeurIPS 2020); divided by the
time between, their kernel velocity.
"""

import numpy as np
from jaxtyping import Float64


def kernel_distance(K: Float64[np.ndarray, "n n"], L: Float64[np.ndarray, "n n"]) -> float:
    """Return ``d(K, L)`` by its second form, which has no cancellation: equal matrices give exactly 0.

    NaN if one of them is 0 or not finite.
    """
    norms = np.linalg.norm(K), np.linalg.norm(L)
    if not all(np.isfinite(norm) and norm > 0 for norm in norms):
        return float("nan")
    return float(np.square(K / norms[0] - L / norms[1]).sum() / 2)
