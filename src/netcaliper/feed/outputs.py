"""What a network predicts, and how far the predictions of a changed network are from it.

Everything is given by example, in float64 on the device of the outputs, so that means, intervals and resamples over
examples can be made of it; no average over a batch is taken here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Float64, Int, Shaped
from torch import Tensor

from netcaliper.trace.batches import Batch
from netcaliper.trace.program import tensors_of

Task = Literal["classification", "tokens", "regression"]

MAJORITY = 0.9
"""Share of one class (or token) among the predictions beyond which to agree with them says nothing."""

ENORMOUS = 1e100
"""Stands in for a squared error that is not finite, so that sums over examples stay finite."""

SCORES_AT_ONCE = 2**22
"""Scores that a divergence brings to float64 at a time (a vocabulary has many)."""


@dataclass(frozen=True)
class Prediction:
    """What a network predicts for the examples of a batch.

    Attributes:
        task: ``classification`` (one class an example), ``tokens`` (the next token at every position) or
            ``regression``.
        scores: ``[examples, classes]``, ``[examples, tokens, vocabulary]``, or the values ``[examples, values]`` of a
            regression.
        valid: for tokens the positions that count, by the batch's ``attention_mask`` or, of a decoder behind an
            encoder, ``decoder_attention_mask``; ``None`` for all.
    """

    task: Task
    scores: Shaped[Tensor, "examples ..."]
    valid: Shaped[Tensor, "examples tokens"] | None = None

    def of(self, output: Any) -> "Prediction":
        """Return what another output of the same network for the same batch predicts."""
        scores = main_output(output)
        assert scores is not None
        return replace(self, scores=scores.reshape(len(scores), -1) if self.task == "regression" else scores)

    def first(self, examples: int) -> "Prediction":
        """Return what is predicted for the first examples."""
        valid = None if self.valid is None else self.valid[:examples]
        return replace(self, scores=self.scores[:examples], valid=valid)

    def repeated(self, times: int) -> "Prediction":
        """Return the same again and again, ``times * examples`` in all."""
        scores, valid = (
            None if part is None else part.expand(times, *part.shape).flatten(0, 1)
            for part in (self.scores, self.valid)
        )
        assert scores is not None
        return replace(self, scores=scores, valid=valid)


def prediction(output: Any, batch: Batch) -> Prediction | str:
    """Return what a model output predicts, or why it is no prediction, in words.

    Read is the tensor called ``logits`` of a mapping, else the first tensor. ``[N, classes]`` with two or more classes
    is a classification, unless the labels of the batch are floating-point numbers; ``[N, T, vocabulary]`` for token
    inputs of length T predicts tokens; ``[N]``, ``[N, 1]`` and outputs of the shape of floating-point labels are a
    regression.
    """
    scores = main_output(output)
    if scores is None:
        return "the output holds no tensor"
    shape = tuple(scores.shape)
    if not scores.is_floating_point():
        return f"the output {shape} holds {str(scores.dtype).removeprefix('torch.')}, no scores"
    if not shape or shape[0] != batch.size:
        return f"the output {shape} has not one row for each of the {batch.size} examples"
    labels = batch.labels
    real = isinstance(labels, Tensor) and labels.is_floating_point()
    if scores.dim() == 1 or shape[1:] == (1,) or (real and (scores.dim() == 2 or labels.shape == scores.shape)):
        return Prediction("regression", scores.reshape(shape[0], -1))
    if scores.dim() == 2:
        return Prediction("classification", scores)
    if scores.dim() == 3 and shape[1] == batch.token_length() and shape[2] > 1:
        valid = _valid(batch, scores)
        if valid is not None and not bool(valid.any(1).all()):
            first = int((~valid.any(1)).nonzero()[0])
            index = int(batch.indices[first]) if len(batch.indices) else first
            return f"`attention_mask` leaves no token of example {index}"
        return Prediction("tokens", scores, valid)
    return f"the output {shape} is neither scores of classes, nor of tokens, nor the values of a regression"


def main_output(output: Any) -> Tensor | None:
    """Return the tensor that holds the scores: ``logits`` of a mapping, else the first; ``None`` if there is none."""
    if isinstance(output, Mapping) and isinstance(output.get("logits"), Tensor):
        return output["logits"]
    return next(iter(tensors_of(output)), None)


def choices(prediction: Prediction) -> Int[Tensor, "examples ..."]:
    """Return the class (or the token at every position) with the largest score."""
    return prediction.scores.argmax(-1)


def weights(prediction: Prediction) -> Float64[Tensor, "examples ..."]:
    """Return what every choice weighs: 1, and for tokens ``1 / valid tokens of its example``, 0 where not valid."""
    scores = prediction.scores
    shape = scores.shape[:-1]
    if prediction.task != "tokens":
        return torch.ones(shape, dtype=torch.float64, device=scores.device)
    if prediction.valid is None:
        return torch.full(shape, 1 / shape[1], dtype=torch.float64, device=scores.device)
    return prediction.valid.double() / prediction.valid.sum(1, keepdim=True)


def same(plain: Prediction, changed: Prediction) -> Float64[Tensor, " examples"]:
    """Return the share of an example's predictions that are the same: 0 or 1, for tokens the share of its valid tokens.

    A choice among scores that are not numbers is never the same. Not for a regression.
    """
    alike = (choices(plain) == choices(changed)) & ~changed.scores.isnan().any(-1)
    return _by_example(alike.double(), plain)


def divergence(plain: Prediction, changed: Prediction) -> Float64[Tensor, " examples"]:
    """Return the Kullback-Leibler divergence ``KL(plain || changed)`` in nats, for tokens the mean over valid ones.

    Not for a regression. Infinite where the changed network excludes what the plain one allows, or where its scores
    are not numbers.
    """
    before, after = (p.scores.flatten(0, -2) for p in (plain, changed))
    size = max(1, SCORES_AT_ONCE // before.shape[1])
    rows = [_divergence(a, b) for a, b in zip(before.split(size), after.split(size), strict=True)]
    return _by_example(torch.cat(rows).reshape(plain.scores.shape[:-1]), plain)


def squared_error(plain: Prediction, changed: Prediction) -> Float64[Tensor, " examples"]:
    """Return ``||y - y0||^2`` of a regression by example; what is not finite counts as ``ENORMOUS``."""
    error = (changed.scores.double() - plain.scores.double()).square().sum(1)
    return torch.nan_to_num(error, nan=ENORMOUS, posinf=ENORMOUS).clamp(max=ENORMOUS)


def _divergence(before: Float[Tensor, "rows scores"], after: Float[Tensor, "rows scores"]) -> Float64[Tensor, " rows"]:
    log_before, log_after = torch.log_softmax(before.double(), -1), torch.log_softmax(after.double(), -1)
    share = log_before.exp()
    terms = torch.where(share > 0, share * (log_before - log_after), 0.0)
    return torch.nan_to_num(terms.sum(-1), nan=torch.inf, posinf=torch.inf)


def _valid(batch: Batch, scores: Tensor) -> Tensor | None:
    mask = batch.output_mask()
    if mask is None or mask.shape != scores.shape[:2]:
        return None
    return mask.to(scores.device) != 0


def _by_example(values: Float64[Tensor, "examples ..."], plain: Prediction) -> Float64[Tensor, " examples"]:
    """Return the weighted sum over the choices of every example."""
    if plain.task != "tokens":
        return values
    if plain.valid is None:
        return values.mean(1)
    return torch.where(plain.valid, values, 0.0).sum(1) / plain.valid.sum(1)
