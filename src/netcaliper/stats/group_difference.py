"""Two groups of networks, class by class: which classes does one group answer better? The network is the unit.

Examples are no units: thousands of answers of one network hang together, and tests that count them as independent find
differences between any two networks. Everything here reads counts of right answers, exact integers.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Float64, Int
from scipy.stats import ttest_ind_from_stats
from statsmodels.stats.multitest import multipletests

RELABELINGS = 20_000
"""Relabelings up to which all are gone through; otherwise so many are taken, the true labels among them."""

AT_ONCE = 2**22
"""Numbers that are held at a time."""


def welch(
    counts: Int[np.ndarray, "networks columns"], first: Bool[np.ndarray, "labelings networks"]
) -> Float64[np.ndarray, "labelings columns"]:
    """Return p of Welch's t test between the networks that a labeling puts in the first group and the others.

    1 where all networks have the same count; NaN where counts vary in neither group but differ between them: there is
    then no variance to judge by (the permutation test still is one).

    Args:
        counts: right answers of every network in every column (class).
        first: which networks are in the first group, at least two inside and two outside.
    """
    shifted = (counts - counts.min(0)).astype(np.float64)  # sums of integers: exact
    moments = [_moments(shifted, one.astype(np.float64)) for one in (first, ~first)]
    (mean1, variance1, size1), (mean2, variance2, size2) = moments
    varies = (variance1 > 0) | (variance2 > 0)
    spread = [np.where(varies, np.sqrt(variance), 1.0) for variance in (variance1, variance2)]
    p = ttest_ind_from_stats(mean1, spread[0], size1, mean2, spread[1], size2, equal_var=False).pvalue
    return np.where(varies, p, np.where(mean1 == mean2, 1.0, np.nan))


def _moments(
    counts: Float64[np.ndarray, "networks columns"], inside: Float64[np.ndarray, "labelings networks"]
) -> tuple[
    Float64[np.ndarray, "labelings columns"],
    Float64[np.ndarray, "labelings columns"],
    Float64[np.ndarray, "labelings 1"],
]:
    """Return mean, unbiased variance and size of the groups; a variance of 0 is exact."""
    size = inside.sum(1, keepdims=True)
    total, squares = inside @ counts, inside @ counts**2
    return total / size, (size * squares - total**2) / (size * (size - 1)), size


@dataclass(frozen=True)
class Relabelings:
    """Ways to deal the networks into groups of the same sizes.

    Attributes:
        first: which networks are in the first group; row 0 is the true labeling.
        complete: whether these are all there are; otherwise they are drawn at random, and may repeat.
    """

    first: Bool[np.ndarray, "relabelings networks"]
    complete: bool

    @property
    def smallest(self) -> float:
        """The smallest p that a permutation test can give."""
        networks, size = self.first.shape[1], int(self.first[0].sum())
        mirrored = self.complete and 2 * size == networks  # the labeling with the groups swapped differs as much
        return (1.0 if mirrored else 0.5) / len(self.first)


def relabelings(first: Bool[np.ndarray, " networks"], seed: int) -> Relabelings:
    """Return all relabelings if they are at most 20,000, else the true one and 19,999 drawn from ``seed``.

    Args:
        first: which networks are in the first group.
        seed: of the draws.
    """
    networks, size = len(first), int(first.sum())
    complete = math.comb(networks, size) <= RELABELINGS
    if not complete:
        rng = np.random.default_rng([seed % 2**64, networks, size])
        drawn = rng.permuted(np.tile(first, (RELABELINGS - 1, 1)), axis=1)
        return Relabelings(np.concatenate([first[None], drawn]), complete)
    chosen = np.array(list(combinations(range(networks), size)))
    every = np.zeros((len(chosen), networks), dtype=bool)
    np.put_along_axis(every, chosen, True, axis=1)
    true = (every == first).all(1)
    return Relabelings(np.concatenate([every[true], every[~true]]), complete)


def permutation(counts: Int[np.ndarray, "networks columns"], labels: Relabelings) -> Float64[np.ndarray, " columns"]:
    """Return mid-p of the permutation test: the share of relabelings whose means differ by more, ties half.

    ``p = P(gap > true gap) + P(gap = true gap) / 2`` (Lancaster 1961). The true labeling is one of those that tie, so p
    is never 0. Counts are whole numbers and tie often; if ties counted in full, the test would find too little (3.4 to
    3.8 % instead of 5 % in ``benchmarks/predictions.py``). With half of them its level is near the nominal one, not
    bounded by it. Networks are taken to be exchangeable between the groups.

    Args:
        counts: right answers of every network in every column.
        labels: of the networks.
    """
    true = gaps(counts, labels.first[:1])[0]
    size = max(1, AT_ONCE // max(1, counts.shape[1]))
    above, tied = np.zeros(counts.shape[1]), np.zeros(counts.shape[1])
    for start in range(0, len(labels.first), size):
        found = gaps(counts, labels.first[start : start + size])
        above += np.count_nonzero(found > true, axis=0)
        tied += np.count_nonzero(found == true, axis=0)
    return (above + tied / 2) / len(labels.first)


def gaps(
    counts: Int[np.ndarray, "networks columns"], first: Bool[np.ndarray, "labelings networks"]
) -> Float64[np.ndarray, "labelings columns"]:
    """Return ``n1 n2 |mean1 - mean2| = |n sum1 - n1 sum|``, a whole number, so that ties are ties."""
    inside = first.astype(np.float64)
    whole = counts.sum(0).astype(np.float64)
    return np.abs(len(counts) * (inside @ counts.astype(np.float64)) - inside.sum(1, keepdims=True) * whole)


@dataclass(frozen=True)
class Adjusted:
    """p values adjusted for the number of columns; NaN where p is.

    Attributes:
        holm: for the chance of any false finding (Holm 1979).
        fdr: for the expected share of false ones among the findings (Benjamini and Hochberg 1995).
    """

    holm: Float64[np.ndarray, " columns"]
    fdr: Float64[np.ndarray, " columns"]


def adjusted(p: Float[np.ndarray, " columns"]) -> Adjusted:
    """Adjust p values; a NaN stays one and counts as 1 for the others, which keeps their error rates."""
    if not len(p):
        return Adjusted(np.empty(0), np.empty(0))
    known = np.where(np.isnan(p), 1.0, p)
    made = [np.array(multipletests(known, method=name)[1], dtype=np.float64) for name in ("holm", "fdr_bh")]
    holm, fdr = (np.where(np.isnan(p), np.nan, one) for one in made)
    return Adjusted(holm, fdr)
