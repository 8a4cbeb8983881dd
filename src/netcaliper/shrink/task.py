"""How good networks are at their task, by example, so that two can be compared in pairs.

Accuracy of a classification, cross-entropy of tokens, R2 of a regression; where no labels say it, nothing.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64
from scipy.stats import t
from torch import Tensor
from torch.nn.functional import cross_entropy

from netcaliper.feed.labels import class_labels
from netcaliper.feed.outputs import Prediction, Task, choices
from netcaliper.reading.shrinking import TaskMetric
from netcaliper.trace.batches import IGNORED, Batch, labels_are_inputs

NAMES: dict[Task, Literal["accuracy", "cross-entropy", "r2"]] = {
    "classification": "accuracy",
    "tokens": "cross-entropy",
    "regression": "r2",
}


def quality(found: Prediction, batch: Batch) -> Float64[np.ndarray, " examples"] | None:
    """Return what the labels of a batch say of every example, ``None`` if they say nothing.

    - one class an example: 1 if it is the answer, else 0;
    - a label for every token, at the token whose scores predict it (-100 is left out): the mean cross-entropy of the
      example in nats; labels that are the input tokens themselves are not shifted and say nothing;
    - floating-point targets: the squared error, summed over the outputs.
    """
    if found.task == "classification":
        labels = class_labels(batch)
        return None if labels is None else (choices(found).cpu() == labels.cpu()).double().numpy()
    if found.task == "tokens":
        return _cross_entropy(found.scores, batch)
    wanted = targets(found, batch)
    return None if wanted is None else ((found.scores.double().cpu() - wanted) ** 2).sum(1).numpy()


def targets(found: Prediction, batch: Batch) -> Float64[Tensor, "examples values"] | None:
    """Return the labels of a regression in the form of its scores, ``None`` if there are none."""
    labels = batch.labels
    if found.task != "regression" or not isinstance(labels, Tensor) or labels.numel() != found.scores.numel():
        return None
    return labels.double().cpu().reshape(found.scores.shape)


def _cross_entropy(scores: Tensor, batch: Batch) -> Float64[np.ndarray, " examples"] | None:
    labels = batch.labels
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.shape != scores.shape[:2]:
        return None
    labels = labels.to(scores.device, torch.int64)
    kept = labels != IGNORED
    if labels_are_inputs(batch, labels) or not bool(kept.any(1).all()):
        return None
    each = cross_entropy(scores.double().movedim(2, 1), labels, ignore_index=IGNORED, reduction="none")
    return (each.sum(1) / kept.sum(1)).cpu().numpy()


def metric_of(
    task: Task,
    before: Float64[np.ndarray, " examples"],
    after: Float64[np.ndarray, " examples"],
    scatter: float,
) -> TaskMetric | None:
    """Return the means over examples, with the paired 95 % t interval of the difference.

    Args:
        task: of the network, as in ``Prediction``.
        before: from ``quality``, of the given network.
        after: of the other one.
        scatter: of a regression the sum of squared deviations of the targets from their means. R2 is the mean over
            examples of ``1 - n error / scatter``; ``None`` is returned if the targets do not vary.
    """
    if task == "regression":
        if not scatter > 0:
            return None
        before, after = (1 - len(each) * each / scatter for each in (before, after))
    difference = after - before
    n, mean = len(difference), float(difference.mean())
    half = float(t.ppf(0.975, n - 1) * difference.std(ddof=1) / np.sqrt(n)) if n > 1 else None
    return TaskMetric(
        name=NAMES[task],
        before=float(before.mean()),
        after=float(after.mean()),
        difference=mean,
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
    )
