"""Names: module path, operation, call number."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netcaliper.trace.trace import trace


class Leaf(nn.Module):
    """A leaf module that has a weight and an activation of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.linear(x, self.weight))


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.leaf, self.act = Leaf(), nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(F.silu(self.act(self.act(self.leaf(x)))) + 0.0)


def test_names() -> None:
    model = nn.Sequential(nn.Linear(4, 4), Nested(), nn.Linear(4, 2)).eval()
    graph = trace(model, torch.randn(2, 4))
    assert [site.name for site in graph.sites] == ["1.leaf.relu", "1.act", "1.act#2", "1.silu", "1.silu#2"]
    assert [c.name for c in graph.sites[-1].consumers] == ["2"]


def test_calls_of_the_root_have_no_path() -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.a(x)) @ torch.ones(3, 2)

    graph = trace(Root().eval(), torch.randn(2, 2))
    assert [site.name for site in graph.sites] == ["relu"]
