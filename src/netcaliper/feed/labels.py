"""Labels that come with the data.

Class selectivity reads them; and labels that cannot be right show that data and model do not match.
"""

from collections.abc import Mapping
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

    Judged are integer labels, one an example against outputs ``[examples, classes]`` with two or more classes, or one a
    token against ``[examples, tokens, vocabulary]``; the outputs of a mapping are its ``logits``. Anything else (one
    logit, targets of a regression, several outputs) is left alone.

    Args:
        batch: a batch with its labels, if it has any.
        output: what the model returned for it.

    Raises:
        DataError: a label is below 0 or not below the number of outputs; the message names the first example.
    """
    labels, scores = batch.labels, output.get("logits") if isinstance(output, Mapping) else output
    if not isinstance(labels, Tensor) or not isinstance(scores, Tensor):
        return
    tokens = scores.dim() == 3 and labels.dim() == 2
    if not _whole(labels) or not (tokens or scores.dim() == 2) or labels.shape != scores.shape[:-1]:
        return
    classes = scores.shape[-1]
    wrong = ((labels < 0) & (labels != IGNORED)) | (labels >= classes)
    if classes >= 2 and bool(wrong.any()):
        place = tuple(wrong.nonzero()[0].tolist())
        raise DataError(
            f"labels of `data` must lie in 0 .. {classes - 1} because `model` has {classes} outputs, got "
            f"{int(labels[place])} in example {int(batch.indices[place[0]])}; renumber the labels, give the data that "
            "the model was trained on, or leave labels out."
        )


def _whole(labels: Shaped[Tensor, "..."]) -> bool:
    return not (labels.is_floating_point() or labels.is_complex() or labels.dtype is torch.bool)
