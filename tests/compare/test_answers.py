import numpy as np
import pytest
import torch

from netcaliper.compare.answers import answers
from netcaliper.errors import DataError, InputError

SCORES = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
TOKENS = np.random.default_rng(1).normal(size=(4, 5, 3)).astype(np.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_tensors_and_arrays_are_read_alike(dtype):
    tensor = torch.from_numpy(SCORES).to(dtype).requires_grad_()
    found = answers({"a": tensor, "b": SCORES}, torch.arange(6) % 3)
    assert found.names == ("a", "b")
    assert found.classes == 3
    assert found.chosen[0].tolist() == tensor.argmax(1).tolist()
    assert np.array_equal(found.scores[1], SCORES)
    assert found.right([1])[0].tolist() == (SCORES.argmax(1) == np.arange(6) % 3).tolist()


def test_examples_without_a_label_are_known():
    found = answers({"a": SCORES}, np.array([0, -100, 2, 1, -100, 0]))
    assert found.labeled.tolist() == [True, False, True, True, False, True]
    assert found.right([0]).shape == (1, 4)
    assert not answers({"a": SCORES}, None).labeled.any()


def test_rows_of_tokens_are_the_valid_ones():
    valid = torch.ones(4, 5, dtype=torch.int64)
    valid[1, 2:] = 0
    found = answers({"a": TOKENS}, torch.zeros(4, 5, dtype=torch.int64), valid)
    assert found.labels is None
    assert np.bincount(found.example).tolist() == [5, 2, 5, 5]
    assert np.array_equal(found.scores[0], TOKENS[valid.numpy() == 1])


@pytest.mark.parametrize(
    ("scores", "labels", "valid", "said"),
    [
        ({}, None, None, "at least one network"),
        ({"a": SCORES, "b": SCORES[:5]}, None, None, r"'b'.*same examples.*\(5, 3\).*one loader"),
        ({"a": SCORES, "b": SCORES[:, :2]}, None, None, "'b'.*same classes as those of 'a', got 2 and 3"),
        ({"a": SCORES[:, :1]}, None, None, "one class"),
        ({"a": SCORES[:, 0]}, None, None, r"\[examples, classes\]"),
        ({"a": SCORES[:0]}, None, None, "at least one example"),
        ({"a": SCORES, "b": TOKENS}, None, None, "same examples"),
        ({"a": SCORES > 0}, None, None, "floating-point"),
        ({"a": np.where(np.arange(6)[:, None] == 4, np.nan, SCORES)}, None, None, "'a'.*finite.*example 4"),
        ({"a": np.where(np.arange(6)[:, None] == 4, np.inf, SCORES)}, None, None, "finite"),
        ({"a": SCORES}, np.arange(5) % 3, None, r"`labels`.*6 examples, got int64 \(5,\)"),
        ({"a": SCORES}, np.zeros(6), None, "`labels`.*float64"),
        ({"a": SCORES}, np.array([0, 1, 2, 3, 0, 0]), None, r"0 \.\. 2.*got 3 in example 3"),
        ({"a": SCORES}, np.array([0, 1, 2, 1, 0, -1]), None, "got -1 in example 5"),
        ({"a": SCORES}, None, np.ones((6, 3)), "`valid`"),
        ({"a": TOKENS}, None, np.ones((4, 3)), "`valid`"),
        ({"a": TOKENS}, None, np.arange(4)[:, None] != np.full((4, 5), 2), "no token of example 2"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(scores, labels, valid, said):
    with pytest.raises((InputError, DataError), match=said):
        answers(scores, labels, valid)
