"""The outputs of several networks for the same examples."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compared import data, graph, mlp
from netcaliper.compare import scores as file
from netcaliper.compare.members import Member
from netcaliper.compare.scores import Asked, ask
from netcaliper.errors import DataError
from netcaliper.trace.graph import Graph
from netcaliper.trace.trace import trace


def members(*graphs: Graph) -> list[Member]:
    return [Member(f"n{number}", f"n{number}", one) for number, one in enumerate(graphs)]


def asked(graphs, given, told=None) -> Asked:
    return ask(members(*graphs), given, lambda *what: None if told is None else told.append(what))


def test_outputs_are_those_of_the_models_and_labels_those_of_the_data():
    told = []
    found = asked([graph(0), graph(1)], data(), told)
    x, y = (torch.cat(part) for part in zip(*data(), strict=True))
    for seed, own in enumerate(found.scores.values()):
        with torch.no_grad():
            expected = mlp(seed)(x).numpy()
        np.testing.assert_allclose(own, expected, atol=1e-6)
        assert found.accuracy(f"n{seed}") == pytest.approx(float((expected.argmax(1) == y.numpy()).mean()))
    assert found.labels is not None
    assert np.array_equal(found.labels, y)
    assert (found.task, found.valid, found.warnings) == ("classification", None, ())
    assert told == [("predictions", 40, 120), ("predictions", 80, 120), ("predictions", 120, 120)]
    assert found.accuracy("nobody") is None


@pytest.mark.parametrize("size", [1, 7, 120])
def test_the_loaders_batches_do_not_matter(size):
    found, expected = asked([graph(0), graph(1)], data(120, size)), asked([graph(0), graph(1)], data())
    assert found.labels is not None
    assert expected.labels is not None
    assert np.array_equal(found.labels, expected.labels)
    for name, own in found.scores.items():
        np.testing.assert_allclose(own, expected.scores[name], atol=1e-6)


def test_examples_without_a_label_count_for_nobody():
    x, y = data(40)[0]
    y = y.clone()
    y[:30] = -100
    found = asked([graph(0)], [(x, y)])
    with torch.no_grad():
        right = mlp(0)(x).argmax(1)[30:] == y[30:]
    assert found.accuracy("n0") == pytest.approx(float(right.float().mean()))
    assert asked([graph(0)], [(x, torch.full_like(y, -100))]).accuracy("n0") is None


@pytest.mark.parametrize(
    "labels", [None, lambda y: y.float()[:, None].expand(-1, 3), lambda y: y[:, None]], ids=["none", "soft", "two axes"]
)
def test_without_labels(labels):
    given = [x if labels is None else (x, labels(y)) for x, y in data()]
    found = asked([graph(0)], given)
    assert found.labels is None
    assert found.accuracy("n0") is None
    assert len(found.scores["n0"]) == 120


def test_labels_of_some_batches_are_labels_of_none():
    (x1, y1), (x2, _), _ = data()
    found = asked([graph(0)], [(x1, y1), (x2, None)])
    assert found.labels is None
    assert len(found.scores["n0"]) == 80


def test_more_outputs_than_are_kept(monkeypatch):
    monkeypatch.setattr(file, "SCORES", 2 * 10 * 4 * 50)  # of 50 examples: two networks, ten classes
    found = asked([graph(0), graph(1)], data())
    assert found.warnings == ("Predictions were compared on 50 of 120 examples.",)
    assert {len(own) for own in found.scores.values()} == {50}
    assert found.labels is not None
    assert np.array_equal(found.labels, torch.cat([y for _, y in data()])[:50])
    assert found.accuracy("n1") is not None


def test_a_regression_has_no_accuracy():
    found = asked([graph(0, classes=1)], data())
    assert found.task == "regression"
    assert found.accuracy("n0") is None


@pytest.mark.parametrize("order", [(10, 1), (1, 10)])
def test_networks_of_two_tasks(order):
    said = "`networks` must answer the same question, 'n0' gives a .*, 'n1' a .*; compare networks of one task"
    with pytest.raises(DataError, match=said) as caught:
        asked([graph(0, classes=classes) for classes in order], data())
    assert "regression" in str(caught.value)
    assert "choice between classes" in str(caught.value)


class Pictures(nn.Module):
    """Outputs that are images."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x * 2) + 1


class Next(nn.Module):
    """Scores of the next token, which depend on this one alone."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.table = nn.Embedding.from_pretrained(torch.randn(7, 7, generator=generator))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return self.table(input_ids).relu() + 0.1


def test_outputs_that_are_no_predictions():
    found = asked([trace(Pictures().eval(), data()[0][0])], data())
    assert found.scores == {}
    (said,) = found.warnings
    assert said.startswith("Predictions were not compared: the output (40, 1, 8, 8) is neither scores of classes")
    assert said.endswith("(n0).")


IDS = torch.randint(0, 7, (12, 6), generator=torch.Generator().manual_seed(2))


def test_tokens_with_their_mask():
    mask = (torch.arange(6) < torch.arange(12)[:, None] % 5 + 2).long()
    given = [{"input_ids": a, "attention_mask": b} for a, b in zip(IDS.split(4), mask.split(4), strict=True)]
    found = asked([trace(Next().eval(), given[0])], given)
    assert found.task == "tokens"
    assert found.scores["n0"].shape == (12, 6, 7)
    assert found.valid is not None
    assert np.array_equal(found.valid, mask.bool())
    assert found.labels is None
    plain = asked([trace(Next().eval(), IDS[:4])], list(IDS.split(4)))
    assert plain.valid is None
    assert np.array_equal(plain.scores["n0"], found.scores["n0"])


def test_sequences_of_several_lengths():
    network = trace(Next().eval(), IDS[:4])
    found = asked([network], [IDS[:4], IDS[4:, :3]])
    assert found.scores == {}
    assert found.warnings == ("Predictions were not compared: the sequences differ in length.",)
