"""Where a reading comes from."""

import torch
from torch.utils.data import DataLoader, TensorDataset

import netcaliper
from netcaliper.feed.origin import described, versions


def test_versions_are_those_that_run():
    found = versions()
    assert found["torch"] == torch.__version__
    assert found["netcaliper"] == netcaliper.__version__
    assert set(found) == {"netcaliper", "torch", "numpy", "python"}


def test_data_are_named_by_type():
    assert described([torch.zeros(2, 3)]) == "list"
    assert described(DataLoader(TensorDataset(torch.zeros(4, 3)))) == "DataLoader of TensorDataset"
