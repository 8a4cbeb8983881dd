"""A mean square is recognized where it divides what it is the mean of, and nowhere else."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from netcaliper.trace.names import operation
from netcaliper.trace.root_mean_square import exit_of


class Written(nn.Module):
    def __init__(self, compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(x)


def found(compute: Callable[[Tensor], Tensor]) -> list[str]:
    program = torch.export.export(Written(compute), (torch.randn(2, 3),)).run_decompositions({})
    means = [node for node in program.graph.nodes if operation(node) in ("aten.mean", "aten.sum")]
    return [operation(end) for mean in means if (end := exit_of(mean)) is not None]


@pytest.mark.parametrize(
    ("compute", "exits"),
    [
        (lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6), ["aten.mul"]),
        (lambda x: torch.rsqrt((x * x).mean(-1, keepdim=True)) * x, ["aten.mul"]),
        (lambda x: x / torch.sqrt(x.square().mean(-1, keepdim=True) + 1e-6), ["aten.div"]),
        (lambda x: x.double() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6), ["aten.mul"]),
        (lambda x: torch.sqrt(x.pow(2).mean(-1, keepdim=True)) / x, []),
        (lambda x: x.exp() * torch.rsqrt(x.pow(2).mean(-1, keepdim=True)), []),
        (lambda x: x * torch.rsqrt(x.pow(3).mean(-1, keepdim=True)), []),
        (lambda x: x * torch.rsqrt(x.pow(2).sum(-1, keepdim=True)), []),
        (lambda x: x - x.mean(-1, keepdim=True), []),
    ],
)
def test_only_a_root_mean_square_is_one(compute: Callable[[Tensor], Tensor], exits: list[str]) -> None:
    assert found(compute) == exits
