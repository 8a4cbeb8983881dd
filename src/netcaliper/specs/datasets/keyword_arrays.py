"""``npz:FILE`` without ``x``: arrays named after keyword arguments of the network."""

import numpy as np
import torch
from jaxtyping import Int, Shaped

from netcaliper.errors import DataError
from netcaliper.specs.datasets.stream import Indexed, check_batch_size
from netcaliper.zoo.data import Options, Split, chosen, inputs_array, train_part

_LABELS = ("labels", "label", "y")


def keyword_arrays(
    arrays: dict[str, Shaped[np.ndarray, "..."]],
    split: Split,
    *,
    takes: frozenset[str] | None,
    options: Options,
    batch_size: int,
    name: str,
) -> Indexed:
    """Return batches that are dicts of tensors, one entry for each array; the first axis counts examples.

    Args:
        arrays: by name; ``labels``, ``label`` or ``y`` hold labels: one whole number an example, or anything that the
            network is trained on.
        split: ``"train"`` and ``"test"`` are a fixed 3 : 1 split.
        takes: keyword arguments of the network; ``None`` if they are not known.
        options: which of the examples, with which labels.
        batch_size: examples a batch.
        name: of the file, in messages.

    Raises:
        DataError: an array is none of the arguments, of the wrong dtype or not finite, or they differ in length.
    """
    check_batch_size(batch_size)
    given = [key for key in _LABELS if key in arrays]
    inputs = {key: array for key, array in arrays.items() if key not in _LABELS}
    foreign = sorted(set(inputs) - takes) if takes is not None else []
    if not inputs or foreign or len(given) > 1:
        held = ", ".join(sorted(arrays)) or "none"
        known = "" if takes is None else f" (here {', '.join(sorted(takes))})"
        raise DataError(
            f"{name} must hold an array `x`, or arrays named after keyword arguments of the network{known}, and at "
            f"most one of {', '.join(_LABELS)}; it has: {held}. Write it with `numpy.savez(file, x=..., y=...)`."
        )
    prepared = {key: inputs_array(array, key, name) for key, array in inputs.items()}
    labels = arrays[given[0]] if given else None
    examples = len(next(iter(prepared.values())))
    for key, array in [*prepared.items(), *((key, arrays[key]) for key in given)]:
        if array.ndim == 0 or len(array) != examples:
            raise DataError(
                f"{name}: `{key}` has shape {list(array.shape)}, but there are {examples} examples in "
                f"`{next(iter(prepared))}`; the first axis of every array counts the same examples."
            )
    y = None
    if labels is not None and labels.ndim == 1 and labels.dtype.kind in "iu":
        y = labels.astype(np.int64)
    rows, drawn = chosen(y, train_part(examples, y, split, options), split, options)
    if drawn is None and labels is not None:
        drawn = np.ascontiguousarray(labels[rows])

    def batch(examples: Int[np.ndarray, " n"]) -> dict[str, torch.Tensor]:
        made = {key: torch.from_numpy(array[rows[examples]]) for key, array in prepared.items()}
        return made if drawn is None else made | {"labels": torch.from_numpy(drawn[examples])}

    return Indexed(len(rows), batch_size, batch, "")
