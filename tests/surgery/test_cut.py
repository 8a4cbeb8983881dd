"""Cut modules against the masked network, exactly, on small networks whose holders were written down by hand."""

import copy
import itertools
import threading
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cut_structures import check, dimension, gone, structure, traceable, traced
from netcaliper.errors import CutRefused, InputError
from netcaliper.surgery.answers import difference
from netcaliper.surgery.cut import cut, cut_checked
from netcaliper.surgery.masking import masked
from netcaliper.trace.structure import Dimension
from netcaliper.zoo.resnet import ResNet
from networks import randomized

# ---- random chains with known holders


def chain(seed, widths, *, convolutions) -> tuple[Any, Tensor, list[Dimension]]:
    """Return a random chain of layers, its example and its dimensions."""
    layers: list[nn.Module] = []
    places: list[list[Any]] = [[] for _ in widths]
    for number, (before, after) in enumerate(itertools.pairwise(widths), start=1):
        at = str(len(layers))
        last = number == len(widths) - 1
        layers.append(nn.Conv2d(before, after, 3, padding=1) if convolutions else nn.Linear(before, after))
        places[number - 1].append((f"{at}.weight", 1, "column"))
        places[number] += [(f"{at}.weight", 0), (f"{at}.bias", 0, "ride")]
        if not last:
            norm = str(len(layers))
            layers.append(nn.BatchNorm2d(after) if convolutions else nn.BatchNorm1d(after))
            names = ("weight", "bias", "running_mean", "running_var")
            places[number] += [(f"{norm}.{name}", 0, "ride") for name in names]
            layers.append(nn.ReLU() if seed % 2 else nn.Sigmoid())
    model: Any = randomized(nn.Sequential(*layers).double(), seed)
    generator = torch.Generator().manual_seed(seed)
    shape = (3, widths[0], 4, 4) if convolutions else (3, widths[0])
    example = torch.randn(shape, generator=generator, dtype=torch.float64)
    inner = [dimension(f"d{i}", widths[i], *places[i]) for i in range(1, len(widths) - 1)]
    return model, example, inner


@settings(max_examples=4)
@given(seed=st.integers(0, 10**6), widths=st.lists(st.integers(2, 6), min_size=3, max_size=4), conv=st.booleans())
def test_random_chains_are_cut_exactly(seed, widths, conv):
    model, example, inner = chain(seed, widths, convolutions=conv)
    rng = np.random.default_rng(seed)
    removed = {}
    for each in inner:
        lost = rng.choice(each.units, rng.integers(0, each.units), replace=False)
        removed[each.name] = gone(each.units, *lost)
    found: Any = cut_checked(traced(model, example, *inner), removed)
    assert max(found.differences.values()) <= 1e-9
    sizes = [layer.weight.shape[0] for layer in found.module if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert sizes == [*(int((~removed[each.name]).sum()) for each in inner), widths[-1]]


def test_a_planted_dead_unit_changes_nothing_at_all():
    model, example, inner = chain(3, [4, 6, 5, 2], convolutions=True)
    with torch.no_grad():
        model[1].weight[2] = 0
        model[1].bias[2] = -1  # ReLU of -1
    found = check(traced(model, example, *inner), {"d1": gone(6, 2)})
    with torch.no_grad():
        assert difference(model(example), found.module(example)) < 1e-12


# ---- what a module keeps beside its weights


def test_class_hooks_attributes_dtype_and_settings_are_kept():
    calls = []
    model, example, inner = chain(1, [3, 5, 4, 2], convolutions=True)
    model = model.to(memory_format=torch.channels_last)
    model.note = {"any": "thing"}
    model[3].weight.requires_grad_(False)
    model[0].register_forward_hook(lambda *_: calls.append(1))
    found = check(traced(model, example, *inner), {"d1": gone(5, 0), "d2": gone(4, 3)}).module
    assert found.note == model.note
    assert found.note is not model.note
    assert not found[3].weight.requires_grad
    assert found[0].weight.requires_grad
    assert isinstance(found[3].weight, nn.Parameter)
    assert found[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert found[0].weight.dtype == torch.float64
    assert (found[0].out_channels, found[1].num_features, found[3].in_channels, found[3].out_channels) == (4, 4, 4, 3)
    assert not found.training
    calls.clear()
    found(example)
    assert calls == [1]


def test_another_state_is_cut_in_place_of_the_modules_own():
    model, example, inner = chain(2, [3, 5, 2], convolutions=False)
    state = {name: value * 1.5 for name, value in model.state_dict().items() if value.is_floating_point()}
    found = check(traced(model, example, *inner), {"d1": gone(5, 1)}, state=state)
    assert torch.equal(found.module[0].bias, state["0.bias"][[0, 2, 3, 4]])


def test_a_model_that_cannot_be_copied_is_refused_by_name():
    model, example, inner = chain(2, [3, 5, 2], convolutions=False)
    graph = traced(model, example, *inner)
    model[1].lock = threading.Lock()
    with pytest.raises(CutRefused, match=r"`1`.*cannot be copied"):
        cut_checked(graph, {"d1": gone(5, 1)})


def test_a_state_that_does_not_fit_is_refused():
    model, _, inner = chain(2, [3, 5, 2], convolutions=False)
    with pytest.raises(InputError, match=r"`0.weight`.*\(5, 3\).*\(4, 3\)"):
        cut(model, structure(*inner), {}, {"0.weight": torch.ones(4, 3)})
    with pytest.raises(InputError, match=r"`9.weight`"):
        cut(model, structure(*inner), {}, {"9.weight": torch.ones(4, 3)})
    with pytest.raises(InputError, match=r"`1.bias`"):
        cut(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), structure(), {}, {"1.bias": torch.ones(2)})


def test_a_consumer_gets_the_bias_that_it_did_not_have():
    """A constant unit goes, and what it added to the next layer becomes its bias."""
    model: Any = randomized(
        nn.Sequential(nn.Linear(3, 5), nn.Sigmoid(), nn.Linear(5, 4, bias=False), nn.ReLU(), nn.Linear(4, 2)), 0
    )
    with torch.no_grad():
        model[0].weight[2] = 0
    first = dimension("1", 5, ("0.weight", 0), ("0.bias", 0, "ride"), ("2.weight", 1, "column"))
    second = dimension("3", 4, ("2.weight", 0), ("4.weight", 1, "column"))
    graph = traced(model, torch.randn(4, 3), first, second)
    constant = torch.sigmoid(model[0].bias[2]) * model[2].weight[:, 2]
    found = check(graph, {"1": gone(5, 2)}, state={"2.bias": constant.detach()})
    assert found.cuts.biases == ("2.bias",)
    x = torch.randn(6, 3)
    with torch.no_grad():
        assert difference(model(x), found.module(x)) < 1e-6
    narrow = check(graph, {"1": gone(5, 2), "3": gone(4, 0)}, state={"2.bias": constant.detach()})
    assert narrow.module[2].bias.shape == (3,)


# ---- sharing


class Reused(nn.Module):
    """One linear layer, called twice: its inputs and outputs are the same units."""

    def __init__(self):
        super().__init__()
        self.into, self.again, self.out = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.into(x))
        for _ in range(2):
            x = torch.relu(self.again(x))
        return self.out(x)


def test_a_reused_layer_is_cut_along_both_axes():
    names = (("into.weight", 0), ("into.bias", 0, "ride"), ("again.weight", 0), ("again.weight", 1, "column"))
    units = dimension("relu", 6, *names, ("again.bias", 0, "ride"), ("out.weight", 1, "column"))
    found = check(traced(randomized(Reused(), 0), torch.randn(4, 3), units), {"relu": gone(6, 0, 5)})
    assert (found.module.again.in_features, found.module.again.out_features) == (4, 4)


class Tied(nn.Module):
    """Three ways to tie: one Parameter under two names, one buffer, and two Parameters over one storage."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 3, bias=False), nn.Linear(6, 3, bias=False), nn.Linear(6, 3, bias=False)
        self.b.weight = self.a.weight
        self.c.weight = nn.Parameter(self.a.weight.data)
        self.into = nn.Linear(2, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.into(x))
        return self.a(x) + 2 * self.b(x) + 3 * self.c(x)


def test_ties_stay_ties():
    units = dimension(
        "relu", 6, ("into.weight", 0), ("into.bias", 0, "ride"), ("a.weight,b.weight,c.weight", 1, "column")
    )
    model = Tied().eval()
    found: Any = cut(model, structure(units), {"relu": gone(6, 1, 2)}).module
    assert found.a.weight is found.b.weight
    assert found.a.weight.data_ptr() == found.c.weight.data_ptr()
    x = torch.randn(4, 2)
    removed = masked(model.state_dict(), structure(units), {"relu": gone(6, 1, 2)})
    with torch.no_grad():
        assert difference(torch.func.functional_call(model, removed, x, tie_weights=False), found(x)) < 1e-6
        found.a.weight += 1
    assert torch.equal(found.a.weight, found.c.weight)


# ---- convolutions with groups


def test_depthwise_convolutions_lose_the_filter_of_a_unit():
    layers = [nn.Conv2d(3, 6, 1), nn.ReLU6(), nn.Conv2d(6, 12, 3, padding=1, groups=6), nn.BatchNorm2d(12), nn.ReLU6()]
    twice = np.repeat(np.arange(6), 2)
    rides = [(f"3.{name}", 0, "ride", twice) for name in ("weight", "bias", "running_mean", "running_var")]
    units = dimension(
        "1", 6, ("0.weight", 0), ("0.bias", 0, "ride"), ("2.weight", 0, "ride", twice), ("2.bias", 0, "ride", twice),
        *rides, ("5.weight", 1, "column", twice),
    )  # fmt: skip
    model: Any = randomized(nn.Sequential(*layers, nn.Conv2d(12, 4, 1)), 0)
    small = check(traced(model, torch.randn(3, 3, 4, 4), units), {"1": gone(6, 0, 4)})
    assert traceable(small, torch.randn(3, 3, 4, 4))
    found = small.module
    assert (found[2].groups, found[2].in_channels, found[2].out_channels, found[5].in_channels) == (4, 4, 8, 8)


def test_grouped_convolutions_lose_as_many_of_every_group():
    """Channels at one place of all groups are one unit: unit 0 is channels 0 and 3."""
    model: Any = randomized(
        nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 4, 3, groups=2), nn.ReLU(), nn.Conv2d(4, 2, 1)), 0
    )
    each, rows = np.tile(np.arange(3), 2), np.tile(np.arange(2), 2)
    read = dimension("1", 3, ("0.weight", 0, "row", each), ("0.bias", 0, "ride", each), ("2.weight", 1, "column"))
    made = dimension("3", 2, ("2.weight", 0, "row", rows), ("2.bias", 0, "ride", rows), ("4.weight", 1, "column", rows))
    graph = traced(model, torch.randn(3, 3, 5, 5), read, made)
    found = check(graph, {"1": gone(3, 0), "3": gone(2, 1)}).module
    assert (found[2].groups, found[2].in_channels, found[2].out_channels) == (2, 4, 2)


def test_what_does_not_make_whole_groups_is_refused():
    model = nn.Sequential(nn.Conv2d(6, 4, 3, groups=2), nn.Conv2d(4, 2, 1)).eval()
    made = dimension("0", 4, ("0.weight", 0), ("0.bias", 0, "ride"), ("1.weight", 1, "column"))
    with pytest.raises(CutRefused, match="3 channels left of a Conv2d do not make 2 equal groups"):
        cut(model, structure(made), {"0": gone(4, 1)})


# ---- residual streams


def resnet(model) -> list[Dimension]:
    """Return the dimensions of a ResNet of the zoo: inner channels of every block, and the stream of every stage."""
    found, streams = [], []

    def convolution(path, norm):
        rides = [(f"{norm}.{name}", 0, "ride") for name in ("weight", "bias", "running_mean", "running_var")]
        return [(f"{path}.weight", 0), (f"{path}.bias", 0, "ride"), *rides]

    streams.append(convolution("conv", "norm"))
    for s, stage in enumerate(model.stages):
        for b, block in enumerate(stage):
            at = f"stages.{s}.{b}"
            streams[-1].append((f"{at}.conv1.weight", 1, "column"))
            if len(block.shortcut):
                streams[-1].append((f"{at}.shortcut.0.weight", 1, "column"))
                streams.append(convolution(f"{at}.shortcut.0", f"{at}.shortcut.1")[: 2 + 4 * len(block.shortcut[1:])])
                bias = block.shortcut[0].bias is not None
                streams[-1] = [place for place in streams[-1] if bias or not place[0].endswith("0.bias")]
            streams[-1] += convolution(f"{at}.conv2", f"{at}.norm2")
            inner = [*convolution(f"{at}.conv1", f"{at}.norm1"), (f"{at}.conv2.weight", 1, "column")]
            found.append(dimension(f"{at}.act1", block.conv1.out_channels, *inner))
    streams[-1].append(("head.weight", 1, "column"))
    widths = [len(model.state_dict()[each[0][0]]) for each in streams]
    return [*found, *(dimension(f"s{i}", widths[i], *each, kind="stream") for i, each in enumerate(streams))]


def test_resnet20_inner_channels_and_streams():
    model: Any = randomized(ResNet(depth=20, width=0.5, size=8, recipe="nguyen"), 0)
    dimensions = resnet(model)
    removed = {each.name: gone(each.units, *range(i % 3, each.units, 3)) for i, each in enumerate(dimensions)}
    graph = traced(model, torch.randn(2, model.config.channels, 8, 8), *dimensions)
    found = check(graph, removed).module
    assert sum(p.numel() for p in found.parameters()) < 0.5 * sum(p.numel() for p in model.parameters())
    assert found.stages[1][0].conv1.in_channels == int((~removed["s0"]).sum())


class Stream(nn.Module):
    """A residual stream that is normalized before it is read."""

    def __init__(self, norm, units=6):
        super().__init__()
        self.into, self.norm, self.up = nn.Linear(3, units), norm, nn.Linear(units, 5)
        self.down, self.out = nn.Linear(5, units), nn.Linear(units, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.into(x)
        x = x + self.down(torch.relu(self.up(self.norm(x))))
        return self.out(x)


def stream(norm, kind, units=6) -> Dimension:
    rides = [(f"norm.{name}", 0, "ride") for name, _ in norm.named_parameters()]
    return dimension(
        "add", units, ("into.weight", 0), ("into.bias", 0, "ride"), ("down.weight", 0), ("down.bias", 0, "ride"),
        *rides, ("up.weight", 1, "column"), ("out.weight", 1, "column"), kind="stream", norms=[("norm", kind)],
    )  # fmt: skip


@pytest.mark.parametrize("eps", [None, 0.1])
def test_an_rms_norm_over_fewer_units_gives_the_same(eps):
    norm = nn.RMSNorm(6, eps=eps)
    found = check(traced(randomized(Stream(norm), 0), torch.randn(4, 3), stream(norm, "rms_norm")), {"add": gone(6, 1)})
    assert found.module.norm.normalized_shape == (5,)
    assert found.module.norm.eps == pytest.approx((eps or torch.finfo(torch.float32).eps) * 6 / 5)


@pytest.mark.parametrize(
    ("norm", "kind"),
    [(nn.LayerNorm(6), "layer_norm"), (nn.LayerNorm(6, elementwise_affine=False), "layer_norm"),
     (nn.GroupNorm(1, 6), "group_norm")],
)  # fmt: skip
def test_other_norms_run_over_the_units_that_stay(norm, kind):
    graph = traced(randomized(Stream(norm), 0), torch.randn(4, 3), stream(norm, kind))
    found = check(graph, {"add": gone(6, 1)})
    module, x = found.module, torch.randn(5, 3)
    with torch.no_grad():
        y = module.into(x)
        z = (y - y.mean(1, keepdim=True)) / (y.var(1, keepdim=True, unbiased=False) + norm.eps).sqrt()
        z = z if module.norm.weight is None else z * module.norm.weight + module.norm.bias
        assert difference(module.out(y + module.down(torch.relu(module.up(z)))), module(x)) < 1e-5


# ---- refusals


class Flattened(nn.Module):
    """A size is written into the code."""

    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.conv(x)).view(-1, 64))


def test_a_size_in_the_code_is_refused_by_name_and_nothing_else_is():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.Conv2d(5, 3, 1))
            self.second = Flattened()

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x))

    conv = (("second.conv.weight", 0), ("second.conv.bias", 0, "ride"))
    flat = dimension("second.relu", 4, *conv, ("second.out.weight", 1, "column", np.repeat(np.arange(4), 16)))
    free = dimension("first.1", 5, ("first.0.weight", 0), ("first.0.bias", 0, "ride"), ("first.2.weight", 1, "column"))
    graph = traced(randomized(Both(), 0), torch.randn(4, 3, 4, 4), flat, free)
    with pytest.raises(CutRefused, match=r"`second.relu`.*in `second` \(Flattened\).*The units stay") as caught:
        cut_checked(graph, {"second.relu": gone(4, 1), "first.1": gone(5, 1)})
    assert caught.value.dimensions == ("second.relu",)
    check(graph, {"first.1": gone(5, 1)})


class SizeInCode(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.layer_norm(x, (6,))


def test_a_norm_that_cannot_run_over_fewer_units_is_refused_by_name():
    norm = SizeInCode()
    graph = traced(randomized(Stream(norm), 0), torch.randn(4, 3), stream(norm, "layer_norm"))
    with pytest.raises(CutRefused, match=r"`add`: .* in `norm.*what it has to compute cannot be told \(RuntimeError"):
        cut_checked(graph, {"add": gone(6, 1)})


def test_a_structure_that_is_wrong_is_found_out_by_the_answer():
    """A bias that was forgotten: the small module runs, by broadcasting, and answers differently."""
    model: Any = randomized(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)), 0)
    wrong = dimension("1", 2, ("0.weight", 0), ("2.weight", 1, "column"))
    with pytest.raises(CutRefused, match="`1`"):
        cut_checked(traced(model, torch.randn(4, 3), wrong), {"1": gone(2, 1)})


def test_large_weights_that_cancel_may_round_as_much_as_they_do_in_the_masked_network():
    """Sums in another order differ by more than a well-kept network may; float64 tells that nothing is wrong."""
    first, last = nn.Linear(6, 400), nn.Linear(400, 3)
    with torch.no_grad():
        first.weight[200:] = first.weight[:200] + 4e-5
        first.bias[200:] = first.bias[:200]
        last.weight *= 1e4
        last.weight[:, 200:] = -last.weight[:, :200]
    inner = dimension("1", 400, ("0.weight", 0), ("0.bias", 0, "ride"), ("2.weight", 1, "column"))
    graph = traced(nn.Sequential(first, nn.Tanh(), last), torch.randn(64, 6), inner)
    found = cut_checked(graph, {"1": gone(400, *range(37), *range(200, 237))})
    assert found.differences["float64"] < 1e-9
    assert 1e-4 < found.differences["own"] < 1e-2


def test_an_rms_norm_with_its_eps_in_the_code_is_refused_by_name():
    from networks import RMSNorm

    norm = RMSNorm(6)
    graph = traced(randomized(Stream(norm), 0), torch.randn(4, 3), stream(norm, "rms_norm"))
    with pytest.raises(CutRefused, match="`add`.*RMSNorm `norm`.*eps"):
        cut_checked(graph, {"add": gone(6, 1)})


def test_the_model_is_left_as_it_was():
    model, example, inner = chain(4, [3, 5, 2], convolutions=False)
    graph = traced(model, example, *inner)
    state, described = copy.deepcopy(model.state_dict()), repr(model)
    cut_checked(graph, {"d1": gone(5, 1, 2)})
    assert repr(model) == described
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
