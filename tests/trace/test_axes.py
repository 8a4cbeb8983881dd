"""Where the batch is in a value, and whether its rows lie example by example."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.trace.axes import batch_sizes, input_shapes
from netcaliper.trace.graph import Graph

WAYS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "examples, then tokens": (lambda x: x.reshape(-1, 4), True),
    "windows": (lambda x: x.reshape(x.shape[0], 2, 3, 4).flatten(0, 1), True),
    "tokens, then examples": (lambda x: x.transpose(0, 1).reshape(-1, 4), False),
    "sorted": (lambda x: x.reshape(-1, 4)[x.reshape(-1, 4).sum(1).argsort()], False),
}


class Rows(nn.Module):
    """A site on values whose rows are laid out in one of these ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.first, self.second = way, nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(WAYS[self.way][0](x))))


@pytest.mark.parametrize("way", WAYS)
def test_rows_that_are_not_example_by_example_are_no_site(way: str) -> None:
    graph = nc.trace(Rows(way).eval(), torch.randn(3, 6, 4))
    if WAYS[way][1]:
        (site,) = graph.sites
        value: dict[str, Tensor] = {}
        x = torch.randn(5, 6, 4)
        graph.run(x, taps={site.name: lambda v, *_: value.update(v=v.clone())})
        with torch.no_grad():
            alone = [graph.model.first(example).relu() for example in x]  # type: ignore[operator]
        assert torch.allclose(site.rows(value["v"], 5), torch.stack(alone))
    else:
        assert graph.sites == ()
        assert "not in the order of the examples" in dict(graph.skipped)["relu"]


class Masked(nn.Module):
    """Two inputs whose batch sizes the graph writes with symbols of their own."""

    def forward(self, attention_mask: Tensor, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        return input_ids * 2.0, attention_mask.sum(1)


def test_every_input_tells_the_batch() -> None:
    graph: Graph = nc.trace(Masked().eval(), (torch.ones(3, 4), torch.randn(3, 4)))
    program: Any = graph.padding._program
    sizes = batch_sizes(input_shapes(program))
    assert len(sizes) == 2
    assert all(graph.batch_axis(step.name, -1) == 0 for step in graph.program.steps)
