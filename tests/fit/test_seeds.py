"""Seeded blocks repeat and leave the random state alone."""

import pytest
import torch

from netcaliper.fit.seeds import seeded


def test_blocks_repeat():
    with seeded(3):
        first = torch.rand(4)
    with seeded(3):
        again = torch.rand(4)
    with seeded(4):
        other = torch.rand(4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_state_is_put_back_even_after_an_error():
    def fails():
        with seeded(3):
            torch.rand(4)
            raise KeyError

    state = torch.get_rng_state()
    with pytest.raises(KeyError):
        fails()
    assert torch.equal(state, torch.get_rng_state())
