"""The comparison of two answers."""

import math

import torch
from torch import nn

from netcaliper.surgery.answers import answer, difference, in_float64
from netcaliper.trace.batches import as_batch

INF, NAN = math.inf, math.nan


def test_the_difference_is_relative_to_the_largest_expected_value():
    assert difference(torch.tensor([4.0, 0.0]), torch.tensor([4.0, 1.0])) == 0.25
    assert difference({"a": torch.ones(2), "b": (torch.ones(1),)}, {"a": torch.ones(2), "b": (torch.zeros(1),)}) == 1


def test_infinite_and_missing_values_differ_from_numbers_only():
    same = torch.tensor([1.0, -INF, NAN])
    assert difference(same, same.clone()) == 0
    assert difference(same, torch.tensor([1.0, 0.0, NAN])) == INF
    assert difference(same, torch.tensor([1.0, -INF, 0.0])) == INF


def test_other_shapes_and_counts_are_infinitely_far():
    assert difference(torch.ones(2), torch.ones(3)) == INF
    assert difference(torch.ones(2), (torch.ones(2), torch.ones(2))) == INF
    assert difference(torch.ones(0), torch.ones(0)) == 0


def test_a_batch_in_float64_keeps_its_token_ids():
    batch = in_float64(as_batch({"x": torch.ones(2), "ids": torch.ones(2, dtype=torch.int64)}))
    assert (batch.kwargs["x"].dtype, batch.kwargs["ids"].dtype) == (torch.float64, torch.int64)


def test_an_answer_has_no_gradient():
    assert not answer(nn.Linear(2, 2), as_batch(torch.ones(3, 2))).requires_grad
