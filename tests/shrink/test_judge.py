"""Agreement and divergence, against their definitions."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.errors import InputError
from netcaliper.shrink.held import Held
from netcaliper.shrink.judge import Judge, without
from netcaliper.trace.batches import as_batch
from netcaliper.trace.graph import Graph
from networks import randomized


def traced(outputs: int, seed: int = 0) -> Graph:
    model = randomized(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, outputs)).double(), seed)
    return nc.trace(model, torch.zeros(3, 4).double())


def held(graph: Graph, x: Tensor) -> Held:
    parts = [replace(as_batch(part, form=graph.form), indices=torch.arange(len(part))) for part in x.split(40)]
    return Held(tuple(parts), 0)


X = torch.randn(150, 4, generator=torch.Generator().manual_seed(0)).double()


def test_agreement_and_divergence_of_a_classification():
    graph, other = traced(5), traced(5, 1)
    found = Judge(graph, held(graph, X)).judge(without(other))
    a, b = graph.run(X).output, other.run(X).output
    assert found.agreement.value == pytest.approx(float((a.argmax(1) == b.argmax(1)).double().mean()))
    kl = torch.nn.functional.kl_div(b.log_softmax(1), a.log_softmax(1), log_target=True, reduction="batchmean")
    assert found.divergence == pytest.approx(float(kl))
    assert found.agreement.max_abs_difference == pytest.approx(float((a - b).abs().max()))
    assert found.agreement.largest_class == pytest.approx(np.bincount(a.argmax(1)).max() / 150)


def test_agreement_and_divergence_of_a_regression():
    graph, other = traced(1), traced(1, 1)
    judge = Judge(graph, held(graph, X))
    found = judge.judge(without(other))
    a, b = graph.run(X).output, other.run(X).output
    error = float((a - b).square().sum() / (a - a.mean()).square().sum())
    assert judge.task == "regression"
    assert found.agreement.value == pytest.approx(1 - error)
    assert found.divergence == pytest.approx(error)


def test_a_network_agrees_with_itself():
    for outputs in (5, 1):
        graph = traced(outputs)
        found = Judge(graph, held(graph, X)).judge(without(graph))
        assert found.agreement.value == 1
        assert found.divergence == 0


def test_a_branch_that_is_left_out_is_0():
    graph = traced(5)
    found: Any = without(graph, ["relu"])(as_batch(X, form=graph.form))
    assert torch.equal(found, graph.model[2].bias.expand(150, 5))  # type: ignore[index]


def test_an_output_that_is_no_prediction_is_refused():
    graph = nc.trace(nn.Conv2d(1, 2, 1).eval(), torch.zeros(2, 1, 3, 3))
    batch = replace(as_batch(torch.zeros(2, 1, 3, 3), form=graph.form), indices=torch.arange(2))
    with pytest.raises(InputError, match="`model` must return scores or values that can be compared"):
        Judge(graph, Held((batch,), 0))


class Contrastive(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x @ x.T


def test_examples_that_are_scored_against_each_other_are_refused():
    graph = nc.trace(Contrastive().eval(), torch.randn(3, 4).double())
    with pytest.raises(InputError, match="as many scores, got 40 in one batch and 30 in another"):
        Judge(graph, held(graph, X))
