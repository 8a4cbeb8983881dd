"""Labels that come with the data.

Class selectivity reads them; and labels that cannot be right show that data and model do not match.
"""

from typing import Any

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from netcaliper.errors import DataError
from netcaliper.trace.batches import IGNORED, Batch


def class_labels(batch: Batch) -> Int[Tensor, " examples"] | None:
    """Return the labels if there is one integer class an example, else ``None``."""
    labels = batch.labels
    if not isinstance(labels, Tensor) or not _whole(labels) or labels.shape != (batch.size,):
        return None
    return labels.to(torch.int64)


def check_labels(batch: Batch, output: Any) -> None:
    """Refuse labels that no output of a classifier stands for.

    Judged are one integer label an example against outputs ``[examples, classes]`` with two or more classes; anything
    else (one logit, targets of a regression, structured outputs) is left alone.

    Args:
        batch: a batch with its labels, if it has any.
        output: what the model returned for it.

    Raises:
        DataError: a label is below 0 or not below the number of outputs; the message names the first example.
    """
    labels = batch.labels
    if not isinstance(labels, Tensor) or not isinstance(output, Tensor):
        return
    if not _whole(labels) or labels.shape != (batch.size,) or output.dim() != 2 or output.shape[1] < 2:
        return
    classes = output.shape[1]
    wrong = ((labels < 0) & (labels != IGNORED)) | (labels >= classes)
    if bool(wrong.any()):
        first = int(wrong.nonzero()[0])
        raise DataError(
            f"labels of `data` must lie in 0 .. {classes - 1} because `model` has {classes} outputs, got "
            f"{int(labels[first])} in example {int(batch.indices[first])}; renumber the labels, give the data that the "
            "model was trained on, or leave labels out."
        )


def _whole(labels: Shaped[Tensor, "..."]) -> bool:
    return not (labels.is_floating_point() or labels.is_complex() or labels.dtype is torch.bool)
