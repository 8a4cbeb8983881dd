"""From rows to dimensions: names, order, reasons."""

import torch
from torch import Tensor, nn

from netcaliper.trace.dimensions import structure_of
from netcaliper.trace.trace import trace


class Mixed(nn.Module):
    """A stream with one block, a part that an output returns, and a layer with nothing between it and the next."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.up, self.down = nn.Linear(3, 4), nn.Linear(4, 6), nn.Linear(6, 4)
        self.narrow, self.head = nn.Linear(4, 2), nn.Linear(2, 5)
        self.aside, self.one, self.after = nn.Linear(4, 3), nn.Linear(4, 1), nn.Linear(1, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.embed(x)
        x = x + self.down(torch.relu(self.up(x)))
        aside = torch.tanh(self.aside(x))
        return self.head(self.narrow(x)), aside, self.after(torch.sigmoid(self.one(x)))


def test_dimensions_are_named_in_the_order_in_which_their_units_are_made() -> None:
    graph = trace(Mixed().eval(), torch.randn(2, 3))
    found = graph.structure
    assert [(d.name, d.kind, d.units) for d in found.dimensions] == [
        ("add", "stream", 4),
        ("relu", "inner", 6),
        ("narrow", "inner", 2),
    ]
    assert dict(found.refused) == {
        "tanh": "an output returns them",
        "sigmoid": "one makes none that could go by itself",
    }
    stream = found.dimension("add")
    assert {consumer.name for consumer in stream.consumers} == {"up", "narrow", "aside", "one"}
    assert {name: line.tolist() for name, line in stream.sites.items()} == {"add": [0, 1, 2, 3]}


def test_frozen_units_of_a_dimension_are_counted_and_the_reason_told() -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.head = nn.Linear(3, 2), nn.Linear(3, 3), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            a = torch.relu(self.a(x))
            return self.head(torch.cat([a, torch.relu(self.b(x))], 1)), a

    (dimension,) = trace(Partly().eval(), torch.randn(2, 3)).structure.dimensions
    assert dimension.frozen.tolist() == [True, True, False, False, False]
    assert dimension.why_frozen == "an output returns them"
    assert [line.tolist() for line in dimension.sites.values()] == [[0, 1], [2, 3, 4]]


def test_a_tensor_with_two_names_is_held_under_both() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 2)
            self.b.weight = self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.c(torch.relu(self.a(x)) + torch.tanh(self.b(x)))

    model = Tied().eval()
    graph = trace(model, torch.randn(2, 3))
    found = structure_of(model, graph.exported, graph.inputs(graph.example), graph.sites)
    (holder,) = [holder for holder in found.dimensions[0].holders if holder.role == "row"]
    assert set(holder.names) == {"a.weight", "b.weight"}
