"""The replay check catches a graph that does not compute what the model computes."""

import pytest
import torch
from torch import Tensor, nn

from netcaliper.errors import ReplayMismatch
from netcaliper.trace.replay import check_replay
from netcaliper.trace.trace import trace


class Stateful(nn.Module):
    """Depends on something besides its inputs and weights: a Python number that the export froze."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(2, 3)
        self.gain = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.a(x)) * self.gain


def test_a_graph_that_went_stale_is_refused() -> None:
    model = Stateful().eval()
    example = torch.randn(3, 2)
    graph = trace(model, example)
    assert set(graph.replay) == {"example", "batch 1", "batch 2", "batch 5"}
    model.gain = 2.0
    with pytest.raises(ReplayMismatch, match="does not reproduce the model at example"):
        check_replay(model, graph, graph.example)


class SizeDependent(nn.Module):
    """Python code that looks at the batch size."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.a(x))
        return y * 2 if x.shape[0] > 4 else y


def test_code_that_looks_at_the_batch_size_never_gives_a_wrong_number() -> None:
    model = SizeDependent().eval()
    with pytest.raises(ReplayMismatch, match="batch 5"):
        trace(model, torch.randn(3, 2))
