"""Gram matrices over the examples of a batch, centered so that their inner products are (unbiased) HSIC.

For features X ``[n, p]`` of n examples ``K = (X - m) (X - m)^T``. Whatever the row m is, ``H K H`` with ``H = I - 1/n``
and the U-centered K are the same, exactly; with an m near the mean float32 is enough for them. With m = 0 and a mean of
300 standard deviations no digit would be right.
"""

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

COLUMNS = 512
"""Features that are shifted at a time: the piece stays in the cache until it has been multiplied."""

SLICES = 4
"""K is symmetric: of its four quarters only three are made, and each of the two on the diagonal in so many slices of
rows, with the columns up to their own."""

FAST_COLUMNS, FAST_SLICES = 4096, 2
"""The same in bfloat16, where every product of pieces is rounded, and small ones are slow."""

APART = 16
"""Columns between the rows of a float32 piece: at a distance of 2 kB they would share few lines of the cache."""

ROWS = 32
"""Examples whose mean is m: within a fifth of a standard deviation of the whole mean, at an eighth of its cost."""


class GramMaker:
    """Makes Gram matrices into memory that is given; its own buffer is used again and again.

    Args:
        examples: the most examples of a batch.
        device: of the features.
        dtype: of the matrices, float32 or float64.
        fast: multiply in bfloat16 and add up in float32: factors keep 8 bits, so that entries are off by a few
            thousandths of ``|x_i| |x_j|``, at random.
    """

    def __init__(self, examples: int, device: torch.device, dtype: torch.dtype, *, fast: bool = False) -> None:
        self.dtype, self.fast = dtype, fast
        self.columns = FAST_COLUMNS if fast else COLUMNS
        width = FAST_COLUMNS if fast else COLUMNS + APART
        self._buffer = torch.empty(examples, width, device=device, dtype=torch.bfloat16 if fast else dtype)

    def __call__(self, features: Float[Tensor, "n p"], out: Float[Tensor, "n n"]) -> Bool[Tensor, ""]:
        """Write K into ``out``; a layer that is the same for all examples gives exactly 0.

        Returns:
            Whether the layer is constant: what is left after the shift is rounding, of the size of an example.
        """
        n = len(features)
        out.zero_()
        mean = features[:ROWS].to(self.dtype).mean(0)
        lower, factors = self._lower(n), []
        for piece, middle in zip(features.split(self.columns, 1), mean.split(self.columns), strict=True):
            width = piece.shape[1]
            shifted = self._buffer[:n, :width]
            torch.sub(piece, middle, out=shifted)
            if not factors or width < self.columns:
                factors = [(out[rows, columns], shifted[rows], shifted[columns].T) for rows, columns in lower]
            for block, left, right in factors:
                if self.fast:
                    block.add_(left @ right)
                else:
                    block.addmm_(left, right)
        for rows, columns in lower:
            left = slice(columns.start, min(columns.stop, rows.start))
            out[left, rows] = out[rows, left].T
        rounding = torch.linalg.vector_norm(features[0].to(self.dtype)) * torch.finfo(self.dtype).eps
        constant = out.diagonal().sum() <= 16 * n * rounding**2
        out.masked_fill_(constant, 0.0)
        return constant

    def _lower(self, n: int) -> list[tuple[slice, slice]]:
        """Return the rows and columns of blocks that cover the lower triangle."""
        half = -(-n // 2)
        step = -(-half // (FAST_SLICES if self.fast else SLICES))
        diagonal = [
            (slice(first, min(first + step, stop)), slice(start, min(first + step, stop)))
            for start, stop in ((0, half), (half, n))
            for first in range(start, stop, step)
        ]
        return [(slice(half, n), slice(0, half)), *diagonal]


def u_center_(gram: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """U-center in place (Szekely and Rizzo 2014): ``<U(K), U(L)> / (n (n - 3))`` is the unbiased HSIC of Song et al.

    With ``r_i = sum_j K_ij / (n - 2)`` over j != i and ``m_i = r_i - sum_j r_j / (2 (n - 1))``, off the diagonal
    ``U_ij = K_ij - m_i - m_j``, and ``U_ii = 0``. Rows of U sum to 0. Sums are float64. n must be at least 4.
    """
    n = len(gram)
    gram.fill_diagonal_(0.0)
    row = gram.sum(1, dtype=torch.float64) / (n - 2)
    shift = (row - row.sum() / (2 * (n - 1))).to(gram.dtype)
    return gram.sub_(shift[:, None]).sub_(shift).fill_diagonal_(0.0)


def double_center_(gram: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """Return ``H K H`` in place: rows and columns sum to 0, as with features centered over the batch."""
    row = gram.mean(1, dtype=torch.float64)
    shift = (row - row.mean() / 2).to(gram.dtype)
    return gram.sub_(shift[:, None]).sub_(shift)


def squared_norms(gram: Float[Tensor, "n n"]) -> Float64[Tensor, " n"]:
    """Return ``|x_i - mean x|^2``, the diagonal of ``H K H``; rounding below 0 becomes 0."""
    row = gram.mean(1, dtype=torch.float64)
    return (gram.diagonal() - 2 * row + row.mean()).clamp_(min=0.0)


def squared_distances(gram: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """Return ``|x_i - x_j|^2 = K_ii + K_jj - 2 K_ij``; rounding below 0 becomes 0."""
    norm = gram.diagonal()
    return (norm[:, None] + norm - 2 * gram).clamp_(min=0.0)


def median_distance(gram: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """Return the median squared distance of two different examples."""
    above = torch.triu_indices(len(gram), len(gram), 1, device=gram.device)
    return squared_distances(gram)[above[0], above[1]].median()


def rbf_(gram: Float[Tensor, "n n"], bandwidth: Float[Tensor, ""]) -> Float[Tensor, "n n"]:
    """Turn a Gram matrix in place into that of the Gaussian kernel, ``exp(-|x_i - x_j|^2 / (2 bandwidth))``.

    A bandwidth of 0 (most examples are equal) leaves 1 for equal examples and 0 for others.
    """
    distance = squared_distances(gram)
    kernel = torch.where(bandwidth > 0, torch.exp(-distance / (2 * bandwidth)), (distance == 0).to(gram.dtype))
    return gram.copy_(kernel)


def equal_norms(features: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
    """Return the features with norm 1 for every example; an example of norm 0 stays 0."""
    features = features if features.dtype is torch.float64 else features.float()
    norm = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / torch.where(norm > 0, norm, 1.0)
