"""The held sample: chosen by index, the same whatever the loader's batches, every example once in a pass."""

import numpy as np
import pytest
import torch
from torch import Tensor

from netcaliper.errors import DataError, InputError
from netcaliper.feed.sample import Sample, hold
from netcaliper.trace.form import UNKNOWN


def images(n: int = 90) -> Tensor:
    return torch.arange(n, dtype=torch.float32)[:, None].repeat(1, 3)


def sample(n: int = 90, batch: int = 7, examples: int = 50, seed: int = 0) -> Sample:
    x = images(n)
    data = [(part, part[:, 0].long()) for part in x.split(batch)]
    return hold(data, UNKNOWN, examples=examples, seed=seed, limit=None)


def test_the_sample_is_the_same_whatever_the_batches_of_the_data() -> None:
    one = sample(batch=7)
    for batch in (1, 16, 90):
        other = sample(batch=batch)
        assert np.array_equal(one.index, other.index)
        assert one.fingerprint == other.fingerprint
        for mine, theirs in zip(one.partition(3, 8), other.partition(3, 8), strict=True):
            assert torch.equal(mine.args[0], theirs.args[0])
            assert torch.equal(mine.indices, theirs.indices)
            assert torch.equal(mine.labels, theirs.labels)
    assert not np.array_equal(one.index, sample(seed=1).index)


def test_inputs_labels_and_indices_stay_together() -> None:
    held = sample()
    assert held.size == len(held.index) == 50
    assert held.index.tolist() == sorted(set(held.index.tolist()))
    assert held.labels().tolist() == held.index.tolist()  # type: ignore[union-attr]
    assert held.bytes == 50 * 3 * 4
    for batch in held.partition(0, 8):
        assert batch.args[0][:, 0].tolist() == batch.indices.tolist() == batch.labels.tolist()


def test_a_pass_gives_every_example_once_in_an_order_of_its_own() -> None:
    held = sample()
    passes = [[batch.indices.tolist() for batch in held.partition(p, 8)] for p in range(3)]
    for batches in passes:
        every = [i for batch in batches for i in batch]
        assert len(set(every)) == len(every) == 48, "the last two are too few for a batch"
        assert set(every) <= set(held.index.tolist())
        assert [len(batch) for batch in batches] == [8] * 6
        assert len(batches) == held.batches(8)
    assert passes[0] != passes[1]
    assert [b.size for b in sample(examples=52).partition(0, 8)] == [8] * 6 + [4]
    assert sample(examples=52).batches(8) == 7


def test_fewer_examples_than_asked_for_are_all_held() -> None:
    assert sample(20, examples=50).index.tolist() == list(range(20))


def test_a_smaller_sample_is_part_of_the_larger_one_and_what_would_have_been_held() -> None:
    held = sample()
    assert np.array_equal(held.smaller(20).index, sample(examples=20).index)
    assert held.smaller(500).size == 50


def test_examples_can_be_left_out_by_their_index() -> None:
    held = sample()
    gone = held.index[[0, 7, 49]]
    rest = held.without(gone)
    assert rest.size == 47
    assert not set(gone.tolist()) & set(rest.index.tolist())
    assert rest.labels().tolist() == rest.index.tolist()  # type: ignore[union-attr]


def test_in_order_gives_the_order_of_the_index() -> None:
    held = sample()
    assert torch.cat([batch.indices for batch in held.in_order(13)]).tolist() == held.index.tolist()


def test_examples_of_other_shapes_come_in_batches_of_their_own() -> None:
    data = [torch.randint(1, 9, (10, n)) for n in (5, 7, 5, 6)]
    held = hold(data, UNKNOWN, examples=40, seed=0, limit=None)
    assert [group.args[0].shape[1] for group in held.groups] == [5, 7, 6]
    assert held.groups[0].indices.tolist() == [*range(10), *range(20, 30)]
    assert sum(len({b.args[0].shape[1]}) for b in held.partition(0, 8)) == held.batches(8) == 5


def test_labels_that_are_no_classes_are_none() -> None:
    x = images(20)
    assert hold([x], UNKNOWN, examples=20, seed=0, limit=None).labels() is None
    assert hold([(x, x[:, 0])], UNKNOWN, examples=20, seed=0, limit=None).labels() is None


def test_too_few_examples_are_refused() -> None:
    with pytest.raises(DataError, match="at least 4 examples"):
        sample(3)


def test_a_generator_is_refused() -> None:
    with pytest.raises(DataError, match="more than once"):
        hold((x for x in images().split(9)), UNKNOWN, examples=20, seed=0, limit=None)


def test_data_that_change_between_passes_are_refused() -> None:
    class Shrinking:
        def __init__(self) -> None:
            self.left = 5

        def __iter__(self):
            self.left -= 1
            return iter(images(10 * self.left).split(10))

    with pytest.raises(DataError, match="same .* examples on every pass"):
        hold(Shrinking(), UNKNOWN, examples=20, seed=0, limit=None)


def test_inputs_beyond_the_limit_are_refused_before_they_are_held() -> None:
    with pytest.raises(InputError, match="hold fewer"):
        hold([images()], UNKNOWN, examples=50, seed=0, limit=500)
    assert hold([images()], UNKNOWN, examples=50, seed=0, limit=601).size == 50
