"""What the units of a site are, by float64 linear algebra on the rows: slow, obvious, independent of ``stats``.

A unit is dead if it is 0 on every row and constant if it is one value. Of the others, classes of affine copies keep one
unit each; what the rank of the centered rows is short of the number of classes is dependent.
"""

from dataclasses import dataclass

import numpy as np

EXACT = 1e-9
"""Relations hold to this, relative to the spread of the units in them."""


@dataclass(frozen=True)
class Truth:
    """Counts of the partition, and how clear-cut they are.

    Attributes:
        gap: smallest singular value that was counted into the rank (columns of unit length).
        faint: number of units that do vary, but by less than 1e-9 of their size, as a saturated tanh does.
    """

    dead: int
    constant: int
    duplicate: int
    dependent: int
    needed: int
    gap: float
    faint: int


def truth(rows: np.ndarray) -> Truth:
    """Judge the units (columns) of float64 rows."""
    dead = np.all(rows == 0, axis=0)
    range_ = np.ptp(rows, axis=0) / np.maximum(np.abs(rows).max(axis=0), 1e-300)
    constant = ~dead & (range_ <= 1e-14)
    x = rows[:, ~constant & ~dead]
    x = x - x.mean(axis=0)
    x = x / np.linalg.norm(x, axis=0)
    singular = np.linalg.svd(x, compute_uv=False) if x.shape[1] else np.zeros(0)
    rank = int(np.count_nonzero(singular > EXACT))
    classes = _classes(x)
    return Truth(
        dead=int(dead.sum()),
        constant=int(constant.sum()),
        duplicate=x.shape[1] - classes,
        dependent=classes - rank,
        needed=rank,
        gap=float(singular[rank - 1]) if rank else 1.0,
        faint=int(np.count_nonzero(~dead & ~constant & (range_ < EXACT))),
    )


def reconstruction_error(rows: np.ndarray, kept: np.ndarray) -> float:
    """Return the largest error of the other columns written as combinations of the kept ones and an intercept.

    Relative to the largest absolute value of the column (to 1 for a column of zeros).
    """
    basis = rows[:, kept]
    scale = np.maximum(np.abs(basis).max(axis=0, initial=0.0), 1e-300)
    design = np.hstack([np.ones((len(rows), 1)), basis / scale])
    gone = rows[:, ~kept]
    if not gone.shape[1]:
        return 0.0
    fit, *_ = np.linalg.lstsq(design, gone, rcond=None)
    largest = np.abs(gone).max(axis=0)
    return float((np.abs(design @ fit - gone).max(axis=0) / np.where(largest > 0, largest, 1.0)).max())


def _classes(x: np.ndarray) -> int:
    """Count classes of centered unit columns that are equal up to sign."""
    representatives: list[np.ndarray] = []
    for column in x.T:
        if not any(min(np.linalg.norm(column - r), np.linalg.norm(column + r)) <= EXACT for r in representatives):
            representatives.append(column)
    return len(representatives)
