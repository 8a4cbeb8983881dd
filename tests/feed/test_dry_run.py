"""What a dry run tells, counted by hand."""

import pytest
import torch
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.feed.dry_run import dry_run
from netcaliper.trace.batches import as_batch


class Tied(nn.Module):
    """Token embedding and head share one weight; a view of it is no value of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.hidden = nn.Linear(6, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(self.embed(input_ids))))


def test_operations_values_and_weights_of_a_plain_network() -> None:
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)).eval()
    graph = nc.trace(model, torch.randn(4, 5))
    dry = dry_run(graph, as_batch(torch.randn(9, 5)))
    assert dry.macs == 5 * 7 + 7 * 3
    assert dry.weights == 4 * (5 * 7 + 7 + 7 * 3 + 3)
    assert dry.held == 4 * (5 + 7 + 7)  # the input, and the two sides of the ReLU: its input is kept for taps
    assert dry.examples == 1
    assert tuple(dry.shapes[graph.sites[0].node].shape) == (1, 7)
    assert dry.shapes[graph.sites[0].node].is_meta
    assert not dry.sequences


def test_tied_weights_count_once_and_tokens_are_many_predictions() -> None:
    graph = nc.trace(Tied().eval(), {"input_ids": torch.randint(11, (4, 8))})
    dry = dry_run(graph, as_batch({"input_ids": torch.randint(11, (3, 10))}))
    assert dry.weights == 4 * (11 * 6 + 6 * 6 + 6)
    assert dry.sequences
    assert dry.macs == 10 * (6 * 6 + 6 * 11)
    # the ids (int64), hidden values of one layer on each side, or the last of them and the logits
    assert dry.held == 8 * 10 + max(4 * 10 * (6 + 6), 4 * 10 * (6 + 11))


@pytest.mark.parametrize("examples", [1, 7])
def test_nothing_depends_on_the_size_of_the_batch(examples: int) -> None:
    graph = nc.trace(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval(), torch.randn(4, 1, 8, 8)
    )
    dry = dry_run(graph, as_batch(torch.randn(examples, 1, 8, 8)))
    assert (dry.macs, dry.examples) == (36 * 9 * 4 + 144 * 2, 1)
    assert tuple(dry.shapes[graph.sites[0].node].shape) == (1, 4, 6, 6)
