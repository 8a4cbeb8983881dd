"""Answers: what several networks say to the same examples, checked so that they can be compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64, Shaped
from torch import Tensor

from netcaliper.errors import DataError, InputError
from netcaliper.trace.batches import IGNORED

Array = Tensor | Shaped[np.ndarray, "..."]

UNLABELED = -1


@dataclass(frozen=True)
class Answers:
    """Scores of networks on the same rows; a row is an example, or a valid token of one.

    Attributes:
        names: of the networks.
        scores: of every network, ``[rows, classes]``, finite.
        chosen: the class with the largest score.
        labels: right class of every row, below 0 where there is none; ``None`` without labels.
        example: which example a row belongs to.
    """

    names: tuple[str, ...]
    scores: tuple[Shaped[np.ndarray, "rows classes"], ...]
    chosen: Int64[np.ndarray, "networks rows"]
    labels: Int64[np.ndarray, " rows"] | None
    example: Int64[np.ndarray, " rows"]

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.scores[0].shape[1]

    @property
    def labeled(self) -> Bool[np.ndarray, " rows"]:
        """Which rows have a label."""
        return np.zeros(len(self.example), dtype=bool) if self.labels is None else self.labels >= 0

    def right(self, networks: Sequence[int]) -> Bool[np.ndarray, "networks labeled"]:
        """Return which labeled rows each of the networks gets right."""
        assert self.labels is not None
        labeled = self.labeled
        return self.chosen[list(networks)][:, labeled] == self.labels[labeled]


def answers(scores: Mapping[str, Array], labels: Array | None, valid: Array | None = None) -> Answers:
    """Check scores and lay them out by row.

    Args:
        scores: of every network, ``[examples, classes]`` or ``[examples, tokens, classes]``.
        labels: right classes, ``[examples]``, -100 for none. Those of tokens are not read.
        valid: for tokens the positions that count, ``[examples, tokens]``; ``None`` for all.

    Raises:
        InputError: there is no network, or ``labels`` or ``valid`` are of another kind.
        DataError: scores of two networks have not the same shape, or scores, labels or shapes make no sense.
    """
    if not scores:
        raise InputError("`scores` must hold the outputs of at least one network, it is empty; give some.")
    arrays = {name: _array(one) for name, one in scores.items()}
    names = tuple(arrays)
    shape = arrays[names[0]].shape
    for name, one in arrays.items():
        _check(name, one, names[0], shape)
    mask = _mask(valid, shape)
    rows = tuple(one.reshape(-1, shape[-1]) if valid is None else one[mask] for one in arrays.values())
    chosen = np.stack([one.argmax(1) for one in rows]).astype(np.int64)
    known = _labels(labels, shape) if labels is not None and len(shape) == 2 else None
    return Answers(names, rows, chosen, known, np.nonzero(mask)[0].astype(np.int64))


def _array(values: Array) -> Shaped[np.ndarray, "..."]:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype is torch.bfloat16 else values).numpy()
    return values


def _check(name: str, scores: Shaped[np.ndarray, "..."], first: str, shape: tuple[int, ...]) -> None:
    """Refuse scores that cannot be compared with those of the first network."""
    if not np.issubdtype(scores.dtype, np.floating):
        raise DataError(f"`scores` of {name!r} must be floating-point numbers, got {scores.dtype}; give its logits.")
    if scores.ndim not in (2, 3) or 0 in scores.shape:
        raise DataError(
            f"`scores` of {name!r} must be [examples, classes] or [examples, tokens, classes], got {scores.shape}; "
            "give the logits of at least one example."
        )
    if scores.shape[:-1] != shape[:-1]:
        raise DataError(
            f"`scores` of {name!r} must be of the same examples as those of {first!r}, got shapes {scores.shape} and "
            f"{shape}; read all networks with one loader."
        )
    if scores.shape[-1] != shape[-1]:
        raise DataError(
            f"`scores` of {name!r} must be for the same classes as those of {first!r}, got {scores.shape[-1]} and "
            f"{shape[-1]} classes; compare networks that choose between the same classes."
        )
    if scores.shape[-1] == 1:
        raise DataError(f"`scores` of {name!r} have one class; a choice needs at least 2, a regression has no classes.")
    finite = np.isfinite(scores)
    if not finite.all():
        example = int(np.argwhere(~finite)[0, 0])
        raise DataError(
            f"`scores` of {name!r} must be finite, they are not in example {example}; its choice would be arbitrary: "
            "leave this network out, or mend it."
        )


def _mask(valid: Array | None, shape: tuple[int, ...]) -> Bool[np.ndarray, "..."]:
    """Return which rows count."""
    if valid is None:
        return np.ones(shape[:-1], dtype=bool)
    mask = _array(valid) != 0
    if len(shape) != 3 or mask.shape != shape[:-1]:
        raise InputError(f"`valid` must be [examples, tokens] of the scores {shape}, got {mask.shape}; leave it out.")
    if not mask.any(1).all():
        raise DataError(f"`valid` leaves no token of example {int(np.argmin(mask.any(1)))}; leave this example out.")
    return mask


def _labels(labels: Array, shape: tuple[int, ...]) -> Int[np.ndarray, " examples"]:
    """Return one class an example, ``UNLABELED`` for those that have none."""
    found = _array(labels)
    if not np.issubdtype(found.dtype, np.integer) or found.shape != shape[:1]:
        raise InputError(
            f"`labels` must be one integer for each of the {shape[0]} examples, got {found.dtype} {found.shape}; give "
            "classes, or leave labels out."
        )
    wrong = (found != IGNORED) & ((found < 0) | (found >= shape[1]))
    if wrong.any():
        place = int(np.argmax(wrong))
        raise DataError(
            f"`labels` must lie in 0 .. {shape[1] - 1} because the networks have {shape[1]} outputs, got "
            f"{int(found[place])} in example {place}; renumber the labels, or leave labels out."
        )
    return np.where(found == IGNORED, UNLABELED, found).astype(np.int64)
