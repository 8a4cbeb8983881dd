"""Batches hand out every example exactly once, as often as asked, and shuffle only when asked."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.errors import DataError, InputError
from netcaliper.zoo.batches import Batches


def labels_of(batches):
    return torch.cat([y for _, y in batches])


def inputs_of(batches):
    return torch.cat(list(batches))


@given(examples=st.integers(1, 40), batch_size=st.integers(1, 50))
def test_every_example_once_in_order_in_every_pass(examples, batch_size):
    x, y = torch.randn(examples, 2), torch.arange(examples)
    batches = Batches(x, y, batch_size=batch_size)
    for _ in range(2):
        passes = list(batches)
        assert len(passes) == len(batches)
        assert [len(a) for a, _ in passes[:-1]] == [batch_size] * (len(batches) - 1)
        assert torch.equal(torch.cat([a for a, _ in passes]), x)
        assert torch.equal(labels_of(passes), y)
    assert len(batches.dataset) == examples


@given(seed=st.integers(0, 2**32), number=st.integers(0, 1000), examples=st.integers(1, 40))
def test_an_epoch_is_a_permutation_fixed_by_its_arguments(seed, number, examples):
    y = torch.arange(examples)
    batches = Batches(y[:, None].float(), y, batch_size=7)
    epoch = batches.epoch(number, seed)
    order = labels_of(epoch)
    assert torch.equal(order.sort().values, y)
    assert torch.equal(order, labels_of(epoch))
    assert torch.equal(order, labels_of(batches.epoch(number, seed)))
    assert torch.equal(torch.cat([x for x, _ in epoch])[:, 0].long(), order)  # inputs keep their labels
    assert torch.equal(labels_of(batches), y)  # the data themselves stay in order


def test_epochs_and_seeds_differ():
    batches = Batches(torch.zeros(100, 1), torch.arange(100))
    orders = {tuple(labels_of(batches.epoch(n, s)).tolist()) for n in range(5) for s in range(5)}
    assert len(orders) == 25


def test_shuffling_leaves_the_random_state():
    state = torch.get_rng_state()
    list(Batches(torch.zeros(5, 1)).epoch(1, 2))
    assert torch.equal(state, torch.get_rng_state())


def test_without_labels_a_batch_is_a_tensor():
    batches = list(Batches(torch.zeros(5, 3), batch_size=2))
    assert all(isinstance(batch, torch.Tensor) for batch in batches)
    assert [len(batch) for batch in batches] == [2, 2, 1]


def test_bad_input():
    with pytest.raises(DataError, match=r"`x` holds no example: its shape is \[0, 3\]"):
        Batches(torch.zeros(0, 3))
    with pytest.raises(DataError, match="one label for each of the 5 examples"):
        Batches(torch.zeros(5, 3), torch.arange(4))
    with pytest.raises(InputError, match="`batch_size` must be at least 1, got 0"):
        Batches(torch.zeros(5, 3), batch_size=0)


def test_stored_bytes_become_pixels_and_are_prepared_batch_by_batch():
    stored = torch.arange(10, dtype=torch.uint8).view(5, 2)
    seen = []

    def prepare(x):
        seen.append(len(x))
        return 3 * x - 1

    batches = Batches(stored, torch.arange(5), batch_size=2, prepare=prepare)
    assert seen == []
    assert torch.equal(torch.cat([x for x, _ in batches]), 3 * (stored.float() / 255) - 1)
    assert seen == [2, 2, 1]
    assert all(x.is_floating_point() for x, _ in batches.epoch(1, 0))
    assert batches.x.dtype is torch.uint8


def test_unprepared_and_prepared_are_the_two_steps():
    batches = Batches(torch.arange(10, dtype=torch.uint8).view(5, 2), batch_size=2, prepare=lambda x: x.exp())
    for order in (batches, batches.epoch(3, 1)):
        raw = inputs_of(order.unprepared())
        assert raw.min() >= 0
        assert raw.max() <= 1
        assert torch.equal(order.prepare(raw), inputs_of(order))
    tokens = Batches(torch.arange(6).view(3, 2))
    assert torch.equal(inputs_of(tokens), torch.arange(6).view(3, 2))


def test_parts_are_a_partition_in_order():
    x = torch.arange(14, dtype=torch.uint8).view(7, 2)
    batches = Batches(x, torch.arange(7), batch_size=2, prepare=lambda x: x * 510)
    stay, leave = batches.parted(np.array([0, 1, 0, 0, 1, 0, 0], dtype=bool))
    assert labels_of(stay).tolist() == [0, 2, 3, 5, 6]
    assert labels_of(leave).tolist() == [1, 4]
    for part in (stay, leave):
        assert torch.allclose(torch.cat([inputs for inputs, _ in part]), 2.0 * x[labels_of(part)])
        assert part.batch_size == 2
    assert len(Batches(x).parted(np.arange(7) == 0)[1].x) == 1
