"""Arrays named after keyword arguments become batches that are dicts."""

import numpy as np
import pytest
import torch

from netcaliper.errors import DataError
from netcaliper.specs.data import load_data


@pytest.fixture
def saved(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "d.npz", **arrays)
        return f"npz:{tmp_path / 'd.npz'}"

    return save


def test_dtypes_and_order(saved):
    ids, pixels = np.arange(15, dtype=np.int32).reshape(5, 3), np.linspace(0, 1, 10, dtype=np.float64).reshape(5, 2)
    spec = saved(input_ids=ids, attention_mask=np.ones((5, 3), bool), pixel_values=pixels, label=np.arange(5) % 2)
    batches = list(load_data(spec, batch_size=2))
    assert [len(batch["input_ids"]) for batch in batches] == [2, 2, 1]
    whole = {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}
    assert torch.equal(whole["input_ids"], torch.from_numpy(ids).long())
    assert torch.equal(whole["pixel_values"], torch.from_numpy(pixels).float())
    assert whole["attention_mask"].dtype is torch.bool
    assert whole["labels"].tolist() == [0, 1, 0, 1, 0]


def test_subsets_parts_and_labels_of_every_kind(saved):
    ids = np.arange(80).reshape(40, 2)
    (batch,) = load_data(f"{saved(input_ids=ids, labels=np.arange(40) % 4)}(examples=8)")
    assert batch["labels"].bincount().tolist() == [2, 2, 2, 2]
    assert torch.equal(batch["input_ids"][:, 0] // 2 % 4, batch["labels"])
    (batch,) = load_data(saved(input_ids=ids, labels=ids), split="test")
    assert len(batch["labels"]) == 10
    assert torch.equal(batch["labels"], batch["input_ids"])
    (batch,) = load_data(saved(input_ids=ids, y=np.linspace(0, 1, 40)))
    assert batch["labels"].shape == (40,)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "must hold an array `x`, or arrays named after keyword arguments.*it has: none"),
        ({"y": np.zeros(3, int)}, "must hold an array `x`.*it has: y"),
        ({"ids": np.zeros((3, 2), int), "y": np.zeros(3, int), "labels": np.zeros(3, int)}, "at most one of labels"),
        (
            {"ids": np.zeros((3, 2), int), "labels": np.zeros(4, int)},
            "`labels` has shape .4., but there are 3 ex",
        ),
        ({"ids": np.zeros((3, 2), int), "mask": np.zeros((2, 2))}, "`mask` has shape .2, 2., but there are 3 examples"),
        ({"ids": np.zeros((3, 2), np.uint8)}, "`ids` is uint8; store images as float32"),
        ({"pixel_values": np.full((3, 2), np.nan)}, "`pixel_values` is not finite, first in example 0"),
        ({"ids": np.zeros((0, 2), int)}, "`ids` holds no example"),
    ],
)
def test_arrays_that_cannot_be_used(saved, arrays, message):
    with pytest.raises(DataError, match=message):
        load_data(saved(**arrays))
