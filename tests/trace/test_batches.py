"""What users bring, brought into one shape, or refused with a remedy."""

from collections import UserDict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from netcaliper.errors import DataError
from netcaliper.trace.batches import as_batch, batches, count_examples, first_batch, regrouped
from netcaliper.trace.form import Form

TWO = Form(names=("x", "y"), required=("x", "y"))


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
    two = as_batch((x, x), form=TWO)
    assert len(two.args) == 2
    assert two.labels is None
    three = as_batch((x, x, y), form=TWO)
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
        (TensorDataset(torch.zeros(3, 2)), "DataLoader(data, batch_size=128)"),
        ({"test": [torch.zeros(2, 2)]}, "keys test"),
        ([{"x": [[1, 2], [3]]}], "rows of equal length"),
        ([{"x": torch.zeros(2, 2), "text": ["a", "b"]}], "key `text` of a batch must be numbers, got list of text"),
        ([{"x": np.array(["a", "b"])}], "array of <U1"),
        ([{"x": torch.ones(2, 2), "attention_mask": -1e4 * torch.ones(2, 2)}], "1 for tokens and 0 for padding"),
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


def test_lists_arrays_and_groups_of_inputs() -> None:
    x, y = torch.randn(3, 4), torch.tensor([0, 1, 2])
    frozen = x.numpy().copy()
    frozen.flags.writeable = False
    for raw in (UserDict(a=x), {"a": x.tolist()}, {"a": frozen}, {"a": x.numpy(), "labels": [0, 1, 2]}):
        batch = as_batch(raw)
        assert torch.allclose(batch.kwargs["a"], x)
        assert batch.labels is None or torch.equal(batch.labels, y)
    for form in (Form(), TWO):
        batch = as_batch(((x, 2 * x), y), form=form)
        assert [torch.equal(mine, theirs) for mine, theirs in zip(batch.args, (x, 2 * x), strict=True)] == [True, True]
        assert batch.labels is y
    assert as_batch(({"a": x}, y)).labels is y
    assert as_batch((x,), form=TWO).named.keys() == {"x"}
    assert as_batch(((x, x), y)).named.keys() == {"0", "1"}


def test_a_required_input_is_no_label() -> None:
    form = Form(names=("source", "target"), required=("source", "target"), keys=frozenset({"source", "target"}))
    batch = as_batch({"source": torch.zeros(2, 3), "target": torch.ones(2, 3)}, form=form)
    assert batch.labels is None
    assert set(batch.kwargs) == {"source", "target"}


@pytest.mark.parametrize("name", ["attention_mask", "decoder_attention_mask"])
def test_an_example_without_a_token_is_named(name: str) -> None:
    mask = torch.ones(6, 3, dtype=torch.int64)
    second = mask.clone()
    second[4] = 0
    with pytest.raises(DataError, match=f"`{name}` in batch 1 of `data` must leave a token .* example 10; leave"):
        list(batches([{"x": mask, name: mask}, {"x": mask, name: second}]))


def test_a_hugging_face_data_set_is_read_in_batches() -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"input_ids": [[i, i + 1] for i in range(40)], "label": [i % 3 for i in range(40)]}
    whole = datasets.Dataset.from_dict(rows)
    for data in (whole, whole.to_iterable_dataset(), whole.with_format("torch")):
        read = list(batches(data))
        assert [batch.size for batch in read] == [32, 8]
        assert torch.cat([batch.kwargs["input_ids"] for batch in read]).tolist() == rows["input_ids"]
        assert torch.cat([batch.labels for batch in read]).tolist() == rows["label"]
        assert count_examples(data) == 40
    chosen = whole.add_column("text", ["a"] * 40).with_format("numpy", columns=["input_ids"])
    assert set(first_batch(chosen).kwargs) == {"input_ids"}
    ragged = datasets.Dataset.from_dict({"input_ids": [[1], [1, 2]]})
    with pytest.raises(DataError, match=r"column `input_ids` of `data` must have .* shape, got \(1,\), \(2,\)"):
        list(batches(ragged))
    with pytest.raises(DataError, match="got list of text; encode it"):
        list(batches(datasets.Dataset.from_dict({"text": ["a", "b"], "x": [1, 2]})))


def test_labels_of_other_lengths_are_not_joined() -> None:
    source = [as_batch((torch.zeros(2, 3), torch.zeros(2, length))) for length in (4, 5)]
    assert [tuple(group.labels.shape) for group in regrouped(source, 4)] == [(2, 4), (2, 5)]


def test_ids_and_mask_are_no_inputs_and_labels():
    form = Form("Encoder", ("input_ids", "attention_mask"), ("input_ids",))
    ids = torch.randint(5, (2, 3))
    with pytest.raises(DataError, match=r"holds 0 and 1 like `attention_mask`; give \(\(ids, mask\), labels\)"):
        as_batch((ids, torch.ones_like(ids)), form=form)
    assert as_batch((ids, ids + 1), form=form).labels is not None
    assert as_batch((ids, torch.ones(2)), form=form).labels is not None
    assert as_batch(((ids, torch.ones_like(ids)), torch.zeros(2)), form=form).mask("attention_mask") is not None
