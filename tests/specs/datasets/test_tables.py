"""The right rows in the right batches, whatever the files and row groups."""

import numpy as np
import pytest
import torch

from made_tables import pq, write
from netcaliper.specs.data import load_data


@pytest.mark.parametrize("groups", [1, 3, 4, 100])
@pytest.mark.parametrize("batch_size", [1, 4, 20])
def test_rows_come_in_order_whatever_the_row_groups(tmp_path, groups, batch_size):
    values = np.arange(10.0)
    for part in (slice(0, 6), slice(6, 10)):
        write(tmp_path / f"{part.start:02}.parquet", groups, a=values[part], b=-values[part], label=np.arange(10)[part])
    data = load_data(f"parquet:{tmp_path}", batch_size=batch_size)
    batches = list(data)
    assert len(batches) == len(data) == -(-10 // batch_size)  # pyright: ignore
    assert torch.equal(torch.cat([x for x, _ in batches]), torch.stack([torch.arange(10.0), -torch.arange(10.0)], 1))
    assert torch.cat([y for _, y in batches]).tolist() == list(range(10))
    assert data.prepared == "2 features"  # pyright: ignore
    pattern = load_data(f"parquet:{tmp_path}/0*.parquet", batch_size=batch_size)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(batches, pattern, strict=True))


def test_only_row_groups_with_chosen_rows_are_read(tmp_path, monkeypatch):
    spec = write(tmp_path / "t.parquet", 5, a=np.arange(40.0), label=np.arange(40) // 20)
    read, original = [], pq.ParquetFile.iter_batches

    def watched(self, *arguments, row_groups, **keywords):
        read.extend(row_groups)
        return original(self, *arguments, row_groups=row_groups, **keywords)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    (batch,) = load_data(f"{spec}(examples=4, seed=1)")
    rows = batch[0].flatten().long()
    assert batch[1].tolist() == [0, 0, 1, 1] == (rows // 20).tolist()
    assert read == sorted(set((rows // 5).tolist()))
