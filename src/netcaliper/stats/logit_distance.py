"""How far apart the logits of networks are on the same examples.

A constant added to all logits of an example changes no prediction: logits are centered by example first. All comes from
squared differences, never from differences of squares, so that equal networks are at a distance of exactly 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float, Float64
from scipy.spatial.distance import pdist, squareform

AT_ONCE = 2**20
"""Logits that are held in float64 at a time."""


@dataclass(frozen=True)
class Distances:
    """Squared distances of centered logits, means over examples.

    Attributes:
        squared: ``E||a - b||^2`` of networks a and b.
        norm: ``E||a||^2``.
    """

    squared: Float64[np.ndarray, "networks networks"]
    norm: Float64[np.ndarray, " networks"]

    def between(self, a: int, b: int) -> float:
        """Return ``E||a - b||^2 / (E||a||^2 + E||b||^2)``: 0 for equal logits, about 1 for unrelated ones, at most 2.

        NaN if all logits of both networks are the same for all classes.
        """
        norms = self.norm[a] + self.norm[b]
        return float(self.squared[a, b] / norms) if norms > 0 else float("nan")

    def seed_variance(self, members: Sequence[int]) -> float:
        """Return ``E_i sum_c Var_s(z_sic)``, the unbiased variance over the networks s of a group, summed over classes.

        It is half the mean of ``E||a - b||^2`` over pairs.

        Args:
            members: indices of at least two networks.
        """
        return float(np.mean([self.squared[a, b] for a, b in combinations(members, 2)]) / 2)


def squared_distances(logits: Sequence[Float[np.ndarray, "examples classes"]]) -> Distances:
    """Return the distances of all pairs of networks.

    Args:
        logits: of every network, for the same examples.
    """
    networks, (examples, classes) = len(logits), logits[0].shape
    squared, norm = np.zeros(networks * (networks - 1) // 2), np.zeros(networks)
    for rows in _chunks(examples, max(1, AT_ONCE // (classes * networks))):
        held = np.stack([np.asarray(one[rows], dtype=np.float64) for one in logits])
        held -= held.mean(-1, keepdims=True)
        held = held.reshape(networks, -1)
        squared += pdist(held, "sqeuclidean")
        norm += np.einsum("ij,ij->i", held, held)
    return Distances(squareform(squared / examples), norm / examples)


def _chunks(examples: int, size: int) -> Iterable[slice]:
    return (slice(start, start + size) for start in range(0, examples, size))
