"""Other weights for one graph: it computes what the other network computes, and what does not fit is named."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from bestiary import (
    ClassToken,
    Comparing,
    Decoder,
    FixedBatch,
    Lstm,
    Mixer,
    ReusedRelu,
    SequenceFirst,
    Stock,
    ThirdParty,
    TiedAutoencoder,
    TwoInputs,
    Unknown,
)
from netcaliper.errors import InputError
from netcaliper.feed.fingerprint import model_fingerprint
from netcaliper.trace.graph import Graph
from netcaliper.trace.trace import trace
from networks import FAMILIES, build, randomized
from timm_models import import_timm, import_transformers

BESTIARY: dict[type[nn.Module], object] = {
    ReusedRelu: torch.randn(2, 4),
    TiedAutoencoder: torch.randn(2, 6),
    Lstm: torch.randn(2, 4, 5),
    Comparing: torch.randn(2, 4),
    Unknown: torch.randn(2, 4),
    FixedBatch: torch.randn(2, 4),
    TwoInputs: (torch.randn(3, 4), torch.randn(3, 3)),
    SequenceFirst: torch.randn(5, 3, 4),
    Stock: torch.randn(2, 3, 16, 16),
    Mixer: torch.randn(2, 4, 5),
    Decoder: {"input_ids": torch.randint(0, 7, (3, 5))},
    ClassToken: torch.randn(2, 3, 5),
    ThirdParty: torch.randn(2, 4),
}
TIMM = {
    "resnet10t": {"drop_path_rate": 0.1},
    "convnext_atto": {"depths": (1, 1, 1, 1)},
    "vit_tiny_patch16_224": {"img_size": 32, "depth": 2, "drop_rate": 0.1},
}


class Mixed(nn.Module):
    """Everything besides plain weights that an export lifts: ties, odd buffers, constants, parametrizations."""

    fleeting: Tensor
    lasting: Tensor
    alias: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.tied = nn.Linear(4, 6), nn.Linear(6, 4, bias=False), nn.Linear(6, 4, bias=False)
        self.tied.weight = self.b.weight
        self.register_buffer("fleeting", torch.randn(6), persistent=False)
        self.register_buffer("lasting", torch.randn(6))
        self.register_buffer("alias", self.lasting)
        self.register_buffer("unused", torch.randn(2))
        self.register_buffer("unused_fleeting", torch.randn(2), persistent=False)
        self.constant = torch.randn(4)
        self.hidden = [torch.randn(4)]
        self.frozen = nn.Parameter(torch.randn(4), requires_grad=False)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.a(x) * self.fleeting + self.lasting + self.alias)
        literal = torch.tensor([1.0, 2.0, 3.0, 4.0])
        return self.normed(self.b(y) + self.tied(y) * self.constant + self.hidden[0] + self.frozen * literal)


def check(model: nn.Module, other: nn.Module, example: object) -> None:
    """Let one graph run with both networks' weights, and compare with both networks."""
    graph = trace(model, example)
    swapped = graph.with_state(other.state_dict())
    for network, of_it in ((other, swapped), (model, graph)):
        batch = of_it.example
        with torch.no_grad():
            expected = pytree.tree_leaves(network(*batch.args, **batch.kwargs))
        found = pytree.tree_leaves(of_it.run(batch).output)
        assert len(expected) == len(found)
        for a, b in zip(expected, found, strict=True):
            assert torch.equal(a, b), "another network's output"
    assert not all(
        torch.equal(a, b)
        for a, b in zip(
            pytree.tree_leaves(graph.run(graph.example).output),
            pytree.tree_leaves(swapped.run(graph.example).output),
            strict=True,
        )
    ), "both networks compute the same, so nothing was tested"


@pytest.mark.parametrize("family", FAMILIES)
def test_random_networks(family: str) -> None:
    model, example = build(family, 3)
    check(model, randomized(deepcopy(model), 100), example)


@pytest.mark.parametrize("awkward", BESTIARY, ids=lambda kind: kind.__name__)
def test_awkward_models(awkward: Callable[[], nn.Module]) -> None:
    check(awkward().eval(), awkward().eval(), BESTIARY[awkward])  # type: ignore[index]


@pytest.mark.parametrize("name", TIMM)
def test_timm_models(name: str) -> None:
    def make() -> nn.Module:
        return randomized(import_timm().create_model(name, num_classes=5, **TIMM[name]), 0)

    other = import_timm().create_model(name, num_classes=5, **TIMM[name]).eval()
    check(make(), other, torch.randn(2, 3, 32, 32))


def test_a_language_model_whose_head_is_its_embedding() -> None:
    library = import_transformers()
    config = library.GPT2Config(vocab_size=30, n_embd=8, n_layer=1, n_head=2, n_positions=9, use_cache=False)
    one, other = (library.GPT2LMHeadModel(config).eval() for _ in range(2))
    check(one, other, {"input_ids": torch.randint(0, 30, (2, 5))})


def test_what_a_state_dict_does_not_hold_stays_or_is_given_by_name() -> None:
    one, other = Mixed().eval(), Mixed().eval()
    x = torch.randn(3, 4)
    graph = trace(one, x)
    swapped = graph.with_state(other.state_dict())
    kept = deepcopy(other)
    kept.fleeting, kept.constant, kept.hidden = one.fleeting, one.constant, one.hidden
    assert torch.equal(swapped.run(x).output, kept(x))
    named = graph.with_state(other.state_dict() | {"fleeting": other.fleeting, "constant": other.constant})
    kept.fleeting, kept.constant = other.fleeting, other.constant
    assert torch.equal(named.run(x).output, kept(x))
    assert torch.equal(graph.run(x).output, one(x))


def test_tied_weights_stay_one_and_parameters_stay_parameters() -> None:
    one, other = Mixed().eval(), Mixed().eval()
    graph = trace(one, torch.randn(3, 4)).with_state(other.state_dict())
    fixed = {name: graph.program.fixed(node) for node, name in graph.program.parameters.items()}
    assert fixed["b.weight"] is fixed["tied.weight"]
    assert fixed["lasting"] is fixed["alias"]
    assert isinstance(fixed["frozen"], nn.Parameter)
    assert not fixed["frozen"].requires_grad
    assert fixed["a.weight"].requires_grad
    assert not isinstance(fixed["lasting"], nn.Parameter)
    assert fixed["a.weight"].data_ptr() == other.a.weight.data_ptr(), "the weights were copied"
    assert sum(t.numel() for t in {id(t): t for t in fixed.values()}.values() if isinstance(t, nn.Parameter)) == sum(
        p.numel() for p in other.parameters()
    )


def test_everything_a_graph_does_works_over_other_weights() -> None:
    model, example = build("residual", 1)
    other = randomized(deepcopy(model), 7)
    graph, fresh = trace(model, example).with_state(other.state_dict()), trace(other, example)
    assert [site.name for site in graph.sites] == [site.name for site in fresh.sites]
    assert graph.dtype == fresh.dtype

    def everything(of: Graph) -> list[Tensor]:
        seen: list[Tensor] = []
        of.run(example, taps={"2": lambda value, *_: seen.append(value.clone())})
        forks = of.run(example, forks={site.name: [torch.zeros_like] for site in of.sites}).forks
        seen += [outputs[0] for outputs in forks.values()]
        return [*seen, of.run(example, overrides={"2": lambda value: value * 2}).output]

    assert all(torch.equal(a, b) for a, b in zip(everything(graph), everything(fresh), strict=True))
    prints = []
    for of in (graph, fresh):
        fixed = {name: of.program.fixed(node) for node, name in of.program.parameters.items()}
        prints.append(model_fingerprint({name: fixed[name] for name in sorted(fixed)}))
    assert prints[0] == prints[1]


def test_what_does_not_fit_is_named() -> None:
    graph = trace(Mixed().eval(), torch.randn(3, 4))
    good = dict(Mixed().state_dict())
    with pytest.raises(InputError, match=r"must hold all \d+ weights of the graph, got none named `a\.bias` \(6\)"):
        graph.with_state({name: tensor for name, tensor in good.items() if name != "a.bias"})
    with pytest.raises(
        InputError, match=r"`a\.weight` of `state` must be \(6, 4\) float32 as in the graph, got \(5, 4\)"
    ):
        graph.with_state(good | {"a.weight": torch.zeros(5, 4)})
    with pytest.raises(InputError, match=r"`a\.weight` of `state` must be .* got \(6, 4\) float64"):
        graph.with_state(good | {"a.weight": torch.zeros(6, 4, dtype=torch.float64)})
    with pytest.raises(InputError, match=r"got `module\.a` \(2\) float32, which it does not have"):
        graph.with_state(good | {"module.a": torch.zeros(2)})
    with pytest.raises(InputError, match=r"`a\.bias` of `state` must be finite"):
        graph.with_state(good | {"a.bias": torch.full((6,), torch.nan)})
    with pytest.raises(InputError, match=r"`b\.weight` and `tied\.weight` of `state` must be equal"):
        graph.with_state(good | {"tied.weight": torch.zeros(4, 6)})
