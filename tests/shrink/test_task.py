"""How good networks are at their task, against scikit-learn and torch on all examples at once."""

import numpy as np
import pytest
import torch
from scipy.stats import ttest_rel
from sklearn.metrics import r2_score
from torch import Tensor
from torch.nn.functional import cross_entropy

from netcaliper.feed.outputs import Prediction
from netcaliper.shrink.task import metric_of, quality, targets
from netcaliper.trace.batches import Batch, as_batch

G = torch.Generator().manual_seed(0)


def batch(inputs: Tensor | dict[str, Tensor], labels: Tensor | None) -> Batch:
    return as_batch(inputs if labels is None else (inputs, labels))


def test_a_class_is_right_or_wrong():
    scores, labels = torch.randn(20, 3, generator=G), torch.randint(0, 3, (20,), generator=G)
    found = quality(Prediction("classification", scores), batch(scores, labels))
    assert found is not None
    assert found.tolist() == (scores.argmax(1) == labels).double().tolist()
    assert quality(Prediction("classification", scores), batch(scores, None)) is None


def test_r2_is_that_of_scikit_learn():
    x, y = torch.randn(30, 2, generator=G), torch.randn(30, 2, generator=G)
    one, other = (y + noise * torch.randn(30, 2, generator=G) for noise in (0.1, 0.5))
    errors = [quality(Prediction("regression", scores), batch(x, y)) for scores in (one, other)]
    wanted = targets(Prediction("regression", one), batch(x, y))
    assert wanted is not None
    before, after = (each for each in errors if each is not None)
    metric = metric_of("regression", before, after, float((wanted - wanted.mean(0)).square().sum()))
    assert metric is not None
    assert metric.name == "r2"
    for value, scores in ((metric.before, one), (metric.after, other)):
        assert value == pytest.approx(r2_score(y, scores, multioutput="variance_weighted"), abs=1e-6)
    assert metric_of("regression", before, after, 0.0) is None


def test_targets_of_another_size_say_nothing():
    x = torch.randn(5, 2, generator=G)
    assert quality(Prediction("regression", x), batch(x, torch.randn(5, 3, generator=G))) is None


def tokens(labels: Tensor, ids: Tensor) -> Batch:
    return as_batch({"input_ids": ids, "labels": labels})


def test_cross_entropy_is_taken_over_the_tokens_that_have_a_label():
    scores, ids = torch.randn(4, 6, 7, generator=G), torch.randint(0, 7, (4, 6), generator=G)
    labels = torch.randint(0, 7, (4, 6), generator=G)
    labels[0, 3:], labels[2, 0] = -100, -100
    found = quality(Prediction("tokens", scores), tokens(labels, ids))
    assert found is not None
    expected = [float(cross_entropy(s[y != -100].double(), y[y != -100])) for s, y in zip(scores, labels, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    metric = metric_of("tokens", found, found + np.arange(4.0), 0.0)
    assert metric is not None
    low, high = ttest_rel(found + np.arange(4.0), found).confidence_interval(0.95)
    assert (metric.name, metric.low, metric.high) == ("cross-entropy", pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize("fault", ["unshifted", "an example without labels", "another length", "no labels"])
def test_token_labels_that_say_nothing(fault):
    scores, ids = torch.randn(4, 6, 7, generator=G), torch.randint(0, 7, (4, 6), generator=G)
    labels = torch.randint(0, 7, (4, 6), generator=G)
    if fault == "unshifted":
        labels = ids.clone()
    if fault == "an example without labels":
        labels[1] = -100
    if fault == "another length":
        labels = labels[:, 1:]
    given = as_batch({"input_ids": ids}) if fault == "no labels" else tokens(labels, ids)
    assert quality(Prediction("tokens", scores), given) is None
