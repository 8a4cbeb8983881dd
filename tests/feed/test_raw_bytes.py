"""Bytes of tensors, whatever their type and layout."""

import numpy as np
import pytest
import torch

from netcaliper.feed.raw_bytes import raw_bytes

TABLE = torch.arange(12.0, dtype=torch.float64).reshape(3, 4)


@pytest.mark.parametrize(
    "tensor",
    [TABLE, TABLE.T, TABLE[:, 1], TABLE[:1, 1], TABLE[:1].T, TABLE[0, 0], TABLE[:0], TABLE.bool(), TABLE.int()],
    ids=["whole", "transposed", "column", "entry of a column", "row as column", "number", "none", "bool", "int"],
)
def test_bytes_are_those_of_numpy(tensor):
    assert raw_bytes(tensor).numpy().tobytes() == np.ascontiguousarray(tensor.numpy()).tobytes()


def test_a_contiguous_tensor_is_not_copied():
    tensor = torch.zeros(3, dtype=torch.bfloat16)
    raw_bytes(tensor).fill_(255)
    assert tensor.isnan().all()
