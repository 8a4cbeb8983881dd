"""Covariance of the units of a site, streamed over rows in float64."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor


class Covariance:
    """Count, mean and scatter of rows: all that the linear measures need.

    ``scatter = sum_t (x_t - mean)(x_t - mean)^T``. Batches are merged by Chan, Golub and LeVeque (1983): with
    ``d = mean_b - mean_a``, ``scatter = scatter_a + scatter_b + d d^T n_a n_b / (n_a + n_b)``, which does not cancel
    when the mean is large.

    Args:
        units: number of columns n. Memory is at most ``16 n (n + 512)`` bytes whatever the number of rows.
        device: where the state is accumulated.
    """

    def __init__(self, units: int, device: torch.device | str = "cpu") -> None:
        self.eps = float(np.finfo(np.float64).eps)
        self._count = 0
        self._mean = torch.zeros(units, dtype=torch.float64, device=device)
        self._scatter: Tensor | None = None  # allocated with the first rows: many states never see any
        # Many small products cost more than one large one: rows wait until there are enough. They wait in one place:
        # small pieces that stay, between large ones that go, would keep the heap from being used again.
        self._waiting: Tensor | None = None
        self._filled = 0
        self._enough = max(units, 512)

    @property
    def count(self) -> int:
        """Number of rows seen."""
        return self._count + self._filled

    def update(self, rows: Float[Tensor, "rows units"]) -> None:
        """Take in a batch of rows of any floating-point type."""
        if len(rows) == 0:
            return
        self.eps = max(self.eps, torch.finfo(rows.dtype).eps)
        if self._waiting is None:
            self._waiting = torch.empty(self._enough, rows.shape[1], dtype=torch.float64, device=self._mean.device)
        for part in rows.split(self._enough):
            if self._filled + len(part) > self._enough:
                self._flush()
            self._waiting[self._filled : self._filled + len(part)] = part
            self._filled += len(part)

    def merge(self, other: "Covariance") -> None:
        """Take in the rows that ``other`` has seen."""
        other._flush()
        if other._scatter is not None:
            self._flush()
            self.eps = max(self.eps, other.eps)
            device = self._mean.device
            self._join(other._count, other._mean.to(device), other._scatter.to(device, copy=True))

    def __getstate__(self) -> dict[str, Any]:
        """Return what goes to another process: all rows reduced, without the place where rows wait."""
        self._flush()
        return self.__dict__ | {"_waiting": None}

    def _flush(self) -> None:
        """Reduce the rows that wait."""
        if self._waiting is not None and self._filled:
            rows = self._waiting[: self._filled]
            self._filled = 0
            mean = rows.mean(0)
            rows -= mean
            self._join(len(rows), mean, rows.T @ rows)

    def _join(self, count: int, mean: Float64[Tensor, " units"], scatter: Float64[Tensor, "units units"]) -> None:
        """Chan's formula; an empty state takes over the other one exactly, its ``scatter`` too."""
        total = self._count + count
        shift = mean - self._mean
        self._scatter = scatter if self._scatter is None else self._scatter.add_(scatter)
        if self._count:
            self._scatter.addr_(shift, shift, alpha=self._count * count / total)
        self._mean += shift * (count / total) if self._count else shift
        self._count = total

    def finish(self) -> "Moments":
        """Return the moments of all rows seen."""
        self._flush()
        units = len(self._mean)
        scatter = np.zeros((units, units)) if self._scatter is None else self._scatter.cpu().numpy()
        covariance = scatter / max(self._count - 1, 1)
        return Moments(self._count, self._mean.cpu().numpy().copy(), (covariance + covariance.T) / 2, self.eps)


@dataclass(frozen=True)
class Moments:
    """Moments of the units over a number of rows.

    Attributes:
        count: number of rows.
        mean: [n].
        covariance: [n, n], unbiased (divided by ``count - 1``), symmetric.
        eps: rounding of the coarsest type that the rows came in.
    """

    count: int
    mean: Float64[np.ndarray, " units"]
    covariance: Float64[np.ndarray, "units units"]
    eps: float

    @cached_property
    def std(self) -> Float64[np.ndarray, " units"]:
        """Standard deviation of every unit."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0))

    @cached_property
    def degenerate(self) -> Bool[np.ndarray, " units"]:
        """Units that are constant within rounding: ``std <= 4 eps |mean|`` (a unit of range r has std <= r / 2)."""
        return self.std <= 4 * self.eps * np.abs(self.mean)

    @cached_property
    def live(self) -> Int[np.ndarray, " live"]:
        """Indices of the units that are not degenerate."""
        return np.flatnonzero(~self.degenerate)

    @cached_property
    def correlation(self) -> Float64[np.ndarray, "live live"]:
        """Correlation matrix of the live units, with an exact unit diagonal."""
        std = self.std[self.live]
        correlation = self.covariance[np.ix_(self.live, self.live)] / std[:, None] / std
        np.fill_diagonal(correlation, 1.0)
        return correlation
