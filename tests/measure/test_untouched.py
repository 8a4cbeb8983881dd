"""What the untouched network predicts, and when agreeing with it says nothing."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from netcaliper.feed.protocol import Plan
from netcaliper.measure.untouched import Untouched
from netcaliper.stats.sampling import SELECT
from netcaliper.trace.batches import Batch, as_batch, batches


def fed(scores: Tensor, examples: int, sizes: int = 10, inputs: Any = None) -> Untouched:
    """Read scores of all examples, in batches."""
    plan = Plan(len(scores), 0)
    untouched = Untouched(plan, examples)
    raw = torch.zeros(len(scores), 3) if inputs is None else inputs
    for batch in batches(list(raw.split(sizes))):
        untouched.update(batch, scores[batch.indices])
    return untouched


def one_hot(counts: list[int]) -> Tensor:
    return torch.eye(len(counts)).repeat_interleave(torch.tensor(counts), 0)


def spread(select: list[int], examples: int = 200) -> Tensor:
    """Return scores so that the first select examples choose classes as often as asked."""
    scores = one_hot([examples] + [0] * (len(select) - 1))
    chosen = np.flatnonzero(Plan(examples, 0).split == SELECT)[: sum(select)]
    scores[chosen] = one_hot(select)
    return scores


def test_only_the_first_select_examples_count_each_of_them_once() -> None:
    scores = spread([5, 9, 6])
    untouched = fed(scores, 20, sizes=7)
    assert untouched.shares().tolist() == [0.25, 0.45, 0.3]
    assert bool(untouched.seen.all())
    again = next(batches([torch.zeros(200, 3)]))
    untouched.update(again, scores)
    untouched.update(again.take(torch.arange(10)).repeated(32), scores[:10].repeat(4, 1)[:32])  # filled up
    assert untouched.shares().tolist() == [0.25, 0.45, 0.3]
    assert untouched.undefined() is None


@pytest.mark.parametrize(("counts", "words"), [([18, 2], None), ([19, 1], "one class holds 95.0% of the predictions")])
def test_one_class_may_hold_nine_tenths_and_no_more(counts: list[int], words: str | None) -> None:
    reason = fed(spread(counts), 20).undefined()
    assert (reason is None) == (words is None)
    if words is not None and reason is not None:
        assert reason.startswith("undefined")
        assert words in reason
        assert "more than 90%" in reason


def test_of_tokens_the_commonest_token_is_named() -> None:
    ids = torch.zeros(80, 4, dtype=torch.int64)
    scores = torch.eye(6)[torch.full((80, 4), 2)]
    assert "one token holds 100.0%" in str(fed(scores, 10, inputs=ids).undefined())


def regression(values: Tensor, examples: int) -> Untouched:
    plan = Plan(len(values), 0)
    untouched = Untouched(plan, examples)
    for batch in batches([(part, part[:, 0]) for part in values.split(30)]):
        untouched.update(batch, values[batch.indices])
    return untouched


def test_the_scale_of_a_regression_is_the_distance_from_the_mean_of_the_sample() -> None:
    values = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)) + 5
    untouched = regression(values, 20)
    mine = values[np.flatnonzero(Plan(200, 0).split == SELECT)[:20]].double().numpy()
    assert untouched.scale() == pytest.approx(((mine - mine.mean(0)) ** 2).sum(1))
    assert untouched.undefined() is None
    for constant in (torch.full((200, 2), 0.1), 7e3 * (1 + 1e-7 * torch.randn(200, 2).sign())):
        assert "the outputs are the same for all examples" in str(regression(constant, 20).undefined())


def test_two_halves_are_the_whole() -> None:
    scores = spread([5, 9, 6])
    whole, left, right, nothing = (Untouched(Plan(200, 0), 20) for _ in range(4))
    for i, batch in enumerate(batches(list(torch.zeros(200, 3).split(10)))):
        whole.update(batch, scores[batch.indices])
        (left if i % 2 else right).update(batch, scores[batch.indices])
    nothing.merge(left)
    nothing.merge(right)
    nothing.merge(Untouched(Plan(200, 0), 20))
    assert nothing.shares().tolist() == whole.shares().tolist()
    assert nothing.seen.tolist() == whole.seen.tolist()
    assert nothing.task == "classification"


def test_what_is_no_prediction_is_remembered_in_words() -> None:
    untouched, other = (Untouched(Plan(20, 0), 5) for _ in range(2))
    batch: Batch = as_batch(torch.zeros(20, 3))
    assert untouched.update(batch, torch.zeros(20, 3, 4, 4)) is None
    assert untouched.reason is not None
    other.merge(untouched)
    assert other.reason == untouched.reason
