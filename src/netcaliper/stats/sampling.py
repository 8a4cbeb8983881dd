"""Which examples and which of their positions are read: fixed by (seed, example index), whatever the batches.

Every choice is an integer hash of (seed, purpose, index), so that one process, N shards and any partition into batches
make the same choice.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int, Int8, UInt64

CALIBRATE, SELECT, VERIFY = 0, 1, 2
SPLITS = ("calibrate", "select", "verify")
FOLDS = 10

_PURPOSES = {"split": 1, "fold": 2, "start": 3, "step": 4, "held": 5, "pass": 6, "token": 7}


def splits(index: Int[np.ndarray, " examples"], seed: int) -> Int8[np.ndarray, " examples"]:
    """Split examples into calibrate (1/2), select (1/4) and verify (1/4).

    Args:
        index: indices of the examples in the whole data set.
        seed: of the run.

    Returns:
        ``CALIBRATE``, ``SELECT`` or ``VERIFY`` for every example.
    """
    quarter = _hash(index, seed, "split") >> np.uint64(62)
    return np.array([CALIBRATE, CALIBRATE, SELECT, VERIFY], dtype=np.int8)[quarter]


def folds(index: Int[np.ndarray, " examples"], seed: int, count: int = FOLDS) -> Int8[np.ndarray, " examples"]:
    """Deal examples into ``count`` folds; all positions of one example share its fold.

    Args:
        index: indices of the examples in the whole data set.
        seed: of the run.
        count: number of folds, at most 127.

    Returns:
        The fold of every example, in ``0 .. count - 1``.
    """
    return (_hash(index, seed, "fold") % np.uint64(count)).astype(np.int8)


def positions(
    index: Int[np.ndarray, " examples"],
    rank: Int[np.ndarray, " examples"],
    *,
    total: int,
    rows: int,
    width: int,
    seed: int,
    valid: Bool[np.ndarray, "examples width"] | None = None,
) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
    """Choose about ``rows`` of the rows of a site, ``width`` of every example, spread evenly over the examples.

    The example of rank i gives ``floor((i + 1) rows / total) - floor(i rows / total)`` rows, at most ``width``, at the
    positions ``(start + k step) mod width``; start and step are hashes of (seed, index) and the step is coprime to
    ``width``, so that the positions of one example are distinct.

    Args:
        index: indices of the examples of a batch in the whole data set.
        rank: their ranks among the examples that are sampled, in ``0 .. total - 1``.
        total: number of examples that are sampled.
        rows: number of rows wanted over all of them.
        width: positions of an example.
        seed: of the run.
        valid: those that may be chosen; ``None`` for all. The k-th valid position is chosen or not whatever lies
            around it, so that longer padding changes nothing.

    Returns:
        For every chosen row the example within the batch and the position within the example.
    """
    rank = rank.astype(np.int64)
    counts = np.full(len(index), width) if valid is None else valid.sum(1)
    taken = np.minimum((rank + 1) * rows // total - rank * rows // total, counts)
    example = np.repeat(np.arange(len(index)), taken)
    k = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
    start = (_hash(index, seed, "start") % np.maximum(counts, 1).astype(np.uint64)).astype(np.int64)
    drawn = _hash(index, seed, "step")
    step = np.zeros_like(start)
    for one in np.unique(counts):
        coprime, mine = _coprime(int(one)), counts == one
        if len(coprime):
            step[mine] = coprime[(drawn[mine] % np.uint64(len(coprime))).astype(np.int64)]
    place = (start[example] + k * step[example]) % counts[example]
    if valid is None:
        return example, place
    return example, np.argsort(~valid, axis=1, kind="stable")[example, place]


def held(examples: int, count: int, seed: int) -> Bool[np.ndarray, " examples"]:
    """Choose ``count`` of the examples (or all of fewer), to be held in memory."""
    chosen = np.zeros(examples, dtype=bool)
    chosen[np.argsort(_hash(np.arange(examples), seed, "held"), kind="stable")[:count]] = True
    return chosen


def shuffled(index: Int[np.ndarray, " examples"], seed: int, of_pass: int) -> Int[np.ndarray, " examples"]:
    """Return the order (places in ``index``) in which one pass goes through some examples."""
    own = int(_hash(np.array([of_pass]), seed, "pass")[0])
    return np.argsort(_hash(index, own, "pass"), kind="stable")


def one_token(
    index: Int[np.ndarray, " examples"], tokens: Int[np.ndarray, " examples"], seed: int, of_pass: int
) -> Int[np.ndarray, " examples"]:
    """Choose one of the tokens of every example, in ``0 .. tokens - 1``; another one in another pass."""
    own = int(_hash(np.array([of_pass]), seed, "pass")[0])
    return (_hash(index, own, "token") % np.maximum(tokens, 1).astype(np.uint64)).astype(np.int64)


@lru_cache(maxsize=256)
def _coprime(width: int) -> Int[np.ndarray, " steps"]:
    """Return the steps in ``1 .. width`` that are coprime to ``width``."""
    steps = np.arange(1, width + 1)
    return steps[np.gcd(steps, width) == 1]


def _hash(index: Int[np.ndarray, " examples"], seed: int, purpose: str) -> UInt64[np.ndarray, " examples"]:
    """Return 64 well-mixed bits of (seed, purpose, index): two rounds of splitmix64 (Steele, Lea and Flood 2014)."""
    key = np.array([(seed % 2**64) ^ (_PURPOSES[purpose] << 56)], dtype=np.uint64)
    return _splitmix(_splitmix(key) ^ index.astype(np.uint64))


def _splitmix(x: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Return one output of splitmix64; arrays of uint64 wrap around silently."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
