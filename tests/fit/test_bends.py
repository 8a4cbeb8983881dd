"""A training asks a network that bends for its penalty, its parameters and a snap, and nothing else changes."""

from typing import Any

import torch
from torch import nn

from netcaliper.fit.bends import Bends
from netcaliper.fit.train import fit
from netcaliper.zoo.batches import Batches
from netcaliper.zoo.models import build


class Counted:
    """Pulls every weight to 0 with a penalty, spares the biases of it, and counts the snaps."""

    def __init__(self, model: nn.Module, strength: float) -> None:
        self.model, self.strength, self.snaps = model, strength, 0

    def penalty(self) -> torch.Tensor:
        squares = [p.square().sum() for p in self.model.parameters() if p.ndim > 1]
        return self.strength * torch.stack(squares).sum()

    def snap(self, optimizer: torch.optim.Optimizer | None = None) -> int:
        assert isinstance(optimizer, torch.optim.SGD)
        self.snaps += 1
        return 0

    def parameter_groups(self, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        parameters = list(self.model.parameters())
        return [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay, "rate_factor": 2.0},
            {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
        ]


def data():
    generator = torch.Generator().manual_seed(0)
    return Batches(torch.randn(24, 4, generator=generator), torch.arange(24) % 3, batch_size=8)


def network():
    return build("mlp", {"inputs": 4, "widths": [5], "classes": 3})


def test_every_update_has_the_penalty_and_a_snap_after_it():
    plain, pulled = network(), network()
    bending = Counted(pulled, 1.0)
    assert isinstance(bending, Bends)
    fit(plain, data(), epochs=2, learning_rate=0.01, optimizer="sgd")
    record = fit(pulled, data(), epochs=2, learning_rate=0.01, optimizer="sgd", bending=bending)
    assert bending.snaps == 6
    assert pulled.head.weight.norm() < 0.9 * plain.head.weight.norm()
    assert record.loss[0] < 2  # the loss that is recorded is without the penalty


def test_a_group_has_the_rate_that_it_asks_for():
    seen = []

    class Watched(Counted):
        def snap(self, optimizer: torch.optim.Optimizer | None = None) -> int:
            assert optimizer is not None
            seen.append([group["lr"] for group in optimizer.param_groups])
            return 0

    model = network()
    bending = Watched(model, 0.0)
    fit(model, data(), epochs=2, learning_rate=0.01, optimizer="sgd", schedule="cosine", bending=bending)
    assert seen[0] == [0.02, 0.01]
    assert seen[-1] == [0.01, 0.005]
