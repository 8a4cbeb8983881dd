"""Class selectivity: how much stronger a unit answers to the class that it likes best than to all others.

Sources: Morcos et al., "On the importance of single directions for generalization", ICLR 2018; Casper et al., arXiv
1912.04783 v1 and v2.
"""

from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

SELECTIVE = 0.05
"""Selectivity from which on a unit counts as selective (Casper et al.)."""


class ClassSums:
    """Sums of the rows of every class, by groups of examples.

    Classes are taken up as their labels are seen. Positions of one example are summed in the type of the data (at least
    float32), everything beyond in float64.

    Args:
        units: number of units n.
        groups: number of groups g; memory is ``8 n g`` bytes a class.
        device: where the sums are.
    """

    def __init__(self, units: int, groups: int, device: torch.device | str = "cpu") -> None:
        self.row: dict[int, int] = {}
        """Row of every label in ``sums`` and ``counts``."""
        self.sums = torch.zeros(0, groups, units, dtype=torch.float64, device=device)
        self.counts = np.zeros((0, groups), dtype=np.int64)

    @property
    def groups(self) -> int:
        """Number of groups."""
        return self.counts.shape[1]

    def update(
        self,
        value: Float[Tensor, "examples positions units"],
        labels: Int[np.ndarray, " examples"],
        group: Int[np.ndarray, " examples"],
        valid: Bool[Tensor, "examples positions"] | None = None,
    ) -> None:
        """Take in all rows of some examples, or the valid ones; the label of an example is that of its positions."""
        if not len(labels):
            return
        rows = self._rows(labels)
        np.add.at(self.counts, (rows, group), value.shape[1] if valid is None else valid.sum(1).cpu().numpy())
        if valid is not None:
            value = value.masked_fill(~valid[..., None], 0.0)
        if value.dtype not in (torch.float32, torch.float64):
            value = value.to(torch.float32)
        place = torch.from_numpy(rows * self.groups + group).to(self.sums.device)
        self.sums.reshape(-1, self.sums.shape[2]).index_add_(0, place, value.sum(1).to(torch.float64))

    def merge(self, other: "ClassSums") -> None:
        """Take in what ``other`` has seen; if one of the two has its last groups pooled, both have then."""
        groups = min(self.groups, other.groups)
        self.pool(groups - 1)
        theirs = copy(other)
        theirs.pool(groups - 1)
        rows = self._rows(np.fromiter(other.row, dtype=np.int64, count=len(other.row)))
        self.counts[rows] += theirs.counts
        self.sums[torch.from_numpy(rows).to(self.sums.device)] += theirs.sums.to(self.sums.device)

    def pool(self, first: int) -> None:
        """Make one group of all groups from ``first`` on."""
        if self.groups > first + 1:
            self.counts = np.concatenate([self.counts[:, :first], self.counts[:, first:].sum(1, keepdims=True)], 1)
            self.sums = torch.cat([self.sums[:, :first], self.sums[:, first:].sum(1, keepdim=True)], 1)

    def finish(self) -> "ClassRows":
        """Return the sums by class, in the order of the labels."""
        labels = np.array(sorted(self.row), dtype=np.int64)
        rows = np.array([self.row[label] for label in labels.tolist()], dtype=np.int64)
        return ClassRows(labels, self.counts[rows], self.sums.cpu().numpy()[rows])

    def _rows(self, labels: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """Return the row of every label, taking up new ones."""
        distinct, inverse = np.unique(labels, return_inverse=True)
        for label in distinct.tolist():
            self.row.setdefault(label, len(self.row))
        new = len(self.row) - len(self.counts)
        if new:
            self.counts = np.concatenate([self.counts, np.zeros((new, self.groups), dtype=np.int64)])
            self.sums = torch.cat([self.sums, self.sums.new_zeros(new, *self.sums.shape[1:])])
        return np.array([self.row[label] for label in distinct.tolist()], dtype=np.int64)[inverse]


@dataclass(frozen=True)
class ClassRows:
    """Sums and numbers of rows.

    Attributes:
        labels: of the classes, ascending.
        counts: rows of every class in every group.
        sums: of these rows.
    """

    labels: Int[np.ndarray, " classes"]
    counts: Int[np.ndarray, "classes groups"]
    sums: Float64[np.ndarray, "classes groups units"]

    def of(self, groups: Int[np.ndarray, " chosen"]) -> "ClassRows":
        """Return the rows of some groups as one group."""
        return ClassRows(
            self.labels, self.counts[:, groups].sum(1, keepdims=True), self.sums[:, groups].sum(1, keepdims=True)
        )


def best_class(rows: ClassRows) -> Int[np.ndarray, " units"]:
    """Return for every unit the class (its number in ``labels``) with the largest mean, the first of equals.

    A unit whose sums are 0 for all classes likes none: -1.

    Args:
        rows: in one group.
    """
    means = np.where(rows.counts > 0, rows.sums[:, 0] / np.maximum(rows.counts, 1), -np.inf)
    return np.where(rows.sums[:, 0].any(axis=0), np.argmax(means, axis=0), -1)


def selectivity(rows: ClassRows, best: Int[np.ndarray, " units"]) -> Float64[np.ndarray, " units"]:
    """Return ``s = (mu_best - mu_rest) / (mu_best + mu_rest)`` of every unit.

    mu_best is the mean over the rows of its class, mu_rest the mean over all rows of all other classes. Where that is
    0 / 0 (a unit that is 0 on all rows, or one of the means has no rows), and for units without a class, s is 0. For
    values that are never negative s lies in [-1, 1]; for the best class of the same rows in [0, 1].

    Args:
        rows: in one group.
        best: the class of every unit, as its number in ``labels``; -1 for none.
    """
    units = np.arange(len(best))
    others, counts = rows.sums[:, 0].copy(), rows.counts[:, 0]
    others[best, units] = 0.0  # not subtracted from the sum over all: what should be 0 would be rounding
    with np.errstate(invalid="ignore", divide="ignore"):
        of_best = rows.sums[best, 0, units] / counts[best]
        of_rest = others.sum(0) / (counts.sum() - counts[best])
        index = (of_best - of_rest) / (of_best + of_rest)
    return np.where(np.isfinite(index) & (best >= 0), index, 0.0)
