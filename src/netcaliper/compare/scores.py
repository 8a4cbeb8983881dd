"""The outputs of several networks for the same examples, with the labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from netcaliper.compare.members import Member
from netcaliper.errors import DataError
from netcaliper.feed.one_pass import Tell
from netcaliper.feed.outputs import Task, prediction
from netcaliper.trace.batches import batches, count_examples

SCORES = 2**30
"""Bytes of outputs that are kept at most; where a network says more, fewer examples are asked."""

_WORDS = {"classification": "choice between classes", "tokens": "choice between tokens", "regression": "regression"}


@dataclass(frozen=True)
class Asked:
    """What the networks answered.

    Attributes:
        scores: by name; empty if the outputs are no predictions.
        labels: right classes, ``None`` if there are none.
        task: what the outputs are.
        valid: for tokens the positions that count.
        warnings: what was left out, in words.
    """

    scores: dict[str, Float[np.ndarray, "n ..."]]
    labels: Int[np.ndarray, " n"] | None = None
    task: Task = "classification"
    valid: Shaped[np.ndarray, "n tokens"] | None = None
    warnings: tuple[str, ...] = ()

    def accuracy(self, name: str) -> float | None:
        """Return the share of labelled examples that a network gets right."""
        own, labels = self.scores.get(name), self.labels
        if own is None or labels is None or self.task != "classification" or not (labels >= 0).any():
            return None
        return float((own.argmax(-1) == labels)[labels >= 0].mean())


def ask(members: Sequence[Member], data: Any, tell: Tell) -> Asked:
    """Run all networks on the same examples and keep their outputs.

    Raises:
        DataError: one network chooses between classes, another one gives values.
    """
    count = count_examples(data, form=members[0].graph.form)
    scores: dict[str, list[np.ndarray]] = {member.name: [] for member in members}
    labels: list[Any] = []
    valid: list[np.ndarray | None] = []
    task: Task | None = None
    kept, most = 0, count
    for batch in batches(data, form=members[0].graph.form):
        part = batch.first(most - kept)
        for member in members:
            found = prediction(member.graph.run(part).output, part)
            if isinstance(found, str):
                return Asked({}, warnings=(f"Predictions were not compared: {found} ({member.name}).",))
            if not scores[member.name]:
                if task not in (None, found.task):
                    raise DataError(
                        f"`networks` must answer the same question, {members[0].name!r} gives a {_WORDS[task]}, "
                        f"{member.name!r} a {_WORDS[found.task]}; compare networks of one task."
                    )
                task = found.task
                size = found.scores[0].numel() * 4 * len(members)
                most = min(most, max(part.size, SCORES // max(size, 1)))
            scores[member.name].append(found.scores.float().cpu().numpy())
        valid.append(None if found.valid is None else found.valid.cpu().numpy())
        labels.append(part.labels)
        kept += part.size
        tell("predictions", kept, min(most, count))
        if kept >= most:
            break
    assert task is not None  # there is a batch
    if task == "tokens" and len({piece.shape[1] for piece in next(iter(scores.values()))}) > 1:
        return Asked({}, warnings=("Predictions were not compared: the sequences differ in length.",))
    whole = {name: np.concatenate(pieces) for name, pieces in scores.items()}
    said = () if kept == count else (f"Predictions were compared on {kept:,} of {count:,} examples.",)
    given = [label for label in labels if isinstance(label, Tensor)]
    usable = len(given) == len(labels) and all(g.dim() == 1 and not g.is_floating_point() for g in given)
    mine = torch.cat(given).long().numpy() if usable else None
    masks = [mask for mask in valid if mask is not None]
    return Asked(whole, mine, task, np.concatenate(masks) if len(masks) == len(valid) else None, said)
