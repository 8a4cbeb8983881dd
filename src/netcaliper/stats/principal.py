"""Principal components of a layer in example space: how much they carry, whether layers share them, their removal.

``K = Xc Xc^T = sum_i lam_i u_i u_i^T`` with u_i unit vectors over *examples*. Only these can be compared between layers
of different width. When the first component carries nearly all variance of two layers, their CKA is the squared cosine
``<u_1, v_1>^2``.

Source: Nguyen, Raghu and Kornblith, "Do Wide and Deep Networks Learn the Same Things?" (ICLR 2021). The share is
``lam_1 / trace K``. Their released code reads it off a decomposition of the transposed matrix, which is centered over
features as well and can lose the first component altogether.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from torch import Tensor

from netcaliper.errors import InputError
from netcaliper.stats.held_gram import centered, gap

DENSE = 256
"""Up to so many examples all eigenvectors cost no more than some of them."""


@dataclass(frozen=True)
class Principal:
    """The largest principal components of a layer.

    Attributes:
        share: ``lam_i / trace K``, largest first; NaN for a gap.
        scores: u_i, one column each, unit vectors over examples that sum to 0; the sign, which is arbitrary, makes the
            entry of the largest size positive. NaN for a gap.
        trace: sum of all eigenvalues: the squared norms of the centered examples; NaN for a gap.
        participation: ``(sum lam)^2 / sum lam^2``, the effective number of components, from 1 to n - 1; NaN for a gap.
        reason: why the layer is a gap, in words.
    """

    share: Float64[np.ndarray, " k"]
    scores: Float64[np.ndarray, "n k"]
    trace: float
    participation: float
    reason: str | None = None


def principal(gram: Float[Tensor, "n n"], k: int = 1) -> Principal:
    """Return the k largest principal components of a layer.

    Many examples and few components: Lanczos (ARPACK) from a fixed start vector; else all eigenvectors.

    Args:
        gram: ``K = X X^T``, centered or not.
        k: number of components, at most n - 1.

    Raises:
        InputError: there are not k components.
        DataError: see ``held_gram.gap``.
    """
    reason = gap(gram)
    n = len(gram)
    if not 1 <= k < n:
        raise InputError(f"`k` must lie in 1..{n - 1}, examples minus 1, got {k}; ask for fewer components.")
    if reason is not None:
        return Principal(np.full(k, math.nan), np.full((n, k), math.nan), math.nan, math.nan, reason)
    K = centered(gram)
    trace = float(K.trace())
    values, vectors = _largest(K / trace, k)
    largest = np.abs(vectors).argmax(0)
    vectors = vectors * np.where(vectors[largest, np.arange(k)] < 0, -1.0, 1.0)
    return Principal(values, vectors, trace, float((K / trace).square().sum()) ** -1)


def _largest(K: Float64[Tensor, "n n"], k: int) -> tuple[Float64[np.ndarray, " k"], Float64[np.ndarray, "n k"]]:
    """Return the k largest eigenvalues, descending, and their eigenvectors."""
    n = len(K)
    if n > DENSE and k <= n // 20:
        # not the vector of ones, which a centered matrix maps to 0
        start = np.random.default_rng(0).standard_normal(n)
        try:
            values, vectors = eigsh(K.cpu().numpy(), k, v0=start)
        except ArpackNoConvergence:
            pass  # a flat spectrum
        else:
            order = np.argsort(-values, kind="stable")
            return values[order], vectors[:, order]
    values, vectors = torch.linalg.eigh(K)
    return values[-k:].flip(0).cpu().numpy(), vectors[:, -k:].flip(1).cpu().numpy()


def cosine_map(
    first: Sequence[Float64[np.ndarray, " _"]], second: Sequence[Float64[np.ndarray, " _"]] | None = None
) -> Float64[np.ndarray, "first second"]:
    """Return ``<u_1, v_1>^2`` for every pair of layers; rows and columns of gaps are NaN.

    Args:
        first: u_1 of every layer, over the same examples; NaN for a gap.
        second: of the layers of another network on the same examples; without it the same layers.
    """
    rows = np.stack(list(first))
    columns = rows if second is None else np.stack(list(second))
    return (rows @ columns.T) ** 2


def removed(gram: Float[Tensor, "n n"], found: Principal, k: int = 1) -> Float[Tensor, "n n"]:
    """Return ``K - sum_{i <= k} lam_i u_i u_i^T``: the Gram matrix of the layer without its first k components.

    It is centered if K was; U-centering for debiased CKA comes after. A gap is returned as it came.

    Args:
        gram: K, the matrix whose components were found.
        found: its components.
        k: how many to remove.

    Raises:
        InputError: fewer than k components were found.
    """
    if not 1 <= k <= len(found.share):
        raise InputError(f"`k` must lie in 1..{len(found.share)}, the components found, got {k}; find more of them.")
    if found.reason is not None:
        return gram
    u = torch.from_numpy(found.scores[:, :k]).to(gram.device)
    lam = torch.from_numpy(found.share[:k] * found.trace).to(gram.device)
    return (gram.double() - (u * lam) @ u.mT).to(gram.dtype)
