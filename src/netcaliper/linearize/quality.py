"""How good a network is: accuracy with its exact interval, example by example, or any number that the user computes."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import nn

from netcaliper.errors import DataError
from netcaliper.fit.epoch import labelled_logits
from netcaliper.linearize.part import Part
from netcaliper.reading.linearization import Lost, Quality
from netcaliper.stats.intervals import clopper_pearson
from netcaliper.stats.paired_loss import paired_loss
from netcaliper.trace.batches import Batch

Judge = Callable[[nn.Module, Part], float]
"""From a network in eval mode, and a re-iterable of ``Batch`` (with the index of every example), to a number; larger is
better."""


@dataclass(frozen=True)
class Answers:
    """What a classifier answers on one part of the data, one entry a label (an example, or a token).

    Attributes:
        answer: the class with the largest logit.
        label: the right one.
        per: ``example`` or ``token``.
    """

    answer: Int64[np.ndarray, " labels"]
    label: Int64[np.ndarray, " labels"]
    per: str

    @property
    def right(self) -> Bool[np.ndarray, " labels"]:
        """Whether the answer is right."""
        return self.answer == self.label

    def accuracy(self) -> Quality:
        """Return the share of right answers with its 95 % interval (Clopper and Pearson 1934)."""
        right, count = int(self.right.sum()), len(self.label)
        low, high = clopper_pearson(right, count)
        over = f"95 % Clopper-Pearson over {count:,} {self.per}s"
        return Quality(value=right / count, low=low, high=high, over=over, sample=count)

    def chance(self) -> float:
        """Return the accuracy of the best constant answer: the share of the most frequent class."""
        return float(np.bincount(self.label).max() / len(self.label))

    def by_class(self) -> Float64[np.ndarray, " classes"]:
        """Return the accuracy on each class, NaN for a class without a label."""
        count = np.bincount(self.label).astype(np.float64)
        right = np.bincount(self.label, weights=self.right, minlength=len(count))
        return np.divide(right, count, out=np.full(len(count), np.nan), where=count > 0)

    def lost_against(self, reference: "Answers") -> Lost:
        """Return what is lost against other answers to the same questions."""
        before, after = (side.right.astype(np.float64) for side in (reference, self))
        loss = paired_loss(before, after, binary=True, gains=True)
        return Lost(value=loss.value, low=loss.low, high=loss.high)

    def agreement(self, other: "Answers") -> float:
        """Return the share of equal answers."""
        return float((self.answer == other.answer).mean())


@dataclass(frozen=True)
class Judged:
    """The quality on both parts, and the answers on the verify part where there are some."""

    select: Quality
    verify: Quality
    chance: float | None = None
    answers: Answers | None = None


@torch.no_grad()
def answers(model: nn.Module, part: Iterable[Batch]) -> Answers:
    """Run a classifier in eval mode, which it keeps, over one part.

    Raises:
        DataError: there are no labels, or they fit no output.
        InputError: the model fails on a batch, or returns no logits.
    """
    model.eval()
    answer, label, per = [], [], "example"
    for batch in part:
        logits, labels = labelled_logits(model, batch)
        answer.append(logits.argmax(1).cpu().numpy())
        label.append(labels.cpu().numpy())
        per = "token" if batch.labels.ndim == 2 else per
    return Answers(np.concatenate(answer).astype(np.int64), np.concatenate(label).astype(np.int64), per)


def judged(model: nn.Module, select: Part, verify: Part, judge: Judge | None) -> Judged:
    """Return how good a network is on both parts: by ``judge``, or by its accuracy.

    Raises:
        DataError: as ``answers``; or what ``judge`` returns is no finite number.
    """
    if judge is None:
        chosen, checked = answers(model, select), answers(model, verify)
        return Judged(chosen.accuracy(), checked.accuracy(), chosen.chance(), checked)
    model.eval()
    values = []
    for part in (select, verify):
        with torch.no_grad():
            value = float(judge(model, part))
        if not math.isfinite(value):
            raise DataError(f"`quality` must return a finite number, got {value} on the {part.which} examples.")
        values.append(Quality(value=value, sample=part.size()))
    return Judged(*values)
