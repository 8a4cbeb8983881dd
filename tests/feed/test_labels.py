"""Labels are judged only where they plainly belong to a classifier."""

import pytest
import torch

from netcaliper.errors import DataError
from netcaliper.feed.labels import IGNORED, check_labels
from netcaliper.trace.batches import as_batch

OUTPUT = torch.zeros(4, 3)


def labelled(values, **kinds):
    return as_batch((torch.zeros(4, 2), torch.tensor(values, **kinds)), start=8)


@pytest.mark.parametrize(("values", "label", "example"), [([0, 1, 2, 3], 3, 11), ([0, -1, 2, 5], -1, 9)])
def test_a_label_without_an_output_is_refused(values, label, example):
    with pytest.raises(
        DataError, match=rf"in 0 \.\. 2 because `model` has 3 outputs, got {label} in example {example}"
    ):
        check_labels(labelled(values), OUTPUT)


@pytest.mark.parametrize(
    ("batch", "output"),
    [
        (labelled([0, 1, 2, 0]), OUTPUT),
        (labelled([0, 1, 2, -100]), OUTPUT),  # left out by cross-entropy
        (labelled([0, 1, 1, 0]), torch.zeros(4, 1)),  # one logit for two classes
        (labelled([0.5, 7.0, 3.0, 9.0]), OUTPUT),  # a regression
        (labelled([[9, 9]] * 4), OUTPUT),  # one label a token
        (labelled([9, 9, 9, 9]), (OUTPUT, OUTPUT)),  # structured outputs
        (as_batch(torch.zeros(4, 2)), OUTPUT),
    ],
)
def test_everything_else_is_left_alone(batch, output):
    check_labels(batch, output)


def test_the_logits_of_a_mapping_and_of_tokens_are_judged_too():
    x = torch.zeros(3, 4)
    with pytest.raises(DataError, match=r"must lie in 0 .. 1 .*got 4 in example 2"):
        check_labels(as_batch((x, torch.tensor([0, 1, 4]))), {"loss": x[0, 0], "logits": torch.zeros(3, 2)})
    check_labels(as_batch((x, torch.tensor([0, 1, 4]))), {"features": torch.zeros(3, 2)})
    tokens = torch.tensor([[0, 1], [IGNORED, 6], [2, 7]])
    with pytest.raises(DataError, match=r"must lie in 0 .. 6 .*got 7 in example 2"):
        check_labels(as_batch((x, tokens)), torch.zeros(3, 2, 7))
    check_labels(as_batch((x, tokens)), torch.zeros(3, 2, 8))
