"""A folder of Hugging Face ``datasets`` is the same table as a parquet file."""

import numpy as np
import pytest
import torch

from netcaliper.errors import SpecError
from netcaliper.specs.data import load_data

datasets = pytest.importorskip("datasets")


def rows(count, start=0):
    return datasets.Dataset.from_dict({"a": np.arange(start, start + count) + 0.5, "label": np.arange(count) % 2})


def values(data):
    return torch.cat([x for x, _ in data]).flatten().tolist()


def test_one_data_set(tmp_path):
    rows(10).save_to_disk(tmp_path / "one")
    data = load_data(f"datasets:{tmp_path / 'one'}", batch_size=4)
    assert values(data) == [n + 0.5 for n in range(10)]
    assert [len(x) for x, _ in data] == [4, 4, 2]
    assert torch.cat([y for _, y in data]).tolist() == [0, 1] * 5
    parts = [len(load_data(f"datasets:{tmp_path / 'one'}", split=split).dataset) for split in ("train", "test")]  # pyright: ignore
    assert parts == [7, 3]


def test_chosen_and_sorted_rows_stay_so(tmp_path):
    rows(10).select([7, 2, 5]).save_to_disk(tmp_path / "some")
    assert values(load_data(f"datasets:{tmp_path / 'some'}")) == [7.5, 2.5, 5.5]


def test_parts(tmp_path):
    datasets.DatasetDict({"train": rows(3), "validation": rows(2, 100)}).save_to_disk(tmp_path / "parts")
    assert values(load_data(f"datasets:{tmp_path / 'parts'}", split="test")) == [100.5, 101.5]
    assert values(load_data(f"datasets:{tmp_path / 'parts'}")) == [0.5, 1.5, 2.5, 100.5, 101.5]
    datasets.DatasetDict({"a": rows(3), "b": rows(2)}).save_to_disk(tmp_path / "odd")
    with pytest.raises(SpecError, match="has the parts 'a', 'b'; netcaliper knows `train` beside one of test"):
        load_data(f"datasets:{tmp_path / 'odd'}")


def test_images(tmp_path):
    image = pytest.importorskip("PIL.Image").fromarray(np.full((3, 4, 3), 51, np.uint8))
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    datasets.Dataset.from_dict({"image": [image, image], "label": [1, 0]}, features=features).save_to_disk(
        tmp_path / "i"
    )
    ((x, y),) = load_data(f"datasets:{tmp_path / 'i'}")
    assert torch.equal(x, torch.full((2, 3, 3, 4), 0.2))
    assert y.tolist() == [1, 0]


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(SpecError, match="cannot be read as a folder that `Dataset.save_to_disk` wrote"):
        load_data(f"datasets:{tmp_path}")
