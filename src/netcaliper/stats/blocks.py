"""Block structure: contiguous layers with nearly the same representation, in contrast to the layers around them.

A picture of "a large square of CKA near 1" (Nguyen, Raghu and Kornblith, ICLR 2021) is made a definition. Layers a .. b
of a stack of m layers are a *block* if

1. they say nearly the same: mean CKA of their pairs >= ``MEAN``, and 10 % quantile >= ``LOW``;
2. there are at least ``max(SHORTEST, m / ONE_IN)`` of them, and ``max(OUTSIDE, m / ONE_IN)`` layers outside, where a
   lone layer at an end of the stack (the input, the logits) does not count;
3. each of the two borders, if it is not an end of the stack, is *sharp*. Crossing it lowers the CKA of pairs at equal
   distance at once, for the border behind b::

       step_t = mean over i = a .. b - t of S[i, b] - S[i + t, b + t]   >= STEP for t = 1, >= STEP / 2 for t = 2 and 3

   Both pairs are ``b - i`` layers apart, so a similarity that depends on the distance only has a step of exactly 0
   however fast it decays, and one layer that differs among others that do not is no border;
4. the *contrast* is >= ``CONTRAST``: mean CKA of the pairs inside minus that of pairs with one layer inside and one
   outside, the latter weighted to the same distances;
5. no border lies within that is sharp as seen from the larger part: two blocks side by side are two.

So a smoothly decaying stack has no block, and neither has one whose layers are all equally similar: **a square over the
whole network has no outside to contrast with** and is no block here; the matrix says so itself. Of intervals that
satisfy all this the longest is taken, then the longest that does not overlap it, and so on.

Residual networks make a checkerboard: residual sums resemble each other more than the layers within branches (*inner*
ones). Two strata are looked at: ``stream``, the residual sums and activations right after them, if there are at least
``STREAM``, and ``all``. In a network with so many stream layers a block of ``all`` is judged by its stream layers (at
least ``ANCHORS``), but counts inner layers; it goes up to the inner layers that are as similar to it as those inside,
and if inner layers do not share in the contrast (``INNER``) it is a block of the stream only. What overlaps no such
block is looked at again with all layers alike.

With standard errors of the matrix a step must be at least twice the mean error of the differences it averages: errors
of the pairs of one layer are correlated, so averaging is not taken to lessen them.

The thresholds were fixed before ``benchmarks/blocks.py`` judged them; what was tuned was tuned on seeds that it does
not use.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int

from netcaliper.errors import InputError

Kind = Literal["stream", "inner"]
Stratum = Literal["all", "stream"]

MEAN, LOW = 0.9, 0.8
CONTRAST, STEP = 0.1, 0.1
REACH = 3
"""Layers beyond a border in which the CKA has to stay down."""

SHORTEST, OUTSIDE, ONE_IN = 4, 2, 10
STREAM, ANCHORS = 6, 3
INNER = 0.05
"""Contrast that inner layers must show where a block was found by its stream layers."""

ERRORS = 2.0
ROUNDING = 1e-6


@dataclass(frozen=True)
class FoundBlock:
    """A block structure.

    Attributes:
        stratum: which layers were looked at.
        first, last: indices of its first and last layer among all layers, gaps included.
        layers: number of layers of the stratum inside, without gaps.
        share: of the layers of the stratum.
        mean: mean CKA of the pairs inside; of pairs of stream layers, where these judged (so are the next two).
        low: 10 % quantile of the pairs inside.
        contrast: mean inside minus mean of pairs at equal distance with one layer inside and one outside.
    """

    stratum: Stratum
    first: int
    last: int
    layers: int
    share: float
    mean: float
    low: float
    contrast: float


@dataclass(frozen=True)
class _Square:
    """A block by positions in the layers that judged."""

    first: int
    last: int
    mean: float
    low: float
    contrast: float


def find_blocks(
    cka: Float64[np.ndarray, "L columns"],
    kind: Sequence[str],
    standard_error: Float64[np.ndarray, "rows columns2"] | None = None,
) -> tuple[FoundBlock, ...]:
    """Find block structures in both strata.

    Args:
        cka: [L, L], symmetric, in [-1, 1], in the order of the layers; a gap is a row (and column) of NaN.
        kind: ``stream`` or ``inner``, by layer.
        standard_error: [L, L], of ``cka``; NaN where it is not known.

    Returns:
        The blocks by number of layers that they span, largest first; within a stratum they do not overlap.

    Raises:
        InputError: shapes, kinds or values that cannot be used.
    """
    live = _check(cka, kind, standard_error)
    stream = live[[kind[layer] == "stream" for layer in live]]
    error = np.zeros_like(cka) if standard_error is None else np.nan_to_num(standard_error)
    found: list[FoundBlock] = []
    every: list[FoundBlock] = []
    if len(stream) >= STREAM:
        for square in _squares(cka, error, stream, _shortest(len(stream))):
            found.append(_found("stream", square, int(stream[square.first]), int(stream[square.last]), stream))
        for square in _squares(cka, error, stream, ANCHORS):
            reach = _with_inner(cka, live, stream, square)
            if reach is not None:
                block = _found("all", square, *reach, live)
                ends = np.searchsorted(live, [block.first, block.last])
                if block.layers >= _shortest(len(live)) and _has_outside(ends[:1], ends[1:], len(live)).all():
                    every.append(block)
    for square in _squares(cka, error, live, _shortest(len(live))):
        block = _found("all", square, int(live[square.first]), int(live[square.last]), live)
        if all(block.last < other.first or other.last < block.first for other in every):
            every.append(block)
    return tuple(sorted(found + every, key=lambda block: (block.first - block.last, block.first, block.stratum)))


@dataclass(frozen=True)
class Indices:
    """Block structure of one stratum as numbers for regressions.

    Attributes:
        blocks: how many.
        fraction: share of the stratum's layers that lie in blocks.
        excess: contrast of the blocks, averaged over their layers; ``None`` without a block.
    """

    blocks: int
    fraction: float
    excess: float | None


def indices(found: Sequence[FoundBlock], stratum: Stratum = "all") -> Indices:
    """Sum up the blocks of one stratum."""
    ours = [block for block in found if block.stratum == stratum]
    fraction = float(sum(block.share for block in ours))
    excess = sum(block.share * block.contrast for block in ours) / fraction if ours else None
    return Indices(len(ours), fraction, excess)


@dataclass(frozen=True)
class OverSeeds:
    """The indices over networks that differ in their seed only.

    Attributes:
        seeds: number of networks.
        with_block: how many of them have one.
        fraction, fraction_sd: mean and standard deviation over networks (0 for one without a block).
        excess, excess_sd: the same over networks that have a block.
            A mean of nothing, and a standard deviation of fewer than two, is ``None``.
    """

    seeds: int
    with_block: int
    fraction: float
    fraction_sd: float | None
    excess: float | None
    excess_sd: float | None


def over_seeds(
    matrices: Sequence[Float64[np.ndarray, "L L"]], kind: Sequence[str], stratum: Stratum = "all"
) -> OverSeeds:
    """Return the indices' mean and spread over the matrices of networks with the same layers.

    Raises:
        InputError: no matrix, or one that ``find_blocks`` refuses.
    """
    if not matrices:
        raise InputError("matrices: at least one is needed, got 0; give the matrix of every seed")
    each = [indices(find_blocks(matrix, kind), stratum) for matrix in matrices]
    excess = [one.excess for one in each if one.excess is not None]
    fraction = [one.fraction for one in each]
    return OverSeeds(
        len(each),
        len(excess),
        float(np.mean(fraction)),
        _spread(fraction),
        float(np.mean(excess)) if excess else None,
        _spread(excess),
    )


def _spread(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _shortest(layers: int) -> int:
    return max(SHORTEST, int(np.ceil(layers / ONE_IN)))


def _squares(
    cka: Float64[np.ndarray, "L L"], error: Float64[np.ndarray, "L L"], judges: Int[np.ndarray, " m"], shortest: int
) -> list[_Square]:
    """Find the blocks of some of the layers, as if there were no others."""
    m = len(judges)
    s, error = cka[np.ix_(judges, judges)], error[np.ix_(judges, judges)]
    turned = s[::-1, ::-1], error[::-1, ::-1]
    behind, before = _sharp(s, error), _sharp(*turned)[::-1, ::-1].T  # before[a, b]: of a .. b, the border before a
    row, column = np.arange(m)[:, None], np.arange(m)[None, :]
    sized = (column - row + 1 >= shortest) & _has_outside(row, column, m)
    starts, ends = np.nonzero(behind & before & sized & (_means(s) >= MEAN))
    squares: list[_Square] = []
    for index in np.lexsort((starts, starts - ends)):
        a, b = int(starts[index]), int(ends[index])
        if any(a <= square.last and square.first <= b for square in squares):
            continue
        half = (b - a + 1) // 2
        if behind[a, a + half : b].any() or before[a + 1 : b - half + 1, b].any():
            continue
        inside = s[a : b + 1, a : b + 1][np.triu_indices(b - a + 1, 1)]
        low, contrast = float(np.quantile(inside, 0.1)), _contrast(s, a, b)
        if low >= LOW and contrast >= CONTRAST:
            squares.append(_Square(a, b, float(inside.mean()), low, contrast))
    return squares


def _has_outside(
    first: Int[np.ndarray, "*rows"], last: Int[np.ndarray, "*columns"], layers: int
) -> Bool[np.ndarray, "*both"]:
    """Tell whether there are enough layers outside to contrast with, by positions."""
    before, behind = first, layers - 1 - last
    counted = np.where(before >= 2, before, 0) + np.where(behind >= 2, behind, 0)
    return counted >= max(OUTSIDE, layers / ONE_IN)


def _sharp(s: Float64[np.ndarray, "m m"], error: Float64[np.ndarray, "m m"]) -> Bool[np.ndarray, "m m"]:
    """Tell for every interval a .. b (row a, column b) whether the border behind b is sharp or the end of the stack."""
    m = len(s)
    sharp = np.triu(np.ones((m, m), dtype=bool))
    for t in range(1, min(REACH, m - 1) + 1):
        # summed over i = a .. b - t; only i <= b - t, else both layers of the second pair lie outside
        drop = np.triu(s[:-t, :-t] - s[t:, t:], t)[::-1].cumsum(0)[::-1]
        doubt = np.triu(np.hypot(error[:-t, :-t], error[t:, t:]), t)[::-1].cumsum(0)[::-1]
        count = np.arange(m - t)[None, :] - t - np.arange(m - t)[:, None] + 1
        needed = np.maximum((STEP if t == 1 else STEP / 2) * count, ERRORS * doubt)
        short = count < 1
        sharp[:-t, :-t] &= (drop >= needed) if t == 1 else (drop >= needed) | short
    return sharp


def _means(s: Float64[np.ndarray, "m m"]) -> Float64[np.ndarray, "m m"]:
    """Return for every interval the mean of its pairs, from a summed-area table; -1 where there is no pair."""
    m = len(s)
    table = np.zeros((m + 1, m + 1))
    table[1:, 1:] = np.triu(s, 1).cumsum(0).cumsum(1)
    total = np.diagonal(table)[None, 1:] - table[:-1, 1:]  # pairs i < j <= b without those whose i < a
    length = np.arange(m)[None, :] - np.arange(m)[:, None] + 1
    pairs = length * (length - 1) / 2
    return np.where(length > 1, total / np.where(length > 1, pairs, 1), -1.0)


def _contrast(s: Float64[np.ndarray, "m m"], a: int, b: int) -> float:
    """Return the mean of pairs inside minus that of pairs with one layer outside, at the distances of those inside."""
    length = b - a + 1
    rows, columns = np.arange(a, b + 1)[:, None], np.arange(len(s))[None, :]
    distance = np.abs(rows - columns)
    inner = (columns >= a) & (columns <= b) & (distance > 0)
    crossing = ((columns < a) | (columns > b)) & (distance < length)
    total, count = np.zeros((2, length)), np.zeros((2, length))
    for row, pairs in enumerate((inner, crossing)):
        total[row] = np.bincount(distance[pairs], s[a : b + 1][pairs], length)
        count[row] = np.bincount(distance[pairs], minlength=length)
    both = (count > 0).all(0)
    (inside, beyond), weight = total[:, both] / count[:, both], count[0, both]
    return float(((inside - beyond) * weight).sum() / weight.sum())


def _with_inner(
    cka: Float64[np.ndarray, "L L"], live: Int[np.ndarray, " m"], stream: Int[np.ndarray, " k"], square: _Square
) -> tuple[int, int] | None:
    """Return first and last layer of a block found by its stream layers; ``None`` if inner layers have no part in it.

    The border lies among the inner layers between the last stream layer inside and the first outside, where it splits
    those most like the inner layers inside from those most like the ones outside, by mean CKA with the block's stream.
    """
    anchors = stream[square.first : square.last + 1]
    alike = cka[np.ix_(live, anchors)].mean(1)
    inner = ~np.isin(live, stream)
    within = (live > anchors[0]) & (live < anchors[-1])
    before = stream[square.first - 1] if square.first > 0 else -1
    after = stream[square.last + 1] if square.last + 1 < len(stream) else len(cka)
    length = anchors[-1] - anchors[0]
    near = (live >= before - length) & (live <= after + length)
    inside, outside = alike[inner & within], alike[inner & near & ((live < before) | (live > after))]
    level_in = float(np.median(inside)) if len(inside) else square.mean
    level_out = float(np.median(outside)) if len(outside) else level_in - square.contrast
    if level_in - level_out < INNER:
        return None
    middle = (level_in + level_out) / 2

    def end(gap: Bool[np.ndarray, " m"], nearest_first: int, start: int) -> int:
        layers, sure = live[gap][::nearest_first], (alike[gap] - middle)[::nearest_first]
        taken = int(np.argmax(np.concatenate([[0.0], sure.cumsum()])))
        return int(layers[taken - 1]) if taken else start

    first = end((live > before) & (live < anchors[0]), -1, int(anchors[0]))
    last = end((live > anchors[-1]) & (live < after), 1, int(anchors[-1]))
    return first, last


def _found(stratum: Stratum, square: _Square, first: int, last: int, of: Int[np.ndarray, " m"]) -> FoundBlock:
    layers = int(np.count_nonzero((of >= first) & (of <= last)))
    return FoundBlock(stratum, first, last, layers, layers / len(of), square.mean, square.low, square.contrast)


def _check(
    cka: Float64[np.ndarray, "L columns"], kind: Sequence[str], error: Float64[np.ndarray, "rows columns2"] | None
) -> Int[np.ndarray, " live"]:
    """Return the layers that are no gaps, or say what is wrong."""
    layers = len(cka)
    if cka.shape != (layers, layers):
        raise InputError(f"cka: must be square, got shape {cka.shape}; give layers of one network against itself")
    if error is not None and error.shape != cka.shape:
        raise InputError(f"standard_error: must have the shape of cka, {cka.shape}, got {error.shape}")
    if len(kind) != layers:
        raise InputError(f"kind: one for each layer is needed, got {len(kind)} for {layers} layers of cka")
    unknown = sorted(set(kind) - {"stream", "inner"})
    if unknown:
        raise InputError(f"kind: must be 'stream' or 'inner', got {unknown[0]!r}")
    if error is not None and (np.nan_to_num(error) < 0).any():
        raise InputError(f"standard_error: must be >= 0 or NaN, got {np.nanmin(error):.3g}")
    others = ~np.eye(layers, dtype=bool)
    live = np.flatnonzero((np.isfinite(cka) & others).any(1))
    values = cka[np.ix_(live, live)][others[np.ix_(live, live)]]
    if not np.isfinite(values).all():
        raise InputError(
            "cka: a gap must be a whole row and column of NaN, got rows that are NaN or infinite in part; "
            "set all of the row and column of such a layer to NaN"
        )
    if len(values) and np.abs(values).max() > 1 + ROUNDING:
        raise InputError(f"cka: must lie in [-1, 1], got {values[np.abs(values).argmax()]:.3g}")
    if not np.allclose(cka, cka.T, rtol=0, atol=ROUNDING, equal_nan=True):
        raise InputError("cka: must be symmetric, got a matrix that is not; give layers of one network against itself")
    return live
