"""The evaluation data fall into two parts that share no example, whatever the batches."""

import pytest
import torch

from netcaliper.errors import DataError
from netcaliper.linearize.part import parts
from netcaliper.trace.form import UNKNOWN
from netcaliper.zoo.batches import Batches

X, Y = torch.randn(101, 4), torch.arange(101) % 3


def data(size):
    return Batches(X, Y, batch_size=size)


def indices(part):
    return torch.cat([batch.indices for batch in part]).tolist()


def test_every_example_is_in_one_part():
    select, verify = parts(data(16), UNKNOWN, 0)
    mine, theirs = indices(select), indices(verify)
    assert sorted(mine + theirs) == list(range(101))
    assert (select.size(), verify.size()) == (len(mine), len(theirs))
    assert 30 < len(mine) < 71


def test_the_examples_keep_their_labels():
    for part in parts(data(16), UNKNOWN, 0):
        for batch in part:
            assert torch.equal(batch.labels, Y[batch.indices])
            assert torch.equal(batch.args[0], X[batch.indices])


def test_neither_batches_nor_a_second_pass_change_the_parts_but_the_seed_does():
    one = indices(parts(data(16), UNKNOWN, 0)[0])
    assert indices(parts(data(7), UNKNOWN, 0)[0]) == one
    assert indices(parts(data(16), UNKNOWN, 1)[0]) != one


def test_too_few_examples_are_refused():
    with pytest.raises(DataError, match="`eval_data` must give both parts at least 2 examples"):
        parts(Batches(X[:3], Y[:3]), UNKNOWN, 0)
