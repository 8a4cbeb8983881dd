"""What a model output predicts, and how far apart two predictions are, against numpy and torch."""

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch import Tensor
from torch.nn import functional as F

from netcaliper.feed import outputs
from netcaliper.feed.outputs import Prediction, choices, divergence, prediction, same, squared_error, weights
from netcaliper.trace.batches import Batch, as_batch

N, T, V = 4, 6, 5


def images(labels: Any = None) -> Batch:
    return as_batch((torch.randn(N, 3), labels) if labels is not None else torch.randn(N, 3))


def tokens(mask: Tensor | None = None) -> Batch:
    ids = torch.randint(0, V, (N, T), generator=torch.Generator().manual_seed(0))
    return as_batch({"input_ids": ids} | ({} if mask is None else {"attention_mask": mask}))


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("output", "batch", "task"),
    [
        (draw(N, 3), images(), "classification"),
        (draw(N, 2), images(torch.zeros(N, dtype=torch.int64)), "classification"),
        (draw(N, 2), tokens(), "classification"),  # a sequence classified as a whole
        (draw(N, T, V), tokens(), "tokens"),
        (draw(N), images(), "regression"),
        (draw(N, 1), images(torch.zeros(N, dtype=torch.int64)), "regression"),
        (draw(N, 2), images(torch.zeros(N, 2)), "regression"),
        (draw(N, 3), images(torch.zeros(N)), "regression"),
        (draw(N, T, V), images(torch.zeros(N, T, V)), "regression"),
    ],
)
def test_tasks(output: Tensor, batch: Batch, task: str) -> None:
    found = prediction(output, batch)
    assert isinstance(found, Prediction)
    assert found.task == task
    assert torch.equal(found.scores, output.reshape(N, -1) if task == "regression" else output)


def test_logits_are_found_by_name_and_else_the_first_tensor_counts() -> None:
    logits, other = draw(N, 3), draw(N, 7, seed=1)
    for output in (
        {"hidden": other, "logits": logits},
        OrderedDict(hidden=other, logits=logits),
        (logits, other),
        [None, logits],
        {"scores": logits, "cache": other},
    ):
        found = prediction(output, images())
        assert isinstance(found, Prediction)
        assert found.scores is logits
        assert found.of(output).scores is logits


@pytest.mark.parametrize(
    ("output", "batch", "words"),
    [
        ({"cache": object()}, images(), "holds no tensor"),
        (torch.zeros(N, 3, dtype=torch.int64), images(), "holds int64, no scores"),
        (draw(N + 1, 3), images(), "has not one row for each of the 4 examples"),
        (torch.tensor(1.0), images(), "has not one row for each"),
        (draw(N, T, V), images(), "is neither scores of classes"),
        (draw(N, T + 1, V), tokens(), "is neither scores of classes"),
        (draw(N, 3, 4, 4), images(), "is neither scores of classes"),
    ],
)
def test_what_is_no_prediction_is_said_in_words(output: Any, batch: Batch, words: str) -> None:
    found = prediction(output, batch)
    assert isinstance(found, str)
    assert words in found


def test_an_example_without_a_valid_token_is_named() -> None:
    mask = torch.ones(N, T, dtype=torch.int64)
    mask[2] = 0
    assert prediction(draw(N, T, V), tokens(mask)) == "`attention_mask` leaves no token of example 2"


def test_of_an_encoder_and_a_decoder_the_mask_of_the_decoder_counts() -> None:
    ids, theirs = torch.ones(N, 9, dtype=torch.int64), torch.ones(N, T, dtype=torch.int64)
    mask = theirs.clone()
    mask[1, 2:] = 0
    given = {"input_ids": ids, "attention_mask": ids, "decoder_input_ids": theirs, "decoder_attention_mask": mask}
    found = prediction(draw(N, T, V), as_batch(given))
    assert isinstance(found, Prediction)
    assert found.task == "tokens"
    assert torch.equal(torch.as_tensor(found.valid), mask != 0)


def pair(task: str, mask: Tensor | None = None) -> tuple[Prediction, Prediction]:
    batch = tokens(mask) if task == "tokens" else images()
    shape = {"tokens": (N, T, V), "classification": (N, V), "regression": (N, 1)}[task]
    first, second = (prediction(draw(*shape, seed=seed), batch) for seed in (1, 2))
    assert isinstance(first, Prediction)
    assert isinstance(second, Prediction)
    return first, second


def test_of_classes_each_example_gives_0_or_1() -> None:
    first, second = pair("classification")
    a, b = first.scores.numpy(), second.scores.numpy()
    assert same(first, second).tolist() == (a.argmax(1) == b.argmax(1)).tolist()
    assert same(first, first).tolist() == [1.0] * N
    p, q = softmax(a.astype(float), 1), softmax(b.astype(float), 1)
    assert divergence(first, second).numpy() == pytest.approx(rel_entr(p, q).sum(1), abs=1e-6)
    assert divergence(first, first).tolist() == [0.0] * N
    assert weights(first).tolist() == [1.0] * N


def test_of_tokens_only_valid_ones_count() -> None:
    mask = torch.ones(N, T, dtype=torch.int64)
    mask[0, 3:], mask[1, :2] = 0, 0
    first, second = pair("tokens", mask)
    changed = second.scores.clone()
    changed[mask == 0] = torch.nan  # nothing there may matter
    second = second.of(changed)
    alike = choices(first) == choices(second)
    p, q = (F.log_softmax(one.scores.double(), -1) for one in (first, second))
    for i in range(N):
        valid = mask[i] == 1
        assert float(same(first, second)[i]) == pytest.approx(float(alike[i, valid].double().mean()))
        expected = F.kl_div(q[i, valid], p[i, valid], log_target=True, reduction="none").sum(-1).mean()
        assert float(divergence(first, second)[i]) == pytest.approx(float(expected))
    assert weights(first).sum(1).tolist() == pytest.approx([1.0] * N)
    assert bool((weights(first)[mask == 0] == 0).all())
    everything, other = pair("tokens")
    assert same(everything, other).numpy() == pytest.approx(
        (choices(everything) == choices(other)).double().mean(1).numpy()
    )
    assert weights(everything).sum(1).tolist() == pytest.approx([1.0] * N)


def test_a_divergence_is_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = pair("tokens")
    whole = divergence(first, second)
    monkeypatch.setattr(outputs, "SCORES_AT_ONCE", 2 * V)
    assert torch.equal(divergence(first, second), whole)


def test_scores_that_are_no_numbers_never_agree() -> None:
    first, _ = pair("classification")
    broken = first.scores.clone()
    broken[0], broken[1, 0] = torch.nan, torch.nan
    assert same(first, first.of(broken)).tolist() == [0.0, 0.0, 1.0, 1.0]
    assert divergence(first, first.of(broken)).tolist() == [np.inf, np.inf, 0.0, 0.0]
    excluded = first.scores.clone()
    excluded[:, 0] = -torch.inf  # a class that is excluded on both sides is no difference
    assert divergence(first.of(excluded), first.of(excluded)).tolist() == [0.0] * N
    assert divergence(first, first.of(excluded)).tolist() == [np.inf] * N


def test_the_error_of_a_regression_is_squared_and_stays_finite() -> None:
    first, second = pair("regression")
    expected = (second.scores - first.scores).square().sum(1)
    assert squared_error(first, second).numpy() == pytest.approx(expected.numpy())
    broken = first.scores.clone()
    broken[0], broken[1], broken[2] = torch.nan, torch.inf, 3e38
    found = squared_error(first, first.of(broken))
    assert found[:2].tolist() == [outputs.ENORMOUS] * 2
    assert bool(torch.isfinite(found).all())
    assert float(found[3]) == 0.0


def test_the_first_examples_are_cut_out_with_their_tokens() -> None:
    first, _ = pair("tokens", torch.ones(N, T, dtype=torch.int64))
    cut = first.first(2)
    assert cut.scores.shape == (2, T, V)
    assert cut.valid is not None
    assert cut.valid.shape == (2, T)
