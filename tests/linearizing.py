"""What the tests of linearizations share: a tiny network that bends, and a request with everything in it."""

from typing import Any

import torch
from torch import nn

from netcaliper.linearize.asked import Asked


def tiny() -> nn.Sequential:
    """Two sites of 4 and 3 units."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def asked(**values: Any) -> Asked:
    plain: dict[str, Any] = {
        "epochs": 10, "finetune": 3, "start_epoch": None, "trained_epochs": 0, "granularity": "channel",
        "proximal": False, "alpha_rate": 10.0, "target_active": None, "target_path_length": None, "baselines": (),
        "margin": 0.01, "optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 0.0,
        "schedule": "cosine", "augment": "none", "precision": "float32", "seed": 0,
    }  # fmt: skip
    return Asked(**(plain | values))
