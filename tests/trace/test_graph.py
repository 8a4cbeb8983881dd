"""Running the graph: taps, overrides and forks are exact, and the model is left as it was."""

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from bestiary import (
    ClassToken,
    Decoder,
    FixedBatch,
    Lstm,
    Mixer,
    ReusedRelu,
    SequenceFirst,
    TiedAutoencoder,
    TwoInputs,
    stock,
)
from netcaliper.errors import DataError, InputError
from netcaliper.trace.trace import trace
from networks import FAMILIES, build, randomized


def test_taps_see_every_activation_of_a_stock_in_place_resnet() -> None:
    """Every captured activation equals a float64 reference that clones it, although ReLU and ``+=`` are in place."""
    model, images = stock()
    graph = trace(model, images)
    captured: dict[str, Tensor] = {}
    taps = {
        site.name: (lambda value, *_, name=site.name: captured.__setitem__(name, value.clone())) for site in graph.sites
    }
    graph.run(images, taps=taps)

    reference = copy.deepcopy(model).double()
    cloned: dict[str, list[Tensor]] = {}

    def keep(name: str, _module: nn.Module, _inputs: object, out: Tensor) -> None:
        cloned.setdefault(name, []).append(out.clone())

    for name, module in reference.named_modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(partial(keep, name))
    reference(images.double())
    compared = 0
    for name, outputs in cloned.items():
        for call, expected in enumerate(outputs):
            site = name if call == 0 else f"{name}#{call + 1}"
            assert torch.allclose(captured[site].double(), expected, rtol=1e-4, atol=1e-5), site
            compared += 1
    assert compared == 10
    for block in ("layer1.0", "layer1.1", "layer2.0", "layer2.1"):
        pre = captured[f"{block}.add"]
        assert bool((pre < 0).any()), "the residual sum was overwritten by the in-place ReLU"
        assert torch.equal(pre.clamp_min(0), captured[f"{block}.relu#2"])


@pytest.mark.parametrize("family", FAMILIES)
def test_forks_equal_full_runs_with_the_override(family: str) -> None:
    model, example = build(family, 1)
    graph = trace(model, example)

    def halve(value: Tensor) -> Tensor:
        return value * 0.5

    forks = graph.run(example, forks={site.name: [torch.zeros_like, halve] for site in graph.sites}).forks
    for site in graph.sites:
        for fork, override in zip(forks[site.name], [torch.zeros_like, halve], strict=True):
            assert torch.equal(fork, graph.run(example, overrides={site.name: override}).output), site.name
    assert torch.equal(graph.run(example).output, model(example))


def test_taps_get_the_pre_activation() -> None:
    model, images = stock(torch.float64)
    graph = trace(model, images)
    seen = []

    def tap(value: Tensor, z: Tensor) -> None:
        seen.append(torch.equal(value, z.clamp_min(0)))

    graph.run(images, taps={site.name: tap for site in graph.sites if site.op == "relu"})
    assert seen
    assert all(seen)


def test_values_are_freed_after_their_last_reader() -> None:
    """A deep chain never holds more than a few activations at a time."""
    model = nn.Sequential(*(layer for _ in range(30) for layer in (nn.Linear(64, 64), nn.ReLU()))).eval()
    graph = trace(model, torch.randn(2, 64))
    alive: list[int] = []
    fixed = len(graph.program.parameters) + 1
    graph.program.run([torch.randn(2, 64)], keep=lambda _s, _v, values: alive.append(len(values) - fixed))
    assert max(alive) <= 3


def test_a_fork_costs_only_its_suffix() -> None:
    model = nn.Sequential(*(layer for _ in range(10) for layer in (nn.Linear(8, 8), nn.ReLU()))).eval()
    graph = trace(model, torch.randn(2, 8))
    lengths = [len(graph.program.suffix(site.node).dependent) for site in graph.sites]
    assert lengths == sorted(lengths, reverse=True)
    assert sum(lengths) <= 0.6 * len(graph.sites) * len(graph.program.steps)


def test_a_graph_bound_to_one_batch_size_takes_any() -> None:
    model = FixedBatch().eval()
    graph = trace(model, torch.randn(2, 4))
    assert not graph.dynamic_batch
    assert graph.static_reason
    x = torch.randn(7, 4)
    rows = []
    out = graph.run(x, taps={"relu": lambda value, *_: rows.append(value.clone())}, forks={"relu": [torch.zeros_like]})
    expected = torch.cat([model(x[i : i + 2]) for i in (0, 2, 4)] + [model(x[[6, 6]])[:1]])
    assert torch.equal(out.output, expected)
    assert torch.cat(rows).shape == (7, 6)
    assert torch.allclose(out.forks["relu"][0], model.b.bias.expand(7, 3))


def test_outputs_keep_their_structure_and_several_inputs_are_taken() -> None:
    model = TwoInputs().eval()
    batch = (torch.randn(3, 4), torch.randn(3, 3))
    graph = trace(model, batch)
    assert torch.equal(graph.run(batch).output["logits"], model(*batch)["logits"])
    assert torch.equal(graph.run((*batch, torch.zeros(3))).output["logits"], model(*batch)["logits"])
    named = trace(model, {"left": batch[0], "right": batch[1]})
    assert torch.equal(named.run({"right": batch[1], "left": batch[0]}).output["logits"], model(*batch)["logits"])


def test_the_batch_axis_is_found() -> None:
    graph = trace(SequenceFirst().eval(), torch.randn(5, 3, 4))
    site = graph.site("relu")
    assert (site.batch_axis, site.axis) == (1, 2)
    shapes = []
    graph.run(torch.randn(5, 3, 4), taps={"relu": lambda value, *_: shapes.append(site.rows(value, 5).shape)})
    assert shapes == [(5, 3, 6)]


def test_reused_modules_give_one_site_a_call() -> None:
    graph = trace(ReusedRelu().eval(), torch.randn(2, 4))
    assert [site.name for site in graph.sites] == ["relu", "relu#2", "relu#3", "relu#4"]
    assert [c.name for c in graph.site("relu#2").consumers] == ["b#2"]
    assert graph.site("relu").group == graph.site("relu#2").group == "g1", (
        "b is used twice, so its rows and columns are tied"
    )


def test_a_tied_weight_couples_rows_and_columns() -> None:
    graph = trace(TiedAutoencoder().eval(), torch.randn(2, 6))
    site = graph.site("relu")
    (consumer,) = site.consumers
    assert consumer.weight == "encode.weight"
    assert consumer.unit_of_column.tolist() == [0, 1, 2, 3]


def test_recurrent_cells_are_read_and_their_insides_named_as_skipped() -> None:
    graph = trace(Lstm().eval(), torch.randn(2, 4, 5))
    (consumer,) = graph.site("relu").consumers
    assert (consumer.op, consumer.unit_of_column.tolist()) == ("lstm", list(range(6)))
    assert [name for name, _ in graph.skipped] == ["lstm"]


def test_token_mixing_finds_the_units_of_the_nearest_producer() -> None:
    model = randomized(Mixer().double(), 0)
    graph = trace(model, torch.randn(2, 4, 5, dtype=torch.float64))
    tokens, channels = graph.site("blocks.0.tokens.1"), graph.site("blocks.0.channels.2")
    assert (tokens.units, tokens.axis) == (3, 2)
    assert (channels.units, channels.axis) == (12, 2)
    assert [c.name for c in tokens.consumers] == ["blocks.0.tokens.2"]
    stream = graph.site("blocks.0.add")
    assert (stream.kind, stream.units) == ("stream", 6)
    assert "head" in [c.name for c in stream.consumers]


def test_a_decoder_is_asked_for_no_cache() -> None:
    model = Decoder().eval()
    tokens = torch.randint(0, 7, (3, 5))
    graph = trace(model, {"input_ids": tokens})
    assert torch.equal(graph.run({"input_ids": tokens}).output["logits"], model(tokens)["logits"])


def test_a_class_token_is_tied_to_the_patches() -> None:
    graph = trace(ClassToken().eval(), torch.randn(2, 3, 5))
    (stream,) = graph.sites
    assert (stream.kind, stream.units, stream.axis) == ("stream", 4, 2)
    assert graph.groups[0].producers == ("embed", "mix")
    assert [(c.name, c.through) for c in stream.consumers] == [("head", ("norm",))]


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (torch.randn(2, 3, 17, 16), "shape (2, 3, 17, 16)"),
        (torch.randn(2, 3, 16, 16, dtype=torch.float64), "dtype torch.float64"),
        ((torch.randn(2, 3, 16, 16), torch.randn(2, 1), torch.zeros(2)), "positional inputs"),
    ],
)
def test_batches_that_do_not_fit_are_refused(batch: object, words: str) -> None:
    graph = trace(*stock())
    with pytest.raises(DataError) as error:
        graph.run(batch)
    assert words in str(error.value)


def test_unknown_sites_and_wrong_overrides_are_refused() -> None:
    model, images = stock()
    graph = trace(model, images)
    with pytest.raises(InputError, match=r"did you mean `layer1\.0\.relu`"):
        graph.site("layer1.0.rlu")
    with pytest.raises(InputError, match="must have shape"):
        graph.run(images, overrides={"relu": torch.zeros(1)})


class Namesakes(nn.Module):
    """The first ReLU has the name of a module as a site and ``relu`` as a node, the second ``relu`` as a site."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 6), nn.ReLU())
        self.last = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.last(self.inner(x)))


def test_a_node_is_told_from_a_site_of_the_same_name() -> None:
    graph = trace(Namesakes().eval(), torch.randn(3, 4))
    assert [(site.name, site.node) for site in graph.sites] == [("inner.1", "relu"), ("relu", "relu_1")]
    seen: dict[str, int] = {}
    keys = ("inner.1", "relu", "%relu", "%relu_1")
    graph.run(torch.randn(3, 4), taps={key: lambda v, *_, key=key: seen.update({key: v.shape[1]}) for key in keys})
    assert seen == {"inner.1": 6, "relu": 5, "%relu": 6, "%relu_1": 5}


def test_a_batch_that_the_model_itself_does_not_take_is_the_fault_of_the_batch() -> None:
    model, tokens = build("attention_ffn", 3)
    graph = trace(model, tokens)
    with pytest.raises(DataError, match=r"does not take a batch of the data \(examples 0 to 3\): IndexError"):
        graph.run(tokens + 1000)

    def broken(value: Tensor, *_: Tensor) -> None:
        raise ValueError("of the tap")

    with pytest.raises(ValueError, match="of the tap"):
        graph.run(tokens, taps={graph.sites[0].name: broken})
