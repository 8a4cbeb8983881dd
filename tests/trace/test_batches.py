"""What users bring, brought into one shape, or refused with a remedy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from netcaliper.errors import DataError
from netcaliper.trace.batches import as_batch, batches, count_examples, first_batch, regrouped


def test_the_forms_of_a_batch() -> None:
    x, y = torch.randn(3, 4), torch.tensor([0, 1, 2])
    plain, pair, array = as_batch(x), as_batch((x, y)), as_batch([x.numpy(), y.numpy()])
    assert plain.labels is None
    assert pair.labels is y
    assert torch.equal(array.args[0], x)
    assert torch.equal(array.labels, y)
    mapping = as_batch({"input_ids": y, "labels": y})
    assert set(mapping.kwargs) == {"input_ids"}
    assert mapping.labels is y
    two = as_batch((x, x), inputs_required=2)
    assert len(two.args) == 2
    assert two.labels is None
    three = as_batch((x, x, y), inputs_required=2)
    assert len(three.args) == 2
    assert three.labels is y


def test_examples_are_numbered_through_the_data() -> None:
    loader = [torch.zeros(3, 2), torch.zeros(2, 2)]
    assert [b.indices.tolist() for b in batches(loader)] == [[0, 1, 2], [3, 4]]
    taken = list(batches(loader))[1].take(torch.tensor([1]))
    assert taken.indices.tolist() == [4]
    assert taken.size == 1


def test_repeating_and_shortening() -> None:
    tokens = torch.arange(12).reshape(2, 6)
    batch = as_batch({"input_ids": tokens, "attention_mask": torch.ones(2, 6), "scale": torch.ones(1)})
    assert batch.repeated(5).kwargs["input_ids"].shape == (5, 6)
    short = batch.shortened(4)
    assert short.kwargs["input_ids"].shape == short.kwargs["attention_mask"].shape == (2, 4)
    assert short.kwargs["scale"].shape == (1,)
    assert batch.token_length() == 6


def test_counting_without_reading_where_the_loader_knows() -> None:
    reads = []

    class Data(TensorDataset):
        def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
            reads.append(index)
            return super().__getitem__(index)

    data = Data(torch.zeros(10, 2))
    assert count_examples(DataLoader(data, batch_size=4)) == 10
    assert not reads
    assert count_examples(DataLoader(data, batch_size=4, drop_last=True)) == 8
    assert count_examples([torch.zeros(3, 1), torch.zeros(4, 1)]) == 7


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "no batches"),
        (torch.zeros(3, 2), "is one tensor"),
        (3, "must be an iterable"),
        ((x for x in [torch.zeros(2, 2)]), "list(data)"),
        ([torch.zeros(0, 2)], "0 examples"),
        ([torch.tensor([[1.0, float("inf")]])], "example 0"),
        ([torch.zeros(2, 2), torch.tensor([[0.0, 0.0], [float("nan"), 0.0]])], "example 3"),
        (["text"], "at least one tensor"),
        ([torch.zeros(2, 2), {"x": torch.zeros(2, 2)}], "same form"),
        ([torch.zeros(2, 2), torch.zeros(2, 2).double()], "convert all batches to one dtype"),
    ],
)
def test_what_cannot_be_read_is_refused(data: object, words: str) -> None:
    with pytest.raises(DataError) as error:
        list(batches(data))
    assert words in str(error.value)


def test_the_first_batch() -> None:
    assert first_batch([np.zeros((2, 3), dtype=np.float32)]).args[0].shape == (2, 3)
    with pytest.raises(DataError, match="no batches"):
        first_batch([])
    with pytest.raises(DataError, match="no batches"):
        count_examples([])


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 7))
def test_regrouping_keeps_every_example_in_order(sizes: list[int], size: int) -> None:
    total = sum(sizes)
    whole = as_batch((torch.arange(max(total, 1)).float().reshape(-1, 1), torch.arange(max(total, 1))))
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    source = [whole.take(torch.arange(end - n, end)) for n, end in zip(sizes, ends, strict=True)]
    groups = list(regrouped(source, size))
    assert [group.size for group in groups[:-1]] == [size] * (len(groups) - 1)
    assert [i for group in groups for i in group.indices.tolist()] == list(range(total))
    for group in groups:
        assert torch.equal(group.args[0].flatten(), group.indices.float())
        assert torch.equal(group.labels, group.indices)


def test_sequences_of_other_lengths_are_not_joined() -> None:
    groups = list(regrouped([as_batch(torch.zeros(2, 5)), as_batch(torch.zeros(2, 5)), as_batch(torch.zeros(3, 4))], 3))
    assert [tuple(group.args[0].shape) for group in groups] == [(3, 5), (1, 5), (3, 4)]
