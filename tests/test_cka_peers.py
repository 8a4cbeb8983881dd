"""What ``benchmarks/cka_correct.py`` and ``benchmarks/cka_peers.py`` take for granted."""

import copy
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cka_oracle as oracle
from benchmark_script import imported
from netcaliper.trace.layers import find_layers


@pytest.fixture(scope="module")
def correct() -> Iterator[ModuleType]:
    with imported("cka_correct") as module:
        yield module


@pytest.fixture(scope="module")
def peers() -> Iterator[ModuleType]:
    with imported("cka_peers") as module:
        yield module


def keep_first(kept: dict[str, Tensor], name: str) -> Callable[[nn.Module, object, Tensor], None]:
    """Return a hook that returns nothing: what a forward hook returns takes the place of the output."""

    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        kept.setdefault(name, output)

    return hook


def test_the_reference_holds_what_an_out_of_place_network_computes(correct: ModuleType) -> None:
    batch = correct.images(5)
    stock, apart = correct.stock().double(), correct.stock(inplace=False).double()
    found = correct.values(stock, batch)
    kept = {}
    for name, module in apart.named_modules():
        module.register_forward_hook(keep_first(kept, name))
    apart(batch.double())
    assert len(found) == len(kept) + 1 + 2 * 4  # the input, and of every block the second ReLU and the sum
    for name, value in kept.items():
        torch.testing.assert_close(found[name], value, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(found["blocks.0.relu#2"], found["blocks.0.add"].relu())


def test_the_reference_is_cka_by_all_quadruples(correct: ModuleType) -> None:
    batch = correct.images(8)
    found = correct.values(correct.stock(), batch)
    grams = [oracle.linear(found[name].flatten(1).numpy()) for name in ("conv1", "fc")]
    cross, first, second = (oracle.hsic1_by_tuples(grams[a], grams[b]) for a, b in ((0, 1), (0, 0), (1, 1)))
    matrix = correct.reference(correct.stock(), ["conv1", "fc"], batch)
    np.testing.assert_allclose(matrix[0, 1], cross / np.sqrt(first * second), rtol=1e-9)


def test_a_hook_that_does_not_clone_and_a_tool_that_raises_are_bad_cells(correct: ModuleType) -> None:
    def keeps_references(model, names, count, size):
        kept = {}
        for name in names:
            model.get_submodule(name).register_forward_hook(lambda _m, _i, out, n=name: kept.setdefault(n, out))
        with torch.no_grad():
            model(correct.images(count))
        rows = [kept[name].flatten(1).double() for name in names]
        grams = [(x - x.mean(0)) @ (x - x.mean(0)).T for x in rows]
        own = [correct.hsic(gram, gram) for gram in grams]
        pairs = list(zip(grams, own, strict=True))
        matrix = [[float(correct.hsic(a, b) / (x * y).sqrt()) for b, y in pairs] for a, x in pairs]
        return correct.Answer(tuple(names), np.array(matrix), {})

    def raises(model, names, count, size):
        raise KeyError("blocks")

    assert correct.judged(correct.convolutions, keeps_references).good
    assert not correct.judged(correct.second_norms, keeps_references).good
    assert not correct.judged(correct.hooks, keeps_references).good
    assert correct.judged(correct.dead, raises).said == "KeyError: 'blocks'"


def test_the_tapped_network_computes_the_same_and_has_a_module_for_every_layer(peers: ModuleType) -> None:
    model = peers.ResNet(depth=8, recipe="nguyen").eval()
    tapped = peers.Tapped(copy.deepcopy(model)).eval()
    images, values = torch.randn(4, 3, 32, 32), []
    for name in tapped.layers():
        tapped.get_submodule(name).register_forward_hook(lambda _m, _i, out: values.append(out.clone()))
    torch.testing.assert_close(tapped(images), model(images))
    layers = find_layers(peers.nc.trace(model, images))[0]
    assert [tuple(value.shape[1:]) for value in values] == [layer.shape for layer in layers]


def test_ratios_are_of_minima_and_medians(peers: ModuleType) -> None:
    assert peers.over([3.0, 9.0, 6.0], [1.0, 2.0, 4.0]) == {"of minima": 3.0, "of medians": 3.0}
    assert peers.over([3.0, 9.0, 8.0], [1.0, 2.0, 4.0]) == {"of minima": 3.0, "of medians": 4.0}
