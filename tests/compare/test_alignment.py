"""The engine on networks: every matrix against naive float64 formulas over features of an out-of-place forward."""

import copy
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cka_oracle as oracle
from bestiary import FixedBatch, ReusedRelu, SequenceFirst, stock
from netcaliper.compare.alignment import Component, Method, Network, align, carried, dominant_count, units_last
from netcaliper.errors import DataError
from netcaliper.feed.sample import Sample, hold
from netcaliper.trace.batches import Batch
from netcaliper.trace.graph import Graph
from netcaliper.trace.layers import chosen_layers
from netcaliper.trace.trace import trace
from padded_models import Language, built, padded, sentences

N = 70
METHOD = Method(batch=16, passes=2)


def network(model: nn.Module, example: object, layers: Sequence[str] | str = "all") -> Network:
    graph = trace(model, example)
    return Network(graph, chosen_layers(graph, layers)[0])


def held(graph: Graph, data: Sequence[object], examples: int = N) -> Sample:
    return hold(data, graph.form, examples=examples, seed=0, limit=None)


def batches_of(sample: Sample, method: Method) -> list[np.ndarray]:
    """Return the indices in the data of every batch of every pass."""
    return [
        batch.indices.numpy() for of_pass in range(method.passes) for batch in sample.partition(of_pass, method.batch)
    ]


@pytest.fixture(scope="module")
def resnet() -> tuple[nn.Module, Tensor, Network, Sample, list[np.ndarray]]:
    """Return an in-place ResNet in float64, images, and the features of all layers from an out-of-place forward."""
    model, _ = stock(torch.float64)
    x = torch.randn(N, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    net = network(model, x[:4])
    values = oracle.stock_values(model, x)
    assert [layer.name for layer in net.layers] == list(values)
    return model, x, net, held(net.graph, list(x.split(9))), [v.flatten(1).numpy() for v in values.values()]


FEW = ["conv1", "relu", "layer1.0.add", "layer2.1.relu#2", "fc"]


def few(net: Network) -> Network:
    return Network(net.graph, tuple(layer for layer in net.layers if layer.name in FEW))


def some(values: list[np.ndarray]) -> list[int]:
    return [0, 1, 3, 10, 11, 24, len(values) - 2, len(values) - 1]


@pytest.mark.parametrize("statistic", ["debiased", "biased"])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_an_in_place_resnet_gives_the_matrix_of_an_out_of_place_one_in_its_order(resnet, statistic, kernel) -> None:
    _, _, net, sample, values = resnet
    method = Method(statistic=statistic, kernel=kernel, batch=16, passes=2)
    found = align([net], sample, method).alignment
    batches, chosen = batches_of(sample, method), some(values)
    if kernel == "rbf":
        first = [_median_distance(values[place][batches[0]]) for place in chosen]
        total = np.zeros((len(chosen), len(chosen)))
        for batch in batches:
            grams = [oracle.rbf(values[p][batch], s) for p, s in zip(chosen, first, strict=True)]
            hsic = oracle.hsic1 if statistic == "debiased" else oracle.hsic0
            pairs = len(batch) * (len(batch) - 3) if statistic == "debiased" else (len(batch) - 1) ** 2
            total += pairs * np.array([[hsic(a, b) for b in grams] for a in grams])
        expected = total / np.sqrt(np.outer(np.diag(total), np.diag(total)))
    else:
        expected = oracle.cka([values[p] for p in chosen], batches, debiased=statistic == "debiased")
    assert np.allclose(found.matrix[np.ix_(chosen, chosen)], expected, rtol=1e-8, atol=1e-9)
    assert bool((np.diag(found.matrix) == 1).all())


def _median_distance(x: np.ndarray) -> float:
    every = np.sort([np.sum((x[i] - x[j]) ** 2) for i in range(len(x)) for j in range(i)])
    return float(every[(len(every) - 1) // 2])  # of two middle ones the lower, as torch has it


def test_examples_of_norm_1(resnet) -> None:
    _, _, net, sample, values = resnet
    method = Method(equal_norms=True, batch=16, passes=2)
    found = align([net], sample, method).alignment.matrix
    chosen = some(values)
    scaled = [values[p] / np.linalg.norm(values[p], axis=1, keepdims=True) for p in chosen]
    # in the engine the division is float64, for so is the network
    assert np.allclose(found[np.ix_(chosen, chosen)], oracle.cka(scaled, batches_of(sample, method)), atol=1e-9)


def test_the_first_component_is_removed_as_from_the_features(resnet) -> None:
    _, _, net, sample, values = resnet
    chosen = some(values)
    removed, left = {}, []
    for place in chosen:
        x = values[place][sample.index]
        x = x - x.mean(0)
        u, s, _ = np.linalg.svd(x, full_matrices=False)
        removed[place] = Component(torch.from_numpy(u[:, 0].copy()), float(s[0] ** 2))
        rest = np.zeros_like(values[place])
        rest[sample.index] = x - np.outer(u[:, 0], u[:, 0] @ x)
        left.append(rest)
    found = align([net], sample, METHOD, without=removed).alignment.matrix
    assert np.allclose(found[np.ix_(chosen, chosen)], oracle.cka(left, batches_of(sample, METHOD)), atol=1e-8)


def test_a_layer_that_was_nothing_but_its_first_component_is_a_gap_and_not_noise() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 1)).eval()
    x = torch.randn(N, 5)
    net = network(model, x[:4])
    sample = held(net.graph, [x])
    with torch.no_grad():
        last = model(x).double()[torch.from_numpy(sample.index), 0]
    last = last - last.mean()
    removed = {len(net.layers) - 1: Component(last / last.norm(), float(last @ last))}
    found = align([net], sample, METHOD, without=removed).alignment.matrix
    assert bool(np.isnan(found[-1]).all())
    assert bool(np.isfinite(found[:-1, :-1]).all())


def test_float32_and_half_precision_networks_agree_with_float64(resnet) -> None:
    model, x, net, sample, _ = resnet
    exact = align([few(net)], sample, METHOD).alignment.matrix
    for dtype, bound in ((torch.float32, 1e-5), (torch.bfloat16, 0.03)):
        other = network(copy.deepcopy(model).to(dtype), x[:4].to(dtype), FEW)
        found = align([other], held(other.graph, [x.to(dtype)]), METHOD).alignment.matrix
        assert np.abs(found - exact).max() < bound, dtype


def test_the_fast_path_is_within_a_thousandth(resnet) -> None:
    model, x, _, _, _ = resnet
    other = network(copy.deepcopy(model).float(), x[:4].float(), FEW)
    sample = held(other.graph, [x.float()])
    exact, fast = (align([other], sample, Method(batch=64, passes=2, fast=f)).alignment.matrix for f in (False, True))
    assert 0 < np.abs(exact - fast).max() < 3e-3  # 64 examples; 1e-3 is for 256


def test_the_same_seed_gives_the_same_bits_whatever_the_batches_of_the_data(resnet) -> None:
    _, x, whole, sample, _ = resnet
    net = few(whole)
    one = align([net], sample, METHOD)
    for cut in (1, 23, N):
        other = align([net], held(net.graph, list(x.split(cut))), METHOD)
        assert np.array_equal(one.alignment.matrix, other.alignment.matrix)
        assert np.array_equal(one.alignment.partition_error, other.alignment.partition_error, equal_nan=True)
        assert np.array_equal(one.weight, other.weight)


def test_two_networks_are_compared_on_the_same_batches_and_a_network_with_itself_is_itself(resnet) -> None:
    model, _, whole, sample, _ = resnet
    net = few(whole)
    again = Network(net.graph, net.layers)
    both = align([net, again], sample, METHOD).alignment
    own, count = align([net], sample, METHOD).alignment, len(net.layers)
    for part in (both.of(slice(0, count)), both.of(slice(count, None)), both.of(slice(0, count), slice(count, None))):
        assert np.allclose(part.matrix, own.matrix, atol=1e-10)
    x = torch.randn(5, 3, 8, 8, dtype=torch.float64)
    before = model(x)
    align([net], sample, METHOD)
    assert torch.equal(model(x), before)


def test_dead_and_constant_layers_are_gaps_and_the_others_are_not_touched(resnet) -> None:
    model, x, _, sample, _ = resnet
    dead = copy.deepcopy(model)
    with torch.no_grad():
        for bn in (dead.layer1[0].bn1, dead.layer2[1].bn2):
            bn.weight.zero_()
            bn.bias.fill_(-1.0)
    other = network(dead, x[:4])
    found = align([other], sample, METHOD).alignment.matrix
    names = [layer.name for layer in other.layers]
    gaps = {name for name, own in zip(names, np.diag(found), strict=True) if np.isnan(own)}
    # layer1.0.conv2 of a zero image, batch norm of it
    assert {"layer1.0.bn1", "layer1.0.relu", "layer2.1.bn2"} <= gaps
    assert not gaps & {"input", "conv1", "layer1.0.conv1", "layer1.0.add", "fc", "layer2.1.add"}
    expected = [v.flatten(1).numpy() for v in oracle.stock_values(dead, x).values()]
    alive = [place for place, name in enumerate(names) if name not in gaps][::5]
    exact = oracle.cka([expected[p] for p in alive], batches_of(sample, METHOD))
    assert np.allclose(found[np.ix_(alive, alive)], exact, atol=1e-8)


class OneAlone(nn.Module):
    """A unit that is on for a single example."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x))) + torch.relu(x[:, :1] - 50)


def test_a_layer_in_which_one_example_alone_differs_has_no_cka() -> None:
    torch.manual_seed(0)
    x = torch.randn(N, 3)
    x[5, 0] = 60.0
    net = network(OneAlone().eval(), x[:4])
    place = [layer.op for layer in net.layers].index("sub")
    name = next(p for p, layer in enumerate(net.layers) if layer.op == "relu" and p > place)
    found = align([net], held(net.graph, [x]), METHOD)
    assert bool(np.isnan(found.alignment.matrix[name]).all())
    assert found.weight[name].sum() == pytest.approx(1)
    assert carried(found.weight)[name] > 0.99


def test_a_reused_module_is_one_layer_a_call() -> None:
    torch.manual_seed(0)
    model, x = ReusedRelu().double().eval(), torch.randn(N, 4, dtype=torch.float64)
    net = network(model, x[:4], ["relu", "relu#2", "relu#3"])
    sample = held(net.graph, [x])
    with torch.no_grad():
        first = torch.relu(model.a(x))
        second = torch.relu(model.b(first))
        third = torch.relu(model.b(second))
    expected = oracle.cka([v.numpy() for v in (first, second, third)], batches_of(sample, METHOD))
    assert np.allclose(align([net], sample, METHOD).alignment.matrix, expected, atol=1e-9)


def test_a_graph_that_is_bound_to_two_examples_gives_the_same() -> None:
    torch.manual_seed(0)
    bound, x = FixedBatch().double().eval(), torch.randn(N + 1, 4, dtype=torch.float64)
    free = nn.Sequential(copy.deepcopy(bound.a), nn.ReLU(), copy.deepcopy(bound.b)).eval()
    method = Method(batch=15, passes=2)
    results = []
    for model, size in ((bound, 2), (free, 4)):
        net = network(model, x[:size])
        assert net.graph.dynamic_batch is (model is free)
        results.append(align([net], held(net.graph, list(x.split(2)), N + 1), method).alignment.matrix)
    assert np.allclose(*results, atol=1e-12)


def test_the_batch_need_not_be_the_first_axis() -> None:
    torch.manual_seed(0)
    model, x = SequenceFirst().double().eval(), torch.randn(N, 5, 4, dtype=torch.float64)
    net = network(model, x[:4], ["a", "relu", "b"])
    sample = held(net.graph, [x])
    with torch.no_grad():
        a = model.a(x)
        values = [a, torch.relu(a), model.b(torch.relu(a))]
    expected = oracle.cka([v.flatten(1).numpy() for v in values], batches_of(sample, METHOD))
    assert np.allclose(align([net], sample, METHOD).alignment.matrix, expected, atol=1e-9)


# ---- tokens


def tokens(length: int | None, *, left: bool = False, fill: int = 0, size: int = 10) -> list[dict[str, Tensor]]:
    chosen = sentences(N, seed=3)
    found = []
    for start in range(0, N, size):
        ids, mask = padded(chosen[start : start + size], length=length, left=left, fill=fill)
        found.append({"input_ids": ids, "attention_mask": mask})
    return found


LAYERS = ["body.words", "body.layer.feed.0", "body.layer.feed.1", "body.layer.add#2", "head"]


@pytest.fixture(scope="module")
def language() -> Network:
    return network(built(Language()), tokens(9)[0], LAYERS)


@pytest.mark.parametrize("features", ["pool", "tokens"])
def test_padding_does_not_matter(language: Network, features) -> None:
    method = Method(features=features, batch=16, passes=2)
    one = align([language], held(language.graph, tokens(9)), method).alignment
    for length, left, fill in ((12, False, 3), (9, True, 5)):
        other = align([language], held(language.graph, tokens(length, left=left, fill=fill)), method).alignment
        assert np.allclose(one.matrix, other.matrix, atol=1e-9)


def test_pooled_layers_are_the_means_over_valid_tokens_and_tokens_are_those_that_were_drawn(language: Network) -> None:
    data = tokens(9)
    sample = held(language.graph, data)
    ids, mask = (torch.cat([batch[key] for batch in data]) for key in ("input_ids", "attention_mask"))
    words = language.graph.model.get_submodule("body.words")(ids).detach()
    pooled = (words * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    head = language.graph.model(ids, mask).detach()
    head = torch.where(mask[..., None] > 0, head, 0.0).sum(1) / mask.sum(1, keepdim=True)
    method = Method(features="pool", batch=16, passes=2)
    found = align([language], sample, method).alignment.matrix[[0, -1]][:, [0, -1]]
    expected = oracle.cka([pooled.numpy(), head.numpy()], batches_of(sample, method))
    assert np.allclose(found, expected, atol=1e-9)


def test_sentences_of_other_lengths_come_in_other_batches(language: Network) -> None:
    method = Method(features="pool", batch=8, passes=2)
    data = tokens(None, size=10)
    sample = held(language.graph, data)
    found = align([language], sample, method).alignment
    assert found.batches == sample.batches(8)
    assert bool(np.isfinite(found.matrix).all())


def test_too_few_examples_of_every_shape_are_refused(language: Network) -> None:
    data = [
        {"input_ids": torch.ones(2, n, dtype=torch.int64), "attention_mask": torch.ones(2, n, dtype=torch.int64)}
        for n in (3, 4, 5)
    ]
    with pytest.raises(DataError, match="of one shape"):
        align([language], held(language.graph, data), METHOD)


# ---- what is not finite, what dominates, what is kept


def test_scores_under_a_mask_are_a_gap_and_a_network_that_ends_in_nan_is_refused() -> None:
    data = tokens(9)
    net = network(built(Language()), data[0])
    found = align([net], held(net.graph, data), METHOD)
    names = [layer.name for layer, row in zip(net.layers, found.weight, strict=True) if np.isnan(row).all()]
    assert names == ["body.layer.attention.masked_fill"]
    empty = np.isnan(np.diag(found.alignment.matrix))
    assert empty.sum() == 1
    assert bool(np.isfinite(found.alignment.matrix[~empty][:, ~empty]).all())
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    with torch.no_grad():
        model[2].weight.fill_(3e38)  # type: ignore[union-attr]
    broken = network(model, torch.randn(4, 3))
    with pytest.raises(DataError, match="layer `2`"):
        align([broken], held(broken.graph, [torch.randn(N, 3)]), METHOD)


def test_what_every_example_carries_sums_to_1_and_shows_dominant_ones() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).eval(), torch.randn(300, 6)
    net = network(model, x[:4])
    plain = align([net], held(net.graph, [x], 300), METHOD).weight
    assert np.allclose(plain.sum(1), 1)
    assert dominant_count(plain) == 3
    assert carried(plain).max() < 0.2
    x[[17, 100, 200]] *= 100
    sample = held(net.graph, [x], 300)
    found = align([net], sample, METHOD).weight
    assert carried(found)[0] > 0.99
    assert set(sample.index[np.argsort(-found[0])[:3]].tolist()) == {17, 100, 200}


def test_outputs_of_the_first_pass_are_kept_and_progress_is_told() -> None:
    model, x = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).eval(), torch.randn(N, 6)
    net = network(model, x[:4])
    told: list[tuple[int, int]] = []
    found = align(
        [net, net],
        held(net.graph, [x]),
        METHOD,
        keep=lambda output, batch: output.clone(),
        tell=lambda phase, done, total: told.append((done, total)),
    )
    assert told == [(n, 10) for n in range(1, 11)]
    assert len(found.outputs) == 2
    for batch, output in found.outputs[1]:
        assert torch.allclose(output, model(x[batch.indices]), atol=1e-6)
    assert sum(batch.size for batch, _ in found.outputs[0]) == N


def test_images_lie_units_last_on_the_processor_and_nothing_else_changes() -> None:
    images, tokens = torch.randn(3, 4, 5, 6), torch.randn(3, 7, 8)
    batch = Batch((images, tokens), {"more": images, "flag": True}, None, 3)
    laid = units_last(batch, torch.device("cpu"))
    assert laid.args[0].is_contiguous(memory_format=torch.channels_last)
    assert not images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(laid.args[0], images)
    assert torch.equal(laid.kwargs["more"], images)
    assert laid.args[1] is tokens
    assert laid.kwargs["flag"] is True
    assert units_last(batch, torch.device("meta")) is batch
