"""Two networks side by side."""

import torch
from torch import nn

from netcaliper.surgery.latency import latency_ratio


def test_a_network_of_a_hundred_layers_takes_longer_than_one():
    one = nn.Linear(64, 64)
    many = nn.Sequential(*[nn.Linear(64, 64) for _ in range(100)])
    found = latency_ratio(one, many, (torch.randn(8, 64),), {})
    assert found["ratio"] > 5
    assert found["lower"] <= found["upper"]
