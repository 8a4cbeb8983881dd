"""What is a layer, what it is called, and how its value is laid out: against an out-of-place forward by hand."""

from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bestiary
from bestiary import stock
from cka_oracle import stock_values
from netcaliper.errors import InputError
from netcaliper.trace.graph import Graph
from netcaliper.trace.layers import INPUT, LayerValue, chosen_layers, features, find_layers, tap_key
from netcaliper.trace.trace import trace
from padded_models import Classifier, Convolution, Language, built, padded, sentences


def values_of(graph: Graph, layers: tuple[LayerValue, ...], batch: Tensor) -> dict[str, Tensor]:
    """Return the rows of every layer; each is copied while it exists."""
    found: dict[str, Tensor] = {}
    taps = {}
    for layer in layers:
        if layer.op == INPUT:
            found[layer.name] = layer.rows(batch, len(batch))
            continue

        def keep(value: Tensor, *_: Tensor, layer: LayerValue = layer) -> None:
            found[layer.name] = layer.rows(value, len(batch)).clone()

        taps[tap_key(layer)] = keep
    graph.run(batch, taps=taps)
    return {layer.name: found[layer.name] for layer in layers}


def grams(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: (rows := value.flatten(1)) @ rows.T for name, value in values.items()}


def test_the_layers_of_an_in_place_resnet_are_those_of_an_out_of_place_forward_in_its_order_with_its_values() -> None:
    model, x = stock(torch.float64)
    graph = trace(model, x)
    layers, left = find_layers(graph)
    expected = stock_values(model, x)
    assert [layer.name for layer in layers] == list(expected)
    assert left == ()
    found = grams(values_of(graph, layers, x))
    for name, gram in grams(expected).items():
        assert torch.allclose(found[name], gram, rtol=1e-9, atol=1e-9), name
    for layer in layers:
        assert layer.shape == tuple(expected[layer.name].shape[1:])
        assert features(layer) == expected[layer.name][0].numel()


def test_kinds_and_stages_of_a_residual_network() -> None:
    model, x = stock()
    layers, _ = find_layers(trace(model, x))
    streams = [layer.name for layer in layers if layer.kind == "stream"]
    assert streams == [f"layer{s}.{b}.{op}" for s in (1, 2) for b in (0, 1) for op in ("add", "relu#2")]
    stages = {layer.name: layer.stage for layer in layers}
    assert stages["conv1"] == stages["layer1.1.relu#2"] == 0
    assert stages["layer2.0.conv1"] == stages["layer2.0.downsample.1"] == stages["fc"] == 1
    assert [layer.stage for layer in layers] == sorted(layer.stage for layer in layers)
    assert {layer.name: layer.op for layer in layers}["bn1"] == "batch_norm"


def test_the_units_lie_along_the_axis_of_the_channels() -> None:
    model, x = stock(torch.float64)
    graph = trace(model, x)
    layers = {layer.name: layer for layer in find_layers(graph)[0]}
    assert layers[INPUT].units_axis is None
    expected = stock_values(model, x)
    for name in ("conv1", "bn1", "relu", "maxpool", "layer1.0.add", "se.mul", "layer2.1.relu#2"):
        assert torch.allclose(layers[name].pooled(expected[name], 4, None), expected[name].mean((2, 3))), name
    assert torch.equal(layers["fc"].pooled(expected["fc"], 4, None), expected["fc"])


def test_a_reused_module_gives_one_layer_a_call_and_so_does_a_function() -> None:
    model, x = bestiary.ReusedRelu().double().eval(), torch.randn(5, 4, dtype=torch.float64)
    graph = trace(model, x)
    layers, _ = find_layers(graph)
    assert [layer.name for layer in layers] == [
        "input", "a", "relu", "b", "relu#2", "b#2", "relu#3", "relu#4", "c"
    ]  # fmt: skip
    found = values_of(graph, layers, x)
    first = torch.relu(model.a(x))
    second = torch.relu(model.b(first))
    third = model.b(second)
    for name, value in (("relu", first), ("relu#2", second), ("b#2", third), ("relu#3", torch.relu(third))):
        assert torch.allclose(found[name], value), name
    assert torch.equal(found["relu#4"], found["relu#3"])


class Functions(nn.Module):
    """Nothing but functions between two modules, and views."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.a(x))
        y = (y + self.a(x)).reshape(-1, 2, 4).transpose(1, 2).flatten(1)
        return self.b(torch.tanh(y).clone())


def test_functional_activations_and_sums_are_layers_and_views_are_none() -> None:
    model = Functions().eval()
    layers, left = find_layers(trace(model, torch.randn(4, 6)))
    assert [layer.op for layer in layers] == ["input", "linear", "relu", "linear", "add", "tanh", "linear"]
    assert left == ()
    assert len({layer.name for layer in layers}) == len(layers)


def test_masks_and_what_only_they_reach_are_no_layers_and_token_ids_neither() -> None:
    ids, mask = padded(sentences(6))
    layers, _ = find_layers(trace(built(Classifier()), {"input_ids": ids, "attention_mask": mask}))
    names = [layer.name for layer in layers]
    assert names[0] == "body.words"
    assert not any(name.startswith(("input", "cumsum", "body.places", "body.cumsum")) for name in names)
    swapped = find_layers(trace(built(Classifier()), {"attention_mask": mask, "input_ids": ids}))[0]
    assert [layer.name for layer in swapped] == names


def test_attention_scores_have_no_units() -> None:
    ids, mask = padded(sentences(6))
    layers, _ = find_layers(trace(built(Language()), {"input_ids": ids, "attention_mask": mask}))
    axis = {layer.name: layer.units_axis for layer in layers}
    assert axis["body.layer.attention.softmax"] is None
    assert axis["body.layer.attention.q"] == axis["body.layer.feed.1"] == 2


@pytest.mark.parametrize("name", ["Lstm", "Mixer", "SequenceFirst", "TwoInputs", "Comparing", "ClassToken"])
def test_awkward_models_have_layers_in_the_order_of_the_batch(name: str) -> None:
    torch.manual_seed(0)
    model = getattr(bestiary, name)().double().eval()
    shape = {"Lstm": (6, 3, 5), "Mixer": (6, 4, 5), "SequenceFirst": (6, 5, 4), "ClassToken": (6, 3, 5)}
    if name == "TwoInputs":
        left, right = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
        layers, _ = find_layers(trace(model, ((left, right), None)))
        assert [layer.name for layer in layers][:2] == ["input", "input.right"]
        return
    x = torch.randn(shape.get(name, (6, 4)), dtype=torch.float64)
    graph = trace(model, x)
    layers, _ = find_layers(graph)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    one, other = values_of(graph, layers, x), values_of(graph, layers, x[order])
    for layer in layers:
        gram = one[layer.name] @ one[layer.name].T
        assert torch.allclose(gram[order][:, order], other[layer.name] @ other[layer.name].T, atol=1e-9), layer.name


def test_rows_do_not_copy_what_lies_well_in_memory() -> None:
    layer = LayerValue("a", "conv2d", "inner", 0, (3, 4, 5), "a", 0, 1)
    for value in (torch.randn(7, 3, 4, 5), torch.randn(7, 3, 4, 5).to(memory_format=torch.channels_last)):
        rows = layer.rows(value, 7)
        assert rows.shape == (7, 60)
        assert rows.data_ptr() == value.data_ptr()
        assert torch.allclose(rows @ rows.T, value.flatten(1) @ value.flatten(1).T, atol=1e-4)


def test_several_rows_an_example_are_laid_side_by_side() -> None:
    layer = LayerValue("a", "linear", "inner", 0, (3, 4), "a", 0, 1)
    value = torch.randn(6, 4)
    assert torch.equal(layer.rows(value, 2), value.reshape(2, 12))
    assert torch.allclose(layer.pooled(value, 2, None), value.reshape(2, 3, 4).mean(1))
    assert torch.equal(layer.token(value, 2, torch.tensor([2, 0]), None), value[[2, 3]])


def test_padding_is_in_no_mean_and_is_no_token() -> None:
    layer = LayerValue("a", "linear", "inner", 0, (4, 3), "a", 0, 2)
    value = torch.randn(3, 4, 3)
    valid = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]]).bool()
    other = torch.where(valid[..., None], value, 1e6)
    means = torch.stack([value[0, :2].mean(0), value[1, 2:].mean(0), value[2].mean(0)])
    assert torch.allclose(layer.pooled(other, 3, valid), means, atol=1e-6)
    for which in range(2):
        chosen = layer.token(other, 3, torch.full((3,), which), valid)
        assert torch.equal(chosen, torch.stack([value[0, which], value[1, 2 + which], value[2, which]]))


def test_padding_that_is_not_a_number_stays_out_of_the_mean() -> None:
    layer = LayerValue("a", "linear", "inner", 0, (2, 1), "a", 0, 2)
    value = torch.tensor([[[1.0], [torch.nan]]])
    assert layer.pooled(value, 1, torch.tensor([[True, False]])).item() == 1.0


def test_layers_are_chosen_by_name_by_pattern_or_by_kind() -> None:
    model, x = stock()
    graph = trace(model, x)

    def names(layers: object) -> list[str]:
        return [layer.name for layer in chosen_layers(graph, layers)[0]]  # type: ignore[arg-type]

    assert names("all") == [layer.name for layer in find_layers(graph)[0]]
    assert names(["fc", "conv1"]) == ["conv1", "fc"], "in the order of execution"
    assert names("layer1.*.conv?") == [f"layer1.{b}.conv{c}" for b in (0, 1) for c in (1, 2)]
    assert names("streams") == [f"layer{s}.{b}.add" for s in (1, 2) for b in (0, 1)]
    assert set(names("sites")) == {site.name for site in graph.sites}


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ("conv9", "conv9"),
        (["fc", "nothing*"], "nothing"),
        (["fc"], "alone"),
        ([], "none"),
    ],
)
def test_what_matches_nothing_is_named(layers: object, words: str) -> None:
    model, x = stock()
    with pytest.raises(InputError, match=words):
        chosen_layers(trace(model, x), layers)  # type: ignore[arg-type]


def test_a_network_without_a_stream_is_told_so() -> None:
    with pytest.raises(InputError, match="layers='all'"):
        chosen_layers(trace(bestiary.Comparing().eval(), torch.randn(4, 4)), "streams")


def test_the_convolution_over_tokens_has_its_units_first() -> None:
    ids, mask = padded(sentences(6))
    layers, _ = find_layers(trace(built(Convolution()), {"input_ids": ids, "attention_mask": mask}))
    axis = {layer.name: layer.units_axis for layer in layers}
    assert (axis["words"], axis["first"], axis["relu"]) == (2, 1, 1)
