"""Parquet files: one, a folder of shards, a pattern, the parts that their names say."""

import sys
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from made_tables import write
from netcaliper.errors import DataError, SpecError
from netcaliper.specs.data import load_data
from netcaliper.zoo.cifar10 import Cifar10Options, cifar10
from netcaliper.zoo.data import Split

REAL = Path(__file__).parents[4] / "shared" / "data" / "cifar10"


def test_files_of_parts(tmp_path):
    for part, value in (("train-00000-of-00002", 1), ("train-00001-of-00002", 2), ("validation-00000-of-00001", 3)):
        write(tmp_path / "data" / f"{part}.parquet", a=[float(value)] * value)
    for split, values in (("train", [1, 2, 2]), ("test", [3, 3, 3]), ("all", [1, 2, 2, 3, 3, 3])):
        data = load_data(f"parquet:{tmp_path}", split=cast(Split, split))
        assert torch.cat(list(data)).flatten().tolist() == values
    write(tmp_path / "data" / "test-00000-of-00001.parquet", a=[4.0])
    assert torch.cat(list(load_data(f"parquet:{tmp_path}", split="test"))).tolist() == [[4.0]]
    (tmp_path / "one").mkdir()
    one = write(tmp_path / "one" / "training_set.parquet", a=np.arange(8.0))  # a name, not the part `train`
    sizes = [len(load_data(one, split=split).dataset) for split in ("train", "test")]  # pyright: ignore
    assert sizes == [6, 2]


def test_files_that_are_no_tables(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(SpecError, match="'bad.parquet' cannot be read as a parquet file"):
        load_data(f"parquet:{tmp_path / 'bad.parquet'}")
    (tmp_path / "none").mkdir()
    with pytest.raises(SpecError, match="holds no file"):
        load_data(f"parquet:{tmp_path / 'none'}")
    with pytest.raises(SpecError, match="no file fits the pattern"):
        load_data(f"parquet:{tmp_path / 'none'}/*.parquet")
    write(tmp_path / "two" / "a.parquet", a=[1.0])
    write(tmp_path / "two" / "b.parquet", b=[1.0])
    with pytest.raises(DataError, match="'a.parquet' and 'b.parquet' differ in the column 'a'"):
        load_data(f"parquet:{tmp_path / 'two'}")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    spec = write(tmp_path / "t.parquet", a=[1.0])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(SpecError, match=r"`parquet:` needs pyarrow.*pip install 'netcaliper\[parquet\]'"):
        load_data(spec)


@pytest.mark.skipif(not REAL.is_dir(), reason="CIFAR-10 does not lie beside the checkout")
def test_cifar10_as_it_lies_there():
    data = load_data(f"parquet:{REAL / 'test.parquet'}(examples=40)", batch_size=16)
    x, y = (torch.cat(parts) for parts in zip(*data, strict=True))
    assert y.bincount().tolist() == [4] * 10
    own = cifar10(REAL, "test", options=Cifar10Options(examples=40, standardize="none"))
    assert torch.equal(x, own.x.float() / 255)
    assert own.y is not None
    assert torch.equal(y, own.y)
