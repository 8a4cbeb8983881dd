"""Rows through views, slices and joins, seen where a network reads them."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netcaliper.trace.structure import Dimension
from netcaliper.trace.trace import trace


class Moving(nn.Module):
    """Five channels, moved, and read by a linear layer."""

    def __init__(self, move: Callable[[Tensor], Tensor], reads: int) -> None:
        super().__init__()
        self.move = move
        self.first, self.last = nn.Conv2d(2, 5, 1), nn.Linear(reads, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.move(torch.tanh(self.first(x))))


def units(move: Callable[[Tensor], Tensor], reads: int) -> Dimension | None:
    graph = trace(Moving(move, reads).eval(), torch.randn(2, 2, 2, 3))
    return next(iter(graph.structure.dimensions), None)


@pytest.mark.parametrize(
    ("move", "columns"),
    [
        (lambda y: y.flatten(1), [unit for unit in range(5) for _ in range(6)]),
        (lambda y: y.permute(0, 2, 3, 1).flatten(1), list(range(5)) * 6),
        (lambda y: F.pad(y, (1, 1, 0, 0)).mean((2, 3)), list(range(5))),
        (lambda y: torch.cat([y, y.exp()], 1).amax((2, 3)), list(range(5)) * 2),
        (lambda y: torch.stack([y, -y], 4).sum((2, 3, 4)), list(range(5))),
        (lambda y: y[:, :, 0, 1:].roll(1, 2).flip(2).mean(2), list(range(5))),
        (lambda y: y.repeat(1, 2, 1, 1).mean((2, 3)), list(range(5)) * 2),
        (lambda y: F.pad(y, (0, 0, 0, 0, 1, 2)).mean((2, 3)), [-1, 0, 1, 2, 3, 4, -1, -1]),
    ],
)
def test_columns_read_the_units_where_they_were_moved(move: Callable[[Tensor], Tensor], columns: list[int]) -> None:
    dimension = units(move, len(columns))
    assert dimension is not None
    assert not dimension.frozen.any()
    assert dimension.consumers[0].unit_of_column.tolist() == columns


@pytest.mark.parametrize(
    ("move", "reads"),
    [
        (lambda y: y.roll(1, 1).mean((2, 3)), 5),
        (lambda y: y[:, torch.tensor([4, 3, 2, 1, 0])].mean((2, 3)), 5),
        (lambda y: y[:, 0].flatten(1), 6),
        (lambda y: y.unfold(1, 2, 1).mean((2, 3, 4)), 4),
        (lambda y: torch.stack([y, torch.ones_like(y)], 4).sum((2, 3, 4)), 5),
    ],
)
def test_units_that_are_read_by_their_place_stay(move: Callable[[Tensor], Tensor], reads: int) -> None:
    assert units(move, reads) is None


def test_a_slice_between_units_has_its_bounds_written_in() -> None:
    assert units(lambda y: y[:, 1:3].mean((2, 3)), 2) is None
