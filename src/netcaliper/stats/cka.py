"""Centered kernel alignment of L layers from batches: a ratio of averages, with its two errors.

``CKA = sum_b <K_b, L_b> / sqrt(sum_b <K_b, K_b> sum_b <L_b, L_b>)`` over batches b and passes, with centered Gram
matrices (Nguyen, Raghu and Kornblith 2021, minibatch CKA, with U-centered ones). Sums are not divided by the number of
pairs of a batch, so that every pair of examples weighs the same and a smaller last batch weighs less.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

FEWEST = 4
"""Examples that a batch must hold: the unbiased estimate divides by n (n - 3)."""

FEWEST_BATCHES = 8
"""Batches of a pass below which there is no standard error."""

ENTRIES = 4096
"""Entries of every Gram matrix that are multiplied at a time: they and what the product needs stay in the cache."""


@dataclass(frozen=True)
class Alignment:
    """CKA of all pairs of L layers.

    Attributes:
        matrix: NaN in the rows and columns of layers that are constant; debiased values may be negative.
        standard_error: square root of the mean over passes of the delete-one-batch jackknife variance, ``(B - 1) / B
            sum_i (theta_i - mean theta)^2`` with theta_i a pass without batch i; how far the value would move with
            other examples. NaN below 8 batches a pass, and on the diagonal, which is 1 by definition.
        partition_error: standard deviation of the passes' own values over ``sqrt(passes)``; how far the value would
            move with other partitions of the same examples into batches. NaN with one pass.
        batches: batches in a pass.
        passes: number of passes.
    """

    matrix: Float64[np.ndarray, "L M"]
    standard_error: Float64[np.ndarray, "L M"]
    partition_error: Float64[np.ndarray, "L M"]
    batches: int
    passes: int

    def of(self, layers: slice, others: slice | None = None) -> "Alignment":
        """Return the part of some layers, against others where these are given."""
        columns = layers if others is None else others
        return replace(
            self,
            matrix=self.matrix[layers, columns],
            standard_error=self.standard_error[layers, columns],
            partition_error=self.partition_error[layers, columns],
        )


@dataclass
class _Pass:
    """One finished pass: its sum, its own value, and its jackknife variance."""

    total: Float64[np.ndarray, "L L"]
    value: Float64[np.ndarray, "L L"]
    variance: Float64[np.ndarray, "L L"]


@dataclass
class AlignmentState:
    """Inner products of centered Gram matrices, batch by batch; what a finished pass leaves is three matrices.

    Attributes:
        layers: number of layers L.
        batches: batches in every pass.
    """

    layers: int
    batches: int
    _open: dict[int, dict[int, Float64[np.ndarray, "L L"]]] = field(default_factory=dict)
    _done: dict[int, _Pass] = field(default_factory=dict)

    def update(self, grams: Float[Tensor, "L m"], of_pass: int, batch: int) -> None:
        """Take in the centered Gram matrices of one batch, one row a layer.

        The product is one matrix multiplication. Rows are scaled by a power of two first, so that float32 neither
        overflows nor underflows, and the result is scaled back exactly in float64.
        """
        norm = torch.linalg.vector_norm(grams, dim=1, dtype=torch.float64)
        exponent = torch.where(norm > 0, -torch.floor(torch.log2(norm.clamp(min=1e-300))), 0.0)
        # what is not finite stays so; 126: the scale itself is a float32
        exponent = torch.nan_to_num(exponent, nan=0.0, posinf=0.0, neginf=0.0).clamp(-126, 126)
        scale = torch.exp2(exponent)
        product = torch.zeros(len(grams), len(grams), dtype=grams.dtype, device=grams.device)
        for piece in grams.split(ENTRIES, 1):
            scaled = piece * scale.to(grams.dtype)[:, None]
            product.addmm_(scaled, scaled.T)
        product = product.double() / (scale[:, None] * scale)
        self._take(of_pass, batch, product.cpu().numpy())

    def merge(self, other: "AlignmentState") -> None:
        """Take in batches that another state has seen."""
        self._done |= other._done
        for of_pass, products in other._open.items():
            for batch, product in products.items():
                self._take(of_pass, batch, product)

    def _take(self, of_pass: int, batch: int, product: Float64[np.ndarray, "L L"]) -> None:
        products = self._open.setdefault(of_pass, {})
        products[batch] = product
        if len(products) == self.batches:
            self._done[of_pass] = _finished(np.stack([products[key] for key in sorted(products)]))
            del self._open[of_pass]

    def finish(self) -> Alignment:
        """Return the values of all finished passes together."""
        passes = [self._done[key] for key in sorted(self._done)]
        count = len(passes)
        matrix = ratio(np.sum([one.total for one in passes], axis=0))
        error = np.sqrt(np.mean([one.variance for one in passes], axis=0))
        apart = np.full_like(matrix, np.nan)
        if count > 1:
            apart = np.std([one.value for one in passes], axis=0, ddof=1) / np.sqrt(count)
        error[np.isnan(matrix)] = apart[np.isnan(matrix)] = np.nan
        np.fill_diagonal(error, np.nan)
        np.fill_diagonal(apart, np.nan)
        return Alignment(matrix, error, apart, self.batches, count)


def _finished(products: Float64[np.ndarray, "B L L"]) -> _Pass:
    total = products.sum(0)
    count = len(products)
    if count < FEWEST_BATCHES:
        return _Pass(total, ratio(total), np.full_like(total, np.nan))
    # One batch after the other: all values without one batch at once would take another B L L.
    mean, square = np.zeros_like(total), np.zeros_like(total)
    value = ratio(total)
    for product in products:
        apart = ratio(total - product) - value
        mean += apart / count
        square += apart**2
    return _Pass(total, value, (count - 1) / count * np.maximum(square - count * mean**2, 0.0))


def ratio(products: Float64[np.ndarray, "L L"]) -> Float64[np.ndarray, "L L"]:
    """Return ``P_ij / sqrt(P_ii P_jj)``, 1 on the diagonal, NaN in rows and columns with ``P_ii <= 0``."""
    own = np.diag(products)
    norm = np.sqrt(np.where(own > 0, own, np.nan))
    matrix = products / norm[:, None] / norm
    np.fill_diagonal(matrix, np.where(own > 0, 1.0, np.nan))
    return matrix
