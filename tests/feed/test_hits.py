"""Right examples are counted, or it is said that they cannot be."""

import torch

from netcaliper.feed.hits import accuracy, hits
from netcaliper.trace.batches import as_batch

LOGITS = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]])


def batch(labels):
    return as_batch((torch.zeros(3, 4), labels))


def test_right_examples_are_counted():
    assert hits(LOGITS, batch(torch.tensor([0, 0, 0]))) == (2, 3)


def test_without_classes_nothing_is():
    for labels in (torch.zeros(3), torch.zeros(3, 2).long(), None):
        assert hits(LOGITS, batch(labels)) is None
    assert hits(LOGITS[:, 0], batch(torch.zeros(3).long())) is None


def test_accuracy_is_over_all_batches_or_none():
    one = batch(None)
    assert accuracy([(one, (2, 3)), (one, (0, 1))]) == 0.5
    assert accuracy([(one, (2, 3)), (one, None)]) is None
