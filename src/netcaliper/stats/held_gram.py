"""The Gram matrix of a held sample: what every measure that needs all examples at once starts from."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from netcaliper.errors import DataError

FEWEST = 4
"""Examples without which nothing is said."""

CONSTANT = "constant: all held examples give the same activations"

NOT_FINITE = "not finite: some activations are NaN or infinite"


def gap(gram: Float[Tensor, "n n"]) -> str | None:
    """Return why nothing can be said about a layer, ``None`` if something can.

    A layer is constant if centering leaves nothing of its Gram matrix but rounding. Rounding that was already centered
    cannot be told from activations of that size: who knows the activations sets the Gram matrix to zero instead.

    Args:
        gram: ``K = X X^T`` of n examples, centered or not.

    Raises:
        DataError: there are fewer than four examples, or K is no Gram matrix.
    """
    if len(gram) < FEWEST:
        raise DataError(f"`gram` must hold at least {FEWEST} examples, got {len(gram)}; hold more examples.")
    if not bool(torch.isfinite(gram).all()):
        return NOT_FINITE
    diagonal = gram.diagonal().double()
    if bool((diagonal < 0).any()):
        raise DataError(
            f"`gram` must have a diagonal of squared norms, >= 0, got {float(diagonal.min())}; give X X^T itself, "
            "not U-centered."
        )
    left = float(diagonal.sum() - gram.sum(dtype=torch.float64) / len(gram))  # the trace after centering
    return None if left > len(gram) * torch.finfo(gram.dtype).eps * float(diagonal.sum()) else CONSTANT


def centered(gram: Float[Tensor, "n n"]) -> Float64[Tensor, "n n"]:
    """Return ``H K H`` with ``H = I - 1 1^T / n`` in float64 on the same device.

    For features that were centered before this takes off no more than rounding.
    """
    doubled = gram.double()
    symmetric = (doubled + doubled.mT) / 2
    mean = symmetric.mean(0)
    return symmetric - mean - mean[:, None] + mean.mean()


def spanned(
    gram: Float64[Tensor, "n n"], precision: torch.dtype
) -> tuple[Float64[Tensor, " rank"], Float64[Tensor, "n rank"]]:
    """Return the eigenvalues of a centered Gram matrix above its rounding, ascending, and their eigenvectors.

    Rounding of features or of the matrix itself makes eigenvalues of some ``1e-8`` of the largest one in float32.
    Together their roots would be of weight; left out are those below the precision's relative spacing.

    Args:
        gram: centered, not a gap.
        precision: in which it was formed.
    """
    values, vectors = torch.linalg.eigh(gram)
    rounding = max(torch.finfo(precision).eps, len(gram) * torch.finfo(torch.float64).eps)
    kept = values > rounding * values[-1]
    return values[kept], vectors[:, kept]
