"""Answers with blocks left out: forks and full runs alike, in pieces, in graphs of fixed size."""

import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from netcaliper.compare.left_out_blocks import Answers, Leaving
from netcaliper.feed.protocol import Plan
from netcaliper.trace.graph import NODE, Graph
from netcaliper.trace.residual import residual_blocks
from netcaliper.trace.trace import trace
from networks import randomized

SETS = [frozenset(), frozenset({0}), frozenset({1}), frozenset({2}), frozenset({0, 2}), frozenset({0, 1, 2})]
EXAMPLES = 30


class Three(nn.Module):
    """Three blocks; with ``fixed`` the code is bound to batches of two."""

    def __init__(self, fixed: bool = False) -> None:
        super().__init__()
        self.fixed = fixed
        self.stem, self.head = nn.Linear(4, 6), nn.Linear(6, 5)
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.reshape(2, 4) if self.fixed else x)
        for layer in self.layers:
            x = x + layer(torch.relu(x))
        return self.head(x)


def _answers(graph: Graph, data: list, chosen: np.ndarray) -> Answers:
    plan = Plan(EXAMPLES, 0)
    leaving = Leaving(graph, data, plan, residual_blocks(graph).blocks, lambda phase, done, total: None)
    found = leaving.answers(chosen, SETS, "phase")
    assert isinstance(found, Answers)
    return found


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("held", [None, 1])
def test_answers_are_those_of_full_runs(fixed: bool, held: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if held is not None:
        monkeypatch.setattr(sys.modules[Leaving.__module__], "OUTPUT_BYTES", held)
    torch.manual_seed(0)
    x, labels = torch.randn(EXAMPLES, 4), torch.arange(EXAMPLES) % 5
    graph = trace(randomized(Three(fixed), 0), x[:2])
    blocks = residual_blocks(graph).blocks
    chosen = np.array([0, 3, 4, 11, 12, 17, 29])
    found = _answers(graph, [(x[:14], labels[:14]), (x[14:], labels[14:])], chosen)
    over = [{NODE + blocks[b].branch: torch.zeros_like for b in dropped} for dropped in SETS]
    named = torch.stack([graph.run(x, overrides=each).output.argmax(-1) for each in over])[:, chosen]
    np.testing.assert_array_equal(found.kept, (named == named[0]).double().numpy())
    np.testing.assert_array_equal(found.right, (named == labels[chosen]).double().numpy())
    assert found.binary
    assert found.most_chosen == np.bincount(named[0].numpy()).max() / len(chosen)
    assert found.most_frequent == np.bincount(labels[chosen].numpy()).max() / len(chosen)


def test_without_labels_nothing_is_right_or_wrong() -> None:
    x = torch.randn(EXAMPLES, 4)
    graph = trace(randomized(Three(), 0), x[:2])
    found = _answers(graph, [x], np.arange(5))
    assert np.isnan(found.right).all()
    assert np.isnan(found.most_frequent)
    assert found.scores("agreement")[frozenset()].tolist() == [1.0] * 5
