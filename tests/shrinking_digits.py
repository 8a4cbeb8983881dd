"""What the tests of ``nc.shrink`` share: digits, and small networks that read them."""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from netcaliper.fit.seeds import seeded
from netcaliper.fit.train import fit
from netcaliper.shrink.prepared import Prepared, prepare
from netcaliper.trace.trace import trace
from netcaliper.zoo.cnn import CNN
from netcaliper.zoo.data import digits
from netcaliper.zoo.mlp import MLP


@cache
def data(batch: int = 200) -> list[tuple[Tensor, Tensor]]:
    """Return all digits with labels, in batches."""
    every = digits()
    assert every.y is not None
    return list(zip(every.x.split(batch), every.y.split(batch), strict=True))


@cache
def network(name: str) -> nn.Module:
    """Return a network that reads the digits well; do not change it."""
    with seeded(0):
        model = MLP(widths=(48,)) if name == "mlp" else CNN(widths=(8, 12), depth=1)
    fit(model, digits("train", batch_size=64), epochs=4, learning_rate=0.02, seed=0)
    return model.eval()


def with_slack() -> Any:
    """Return an MLP in which unit 3 is dead, 5 constant and 9 equal to 8."""
    with seeded(1):
        model: Any = MLP(widths=(24,)).eval()
    first = model.hidden[0].linear if hasattr(model.hidden[0], "linear") else next(model.hidden[0].children())
    with torch.no_grad():
        first.weight[[3, 5]] = 0
        first.bias[3], first.bias[5] = -1.0, 0.8
        first.weight[9], first.bias[9] = first.weight[8], first.bias[8]
    return model


@cache
def prepared(name: str) -> Prepared:
    """Return what is known of a network before anything is chosen."""
    graph = trace(network(name), data()[0][0])
    return prepare(graph, data(), None, force=False, skip=(), sites="*", seed=0, agreement=None)
