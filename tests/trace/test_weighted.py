"""Weights are recognized however they are written."""

from collections.abc import Callable
from importlib import import_module

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netcaliper.trace.trace import trace
from timm_models import import_transformers


class Reader(nn.Module):
    def __init__(self, read: Callable[["Reader", Tensor], Tensor]) -> None:
        super().__init__()
        self.read = read
        self.a = nn.Linear(3, 4)
        self.weight = nn.Parameter(torch.randn(4, 4))
        self.bias = nn.Parameter(torch.randn(4))
        self.packed = nn.Parameter(torch.randn(12, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self, torch.relu(self.a(x)))


@pytest.mark.parametrize(
    ("read", "op", "weight"),
    [
        (lambda m, y: F.linear(y, m.weight), "linear", "weight"),
        (lambda m, y: y @ m.weight, "matmul", "weight"),
        (lambda m, y: torch.addmm(m.bias, y, m.weight), "linear", "weight"),
        (lambda m, y: torch.mm(y, m.weight), "matmul", "weight"),
        (lambda m, y: torch.einsum("ni,oi->no", y, m.weight), "", None),
        (lambda m, y: F.linear(y, m.packed[:4]), "linear", None),
        (lambda m, y: F.linear(y, m.weight / m.weight.norm(dim=1, keepdim=True)), "linear", None),
    ],
)
def test_a_linear_map_in_many_forms(read: Callable[[Reader, Tensor], Tensor], op: str, weight: str | None) -> None:
    (site,) = trace(Reader(read).eval(), torch.randn(2, 3)).sites
    (consumer,) = site.consumers
    assert consumer.unit_of_column.tolist() == [0, 1, 2, 3]
    assert consumer.weight == weight
    assert consumer.op == (op or consumer.op)


@pytest.mark.parametrize(
    ("layer", "op", "columns"),
    [
        (nn.Conv2d(4, 6, 3), "conv2d", [0, 1, 2, 3]),
        (nn.Conv2d(4, 6, 3, groups=2), "conv2d", [0, 1, 2, 3]),
        (nn.Conv2d(4, 4, 3, groups=4), "depthwise", [0, 1, 2, 3]),
        (nn.Conv2d(4, 8, 3, groups=4), "depthwise", [0, 1, 2, 3]),
        (nn.ConvTranspose2d(4, 3, 2), "conv_transpose", [0, 1, 2, 3]),
    ],
)
def test_convolutions(layer: nn.Module, op: str, columns: list[int]) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), layer, nn.ReLU()).eval()
    graph = trace(model, torch.randn(2, 3, 5, 5))
    (consumer,) = graph.sites[0].consumers
    assert (consumer.op, consumer.unit_of_column.tolist()) == (op, columns)
    tied = set(graph.sites[0].rows_of_units.tolist()) & set(graph.sites[1].rows_of_units.tolist())
    assert bool(tied) == (op == "depthwise"), "only a depthwise convolution carries its input's rows along"


def test_one_dimensional_convolutions_and_embeddings() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.conv, self.head = nn.Embedding(9, 4), nn.Conv1d(4, 5, 3), nn.Linear(5, 9, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.gelu(self.conv(F.relu(self.embed(x)).transpose(1, 2))).amax(2))

    graph = trace(Words().eval(), torch.randint(0, 9, (2, 7)))
    assert [(s.op, s.units, [c.name for c in s.consumers]) for s in graph.sites] == [
        ("relu", 4, ["conv"]),
        ("gelu", 5, ["head"]),
    ]


class EveryHead(nn.Module):
    """One Linear for all heads: its column c reads unit c of every head."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 8), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x)).reshape(-1, 2, 4)).sum(1)


def test_a_weight_that_all_heads_share_is_a_barrier_with_its_reason() -> None:
    (site,) = trace(EveryHead().eval(), torch.randn(2, 3)).sites
    assert site.consumers == ()
    assert site.refused == "b reads several units with one column (they lie along another axis too)"


class Experts(nn.Module):
    """Each token goes to the better of two experts; a residual sum before, a residual sum and a head after."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.route, self.head = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 2)
        self.up, self.down = nn.Parameter(torch.randn(2, 4, 6)), nn.Parameter(torch.randn(2, 6, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.mix(x)
        flat = x.reshape(-1, 4)
        chosen, order = self.route(flat).argmax(-1).sort()
        ends = torch.stack([(chosen == 0).sum(), torch.ones_like(chosen).sum()]).to(torch.int32)
        experts = torch.ops.transformers.grouped_mm_fallback
        hidden = F.silu(experts(flat[order], self.up, offs=ends))
        out = experts(hidden, self.down, offs=ends)[order.argsort()]
        return self.head(x + out.reshape(x.shape))


def test_experts_read_the_stream_and_their_own_units_are_refused_by_name() -> None:
    import_transformers()
    import_module("transformers.integrations.moe")
    graph = trace(Experts().eval(), torch.randn(2, 5, 3))
    before, after = graph.sites
    assert (before.kind, after.kind) == ("stream", "stream")
    assert before.refused is None
    assert before.barriers == ()
    assert [(c.name, c.op, c.weight) for c in before.consumers] == [
        ("route", "linear", "route.weight"),
        ("experts", "experts", "up"),
        ("head", "linear", "head.weight"),
    ]
    assert [c.unit_of_column.tolist() for c in before.consumers] == [[0, 1, 2, 3]] * 3
    assert [c.name for c in after.consumers] == ["head"]
    ((name, reason),) = graph.skipped
    assert name == "silu"
    assert "experts, which sends tokens to experts with units of their own at one place" in reason
    assert before.rows_of_units.tolist() == after.rows_of_units.tolist(), "experts write to the stream that they read"
