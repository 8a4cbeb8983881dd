"""Orthogonal Procrustes distance of layers: what is left when one is rotated onto the other.

For centered X, Y of Frobenius norm 1 over the same examples::

    min_Q ||X - Y Q||^2 = 2 - 2 ||X^T Y||_*      Q orthogonal, ||.||_* the sum of singular values

The narrower of the two counts as padded with zeros. Any A with ``A A^T = X X^T`` gives the same singular values, so
Gram matrices are enough. 0 means equal up to rotation, scale and shift; 2 nothing in common. Unlike CKA it gives small
components their due. With few examples and many features any two layers look alike: compare with a twin.

Source: Ding, Denain and Steinhardt, "Grounding representation similarity" (NeurIPS 2021), equation 4; the angle:
Williams et al., "Generalized shape metrics on neural representations" (NeurIPS 2021).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from netcaliper.errors import InputError
from netcaliper.stats.held_gram import centered, gap, spanned

AT_MOST = 256
"""Examples that a pair of layers is compared on: its cost is their cube (some 8 ms for 256)."""


def factor(gram: Float[Tensor, "n n"]) -> Float64[Tensor, "n rank"] | None:
    """Return A with ``A A^T = K / trace K`` on the CPU, K centered; ``None`` for a gap.

    Args:
        gram: ``K = X X^T``, centered or not; of a subset of the held examples ``gram[subset][:, subset]``.

    Raises:
        InputError: there are more than ``AT_MOST`` examples.
        DataError: see ``held_gram.gap``.
    """
    if len(gram) > AT_MOST:
        raise InputError(f"`gram` must hold at most {AT_MOST} examples, got {len(gram)}; give a subset of them.")
    if gap(gram) is not None:
        return None
    K = centered(gram).cpu()
    values, vectors = spanned(K / K.trace(), gram.dtype)
    return vectors * values.sqrt()


def distances(
    first: Sequence[Float64[Tensor, "n _"] | None], second: Sequence[Float64[Tensor, "n _"] | None] | None = None
) -> Float64[np.ndarray, "first second"]:
    """Return ``2 - 2 ||A^T B||_*`` for every pair of layers, in [0, 2] within rounding; NaN for gaps.

    Args:
        first: factors of every layer, of the same examples.
        second: of the layers of another network, of the same examples; without it the same layers.
    """
    columns = first if second is None else second
    found = np.full((len(first), len(columns)), math.nan)
    for i, a in enumerate(first):
        for j, b in enumerate(columns):
            if a is None or b is None:
                continue
            if second is None and j < i:
                found[i, j] = found[j, i]
            else:
                found[i, j] = 2 - 2 * float(torch.linalg.svdvals(a.mT @ b).sum())
    return found


def angles(distances: Float64[np.ndarray, "first second"]) -> Float64[np.ndarray, "first second"]:
    """Return ``arccos ||A^T B||_*`` in radians, from 0 to pi / 2: a metric, it satisfies the triangle inequality."""
    # as 2 arcsin(sqrt(d) / 2), exact for small d; the square root must not see a rounding error below 0
    return 2 * np.arcsin(np.sqrt(np.maximum(distances, 0.0)) / 2)
