"""Which examples of a data set are used for what: classes, stratified subsets, other labels, held-out examples."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from netcaliper.errors import DataError
from netcaliper.stats.sampling import folds

HELD_OUT = 20
"""One training example in so many is held out."""

_HELD_OUT_SEED = 0x4E1D  # apart from the seeds by which measures deal examples into folds


def stratified(y: Int[np.ndarray, " N"], examples: int, seed: int = 0) -> Int[np.ndarray, " examples"]:
    """Return the rows of a random subset in which every class has its share, in ascending order.

    A class with a share ``s`` of the labels gets ``floor(s * examples)`` rows or one more (largest remainders first;
    the smaller label wins a tie). Which rows depends only on ``seed``: the rows that a class has in a smaller subset
    it also has in a larger one.

    Args:
        y: labels; all equal where there are none.
        examples: size of the subset.
        seed: of the draw.

    Raises:
        DataError: there are fewer rows than ``examples``.
    """
    if not 1 <= examples <= len(y):
        raise DataError(f"`examples` must be from 1 to the {len(y)} examples there are, got {examples}.")
    labels, counts = np.unique(y, return_counts=True)
    exact = counts * examples / len(y)
    quota = np.floor(exact).astype(np.int64)
    remainder = np.round(exact - quota, 9)
    order = np.argsort(-remainder, kind="stable")
    quota[order[: examples - int(quota.sum())]] += 1
    generator = np.random.default_rng(seed)
    chosen = [generator.permutation(np.flatnonzero(y == label))[:n] for label, n in zip(labels, quota, strict=True)]
    return np.sort(np.concatenate(chosen))


def random_labels(examples: int, classes: int, seed: int = 0) -> Int[np.ndarray, " examples"]:
    """Return labels drawn uniformly and independently from ``0 .. classes - 1`` (Zhang et al. 2017).

    The label of row ``i`` depends on ``seed`` and ``i`` only, not on ``examples``.
    """
    return np.random.default_rng((seed, 0x1ABE1)).integers(0, classes, size=examples, dtype=np.int64)


def numbered(y: Int[np.ndarray, " N"], classes: Sequence[int]) -> Int[np.ndarray, " N"]:
    """Return for every label its place among ``classes``, -1 for a label that is not among them."""
    places = np.full(max(int(y.max()), *classes) + 1, -1, dtype=np.int64)
    places[list(classes)] = np.arange(len(classes))
    return places[y]


def noisy_labels(y: Int[np.ndarray, " N"], classes: int, share: float, seed: int = 0) -> Int[np.ndarray, " N"]:
    """Return labels of which each is, with chance ``share``, one of the other ``classes - 1``, drawn uniformly.

    What happens to row ``i`` depends on ``seed`` and ``i`` only; the rows that are wrong with a smaller share are wrong
    in the same way with a larger one.
    """
    first, second = np.random.SeedSequence((seed, 0x0153)).spawn(2)
    wrong = np.random.default_rng(first).random(len(y)) < share
    steps = np.random.default_rng(second).integers(1, classes, size=len(y), dtype=np.int64)
    return np.where(wrong, (y + steps) % classes, y)


def held_out(examples: int) -> Bool[np.ndarray, " examples"]:
    """Mark about one example in ``HELD_OUT``, by a hash of its index alone.

    Raises:
        DataError: there are so few examples that none is marked, or none is left.
    """
    marked = folds(np.arange(examples), _HELD_OUT_SEED, HELD_OUT) == 0
    if not marked.any() or marked.all():
        raise DataError(
            f"about one example in {HELD_OUT} is held out, here {int(marked.sum())} of {examples}; give more examples, "
            "or watch the training examples (--watch train)."
        )
    return marked
