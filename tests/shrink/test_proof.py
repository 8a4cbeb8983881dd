"""The proof's numbers, against computing them from all answers at once."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.errors import DataError
from netcaliper.shrink.proof import Verified, disagreements, gate, memory, multiply_adds, parameters, runner
from netcaliper.stats.intervals import clopper_pearson_lower
from netcaliper.trace.batches import batches
from netcaliper.trace.graph import Graph
from networks import randomized

X = torch.randn(130, 4, generator=torch.Generator().manual_seed(0)).double()
Y = torch.randint(0, 5, (130,), generator=torch.Generator().manual_seed(1))


def traced(seed: int, outputs: int = 5) -> Graph:
    model = randomized(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, outputs)).double(), seed)
    return nc.trace(model, X[:3])


def verified(labels: Tensor | None = Y, outputs: int = 5) -> tuple[Verified, Tensor, Tensor]:
    graph, other = traced(0, outputs), traced(1, outputs)
    raw = list(X.split(40)) if labels is None else list(zip(X.split(40), labels.split(40), strict=True))
    found = Verified(runner(graph.model, graph), {"small": runner(other.model, other)}, batches(raw, form=graph.form))
    return found, graph.run(X).output, other.run(X).output


def test_agreement_and_differences():
    found, a, b = verified()
    same = (a.argmax(1) == b.argmax(1)).numpy()
    agreement = found.agreement("small")
    assert agreement.value == pytest.approx(same.mean())
    assert agreement.low == clopper_pearson_lower(int(same.sum()), 130)
    assert disagreements(agreement) == int((~same).sum())
    own = found.found["small"]
    assert own.largest == pytest.approx(float((a - b).abs().max()))
    assert own.total / own.count == pytest.approx(float((a - b).abs().mean()))
    assert gate(agreement) == found.gate("small")
    assert found.examples == 130


def test_agreement_by_class():
    found, a, b = verified()
    by_class = found.per_class("small")
    assert sum(each.examples for each in by_class.values()) == 130
    for label, each in by_class.items():
        mine = a.argmax(1) == int(label)
        assert (each.agree, each.examples) == (int((b.argmax(1)[mine] == int(label)).sum()), int(mine.sum()))


def test_the_task_metric_is_paired():
    found, a, b = verified()
    metric = found.metric("small")
    before, after = ((out.argmax(1) == Y).double().numpy() for out in (a, b))
    assert metric is not None
    assert (metric.name, metric.before, metric.after) == (
        "accuracy",
        pytest.approx(before.mean()),
        pytest.approx(after.mean()),
    )
    from scipy.stats import ttest_rel

    low, high = ttest_rel(after, before).confidence_interval(0.95)
    assert (metric.low, metric.high) == (pytest.approx(low), pytest.approx(high))


def test_without_labels_there_is_no_metric():
    assert verified(None)[0].metric("small") is None


def test_a_regression():
    found, a, b = verified(None, 1)
    expected = 1 - float((a - b).square().sum() / (a - a.mean()).square().sum())
    assert found.agreement("small").value == pytest.approx(expected)
    assert found.per_class("small") == {}
    assert disagreements(found.agreement("small")) is None


def test_no_examples_are_refused():
    graph = traced(0)
    with pytest.raises(DataError, match="`verification` must hold an example"):
        Verified(runner(graph.model, graph), {}, [])


def test_sizes_of_a_module():
    graph = traced(0)
    assert parameters(graph.model) == 4 * 6 + 6 + 6 * 5 + 5
    assert multiply_adds(graph.model, graph) == 4 * 6 + 6 * 5
    assert memory(graph).weights == 8 * parameters(graph.model)
    shared: nn.Module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    shared[1].weight = shared[0].weight  # type: ignore[index]
    assert parameters(shared) == 9 + 3 + 3
    assert np.isfinite(memory(graph).activations or 0)


class Token(nn.Module):
    """Hands a parameter to a module, as vision transformers do with their class token."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.head = nn.Parameter(torch.randn(1, 4)), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.token.expand(len(x), -1)) + self.head(x)


def test_parameters_that_are_handed_to_modules_are_counted_and_still_ask_for_gradients():
    graph = nc.trace(Token().eval(), torch.randn(2, 4))
    assert multiply_adds(graph.model, graph) == 2 * 4 * 3
    assert all(parameter.requires_grad for parameter in graph.model.parameters())
