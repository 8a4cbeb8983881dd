"""Two networks side by side."""

import torch
from torch import nn

from netcaliper.surgery import latency
from netcaliper.surgery.latency import latency_ratio


def test_a_network_of_a_hundred_layers_takes_longer_than_one():
    one = nn.Linear(64, 64)
    many = nn.Sequential(*[nn.Linear(64, 64) for _ in range(100)])
    found = latency_ratio(one, many, (torch.randn(8, 64),), {})
    assert found["ratio"] > 5
    assert found["lower"] <= found["upper"]


def test_slow_networks_run_in_fewer_rounds(monkeypatch):
    calls = []

    class Counted(nn.Linear):
        def forward(self, x):
            calls.append(self.out_features)
            return super().forward(x)

    pair, x = (Counted(8, 4), Counted(8, 2)), (torch.randn(8, 8),)
    monkeypatch.setattr(latency, "ROUND_SECONDS", 0.0)
    assert latency_ratio(*pair, x, {})["rounds"] == 41
    assert calls.count(4) == calls.count(2) == 3 + 41
    monkeypatch.setattr(latency, "SECONDS", 0.0)
    found = latency_ratio(*pair, x, {})
    assert found["rounds"] == 11
    assert found["low"] <= found["lower"] <= found["ratio"] <= found["upper"] <= found["high"]
