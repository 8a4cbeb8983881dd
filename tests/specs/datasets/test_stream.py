"""A stream is read anew in every pass and knows its length."""

import numpy as np
import pytest

from netcaliper.errors import InputError
from netcaliper.specs.datasets.stream import Indexed, Stream


@pytest.mark.parametrize(("examples", "batches"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_every_pass_reads_anew(examples, batches):
    passes = []

    def read():
        passes.append(1)
        yield from range(batches)

    stream = Stream(examples, 4, read, "as it is")
    assert (len(stream), len(stream.dataset), stream.prepared) == (batches, examples, "as it is")
    assert list(stream) == list(stream) == list(range(batches))
    assert len(passes) == 2


@pytest.mark.parametrize("size", [0, -1])
def test_batches_of_nothing(size):
    with pytest.raises(InputError, match="`batch_size` must be at least 1"):
        Stream(3, size, lambda: iter(()), "")


def test_an_epoch_has_the_same_examples_in_an_order_of_its_own():
    stream = Indexed(10, 4, lambda numbers: numbers.tolist(), "as it is")
    assert list(stream) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    first, again, second, other = (
        np.concatenate(list(stream.epoch(n, seed))).tolist() for n, seed in ((0, 1), (0, 1), (1, 1), (0, 2))
    )
    assert first == again
    assert sorted(first) == list(range(10))
    assert len({tuple(first), tuple(second), tuple(other)}) == 3
    assert list(stream) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
