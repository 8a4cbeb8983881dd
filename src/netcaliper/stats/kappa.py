"""Cohen's kappa: agreement beyond what two series of choices show by chance.

``kappa = (p_o - p_e) / (1 - p_e)`` with p_o the observed agreement and ``p_e = sum_c p(c) q(c)`` from the shares of
every class c in both series (Cohen 1960). A network that answers nearly always the same agrees with anything that does
so too; kappa is then about 0.
"""

import numpy as np
from jaxtyping import Float, Float64, Int

AT_ONCE = 2**20
"""Choices that wait before they are counted together."""


class Tally:
    """Weighted counts of choices, for a number of series at once; only what was chosen takes memory.

    Args:
        series: number of series.
        classes: number of classes (tokens).
    """

    def __init__(self, series: int, classes: int) -> None:
        self.series, self.classes = series, classes
        self._keys = [np.empty(0, dtype=np.int64)]
        self._weights = [np.empty(0)]

    def update(
        self, chosen: Int[np.ndarray, "series choices"], weight: Float[np.ndarray, " choices"], first: int = 0
    ) -> None:
        """Take in choices of the series from ``first`` on; those of no weight leave no trace."""
        counts = weight > 0
        key = chosen[:, counts] + self.classes * np.arange(first, first + len(chosen))[:, None]
        self._keys.append(key.ravel())
        self._weights.append(np.broadcast_to(weight[counts], key.shape).ravel())
        if sum(map(len, self._keys[1:])) > AT_ONCE:
            self._counts()

    def merge(self, other: "Tally") -> None:
        """Take in what another tally of the same series holds."""
        self._keys += other._keys
        self._weights += other._weights

    def _counts(self) -> tuple[Int[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        """Return the keys ``series * classes + class`` that occur, and what they weigh together."""
        key, place = np.unique(np.concatenate(self._keys), return_inverse=True)
        weight = np.bincount(place, np.concatenate(self._weights), len(key))
        self._keys, self._weights = [key], [weight]
        return key, weight

    def shares(self, series: int) -> Float64[np.ndarray, " classes"]:
        """Return the share of every class in one series."""
        key, weight = self._counts()
        mine = key // self.classes == series
        share = np.zeros(self.classes)
        share[key[mine] % self.classes] = weight[mine]
        return share / share.sum()

    def chance(self, share: Float64[np.ndarray, " classes"]) -> Float64[np.ndarray, " series"]:
        """Return p_e of every series with a series of these shares."""
        key, weight = self._counts()
        series = key // self.classes
        total = np.bincount(series, weight, self.series)
        return np.bincount(series, weight * share[key % self.classes], self.series) / total


def kappa(
    observed: Float64[np.ndarray, " series"], chance: Float64[np.ndarray, " series"]
) -> Float64[np.ndarray, " series"]:
    """Return Cohen's kappa, NaN where both series only know one and the same class."""
    left = np.where(chance < 1, 1 - chance, np.nan)
    return (observed - chance) / left
