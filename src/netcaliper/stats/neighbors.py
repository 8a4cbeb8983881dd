"""Mutual nearest neighbors: whether two layers have the same examples close together.

The overlap of two layers is the mean over examples of ``|N_k(i) and M_k(i)| / k``, N_k and M_k the k nearest other
examples in either layer. Neighbors are by Euclidean distance, which is invariant to what CKA is invariant to: rotation,
scale and shift. A few examples of huge norm change the neighbors of few examples, while they can make CKA what it is.

Source: Huh et al., "The platonic representation hypothesis" (ICML 2024), section 3, there by cosine.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from scipy.sparse import csr_array
from torch import Tensor

from netcaliper.errors import InputError
from netcaliper.stats.held_gram import centered, gap

K = 10


def nearest(gram: Float[Tensor, "n n"], k: int = K) -> Int64[np.ndarray, "n k"] | None:
    """Return the k nearest other examples of every example, ascending; ``None`` for a gap.

    Of equally near ones those with the smaller index are taken. Layers with many exact copies among their examples
    therefore overlap by more than they should.

    Args:
        gram: ``X X^T``, centered or not.
        k: number of neighbors, at most n - 2: with n - 1 every other example is one.

    Raises:
        InputError: there are too few examples for k.
        DataError: see ``held_gram.gap``.
    """
    reason = gap(gram)
    n = len(gram)
    if not 1 <= k < n - 1:
        raise InputError(f"`k` must lie in 1..{n - 2}, examples minus 2, got {k}; hold more examples.")
    if reason is not None:
        return None
    inner = centered(gram)
    distance = inner.diagonal() - 2 * inner  # squared, up to a constant of its row
    distance.fill_diagonal_(math.inf)
    last = distance.topk(k, largest=False).values.amax(1, keepdim=True)
    taken = distance <= last
    if int(taken.count_nonzero()) > n * k:
        nearer, tied = distance < last, distance == last
        taken = nearer | (tied & (tied.cumsum(1) <= k - nearer.sum(1, keepdim=True)))
    return torch.nonzero(taken)[:, 1].reshape(n, k).cpu().numpy()


def overlaps(
    first: Sequence[Int64[np.ndarray, "n k"] | None], second: Sequence[Int64[np.ndarray, "n k"] | None] | None = None
) -> Float64[np.ndarray, "first second"]:
    """Return the overlap of every pair of layers, in [0, 1]; NaN for gaps. Beside it belongs ``chance``.

    Args:
        first: the neighbors in every layer, of the same examples and k.
        second: in the layers of another network, of the same examples and k; without it the same layers.
    """
    rows = _memberships(first)
    columns = rows if second is None else _memberships(second)
    common = (rows @ columns.T).toarray().astype(np.float64)
    # every neighbor of every example is counted once: a layer's own overlap is all of them
    count = next((found.size for found in first if found is not None), 1)
    common[[found is None for found in first]] = math.nan
    common[:, [found is None for found in (first if second is None else second)]] = math.nan
    return common / count


def _memberships(layers: Sequence[Int64[np.ndarray, "n k"] | None]) -> csr_array:
    """Return a row for every layer: 1 where one example is a neighbor of another one."""
    n = next((len(found) for found in layers if found is not None), 1)
    pairs = [
        np.zeros(0, dtype=np.int64) if found is None else (found + n * np.arange(n)[:, None]).ravel()
        for found in layers
    ]
    ends = np.cumsum([0, *map(len, pairs)])
    return csr_array((np.ones(ends[-1], dtype=np.int32), np.concatenate(pairs), ends), shape=(len(layers), n * n))


def chance(n: int, k: int = K) -> float:
    """Return the overlap of layers that have nothing to do with each other: ``k / (n - 1)``.

    It is the exact expectation when the examples of one layer are permuted, whatever the neighbors are.
    """
    return k / (n - 1)


def shuffled(
    first: Int64[np.ndarray, "n k"], second: Int64[np.ndarray, "n k"], *, seed: int, permutations: int = 100
) -> Float64[np.ndarray, " permutations"]:
    """Return the overlap with the examples of the second layer permuted: how far from ``chance`` it gets by luck.

    Args:
        first: the neighbors in one layer.
        second: in the other.
        seed: of the permutations.
        permutations: how many.
    """
    n = len(first)
    rng = np.random.default_rng([seed % 2**64, n])
    members = np.zeros((n, n), dtype=bool)
    np.put_along_axis(members, first, True, axis=1)
    found = np.empty(permutations)
    for index in range(permutations):
        order = rng.permutation(n)
        found[index] = members[order[:, None], order[second]].mean()
    return found
