"""Checkpoints of one training: what fits the graph of another one, and what is refused."""

from functools import cache

import pytest
import torch
from torch import nn

from netcaliper.compare.checkpoints import checkpoint_names, final_graph, over_weights
from netcaliper.errors import InputError
from netcaliper.trace.trace import trace

FEATURES = 12


def net(seed: int, activation: type[nn.Module] = nn.ReLU, width: int = 24) -> nn.Sequential:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(FEATURES, width), activation(), nn.Linear(width, width), activation(), nn.Linear(width, 3)
    )
    model.eval()
    return model


def examples() -> torch.Tensor:
    return torch.randn(20, FEATURES, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    ("checkpoints", "words"),
    [
        ({"only": net(0)}, "at least 2, the final one and an earlier one, got 1"),
        ([net(0), net(1)], "mapping from names to modules or state dicts, got list"),
        ({0: net(0), 1: net(1)}, "got dict with other keys"),
    ],
)
def test_refused(checkpoints, words):
    with pytest.raises(InputError, match=words):
        checkpoint_names(checkpoints)


@cache
def graph():
    return trace(net(1), examples()[:5])


def diverged() -> dict[str, torch.Tensor]:
    return {name: torch.full_like(value, torch.nan) for name, value in net(0).state_dict().items()}


@pytest.mark.parametrize(
    ("checkpoint", "words"),
    [
        (lambda: net(0, width=20), "'a' does not fit that of 'b': `0.weight`"),
        (lambda: net(0).state_dict() | {"more": torch.ones(2)}, "'a' does not fit that of 'b': .*`more`"),
        (net(0)[:3].eval, "'a' does not fit that of 'b': .*4.weight"),
        (lambda: net(0, activation=nn.Tanh), "'a' has weights of the names and shapes of 'b', but computes something"),
        (lambda: net(0).train(), "checkpoint 'a': .*train mode"),
        (lambda: 3, "got int in 'a'"),
        (diverged, "'a' does not fit that of 'b': .*finite"),
    ],
)
def test_checkpoints_of_other_architectures_and_diverged_ones_are_refused(checkpoint, words):
    with pytest.raises(InputError, match=words):
        over_weights(graph(), checkpoint(), "a", "b")


def test_a_checkpoint_computes_what_its_module_does():
    other = net(0)
    for checkpoint in (other, other.state_dict()):
        output = over_weights(graph(), checkpoint, "a", "b").run(examples()).output
        assert torch.allclose(output, other(examples()), atol=1e-6)


def test_the_final_network_may_be_a_state_dict_beside_a_module():
    checkpoints = {"a": net(0), "b": net(1).state_dict()}
    found = final_graph(checkpoints, ("a", "b"), "b", [examples()], None, None, None)
    assert torch.allclose(found.run(examples()).output, net(1)(examples()), atol=1e-6)
