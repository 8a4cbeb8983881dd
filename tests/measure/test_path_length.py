"""Path lengths of known networks, and which units count."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

import netcaliper as nc
from netcaliper.errors import InputError
from netcaliper.measure.path_length import exact_units, measured_lengths
from netcaliper.zoo.models import build
from readings import there
from timm_models import import_timm, import_transformers


class Blocks(nn.Module):
    """Post-activation residual blocks of width 2, one inner activation and one behind the sum."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.ModuleList(nn.Linear(2, 2) for _ in range(2)) for _ in range(2))
        self.inner, self.post = (nn.ModuleList(nn.ReLU() for _ in range(2)) for _ in range(2))
        self.head = nn.Linear(2, 1)

    def forward(self, x):
        for first, inner, second, post in zip(self.first, self.inner, self.second, self.post, strict=True):
            x = post(x + second(inner(first(x))))
        return self.head(x)


class Figure1(nn.Module):
    """A residual connection skips four layers of four units (Figure 1 of the paper)."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(1, 4), *(nn.Linear(4, 4) for _ in range(3)), nn.Linear(4, 1)])

    def forward(self, x):
        y = x
        for layer in self.layers[:-1]:
            y = torch.relu(layer(y))
        return x + self.layers[-1](y)


def traced(model, *shape):
    return nc.trace(model.eval(), torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)))


def plain(*widths):
    layers = [
        layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())
    ]  # fmt: skip
    return nn.Sequential(*layers[:-1])


def test_figure_1_of_the_paper():
    found = nc.path_length(traced(Figure1(), 1))
    assert found.paths == 257
    assert found.counts == (1, 0, 0, 0, 256)
    assert found.mean_fraction == Fraction(1024, 257)
    assert found.normalized_fraction == 2
    assert found.histogram_fractions == (Fraction(1, 2), 0, 0, 0, Fraction(1, 2))
    assert found.histogram_fractions[4] / 256 == Fraction(1, 512)
    assert found.effective_depth == 2.0
    assert set(found.profile.values()) == {0.5}


def test_a_plain_chain_has_the_sum_of_its_active_shares():
    graph = traced(plain(3, 4, 4, 2), 3)
    active = {"1": [True, False, False, False], "3": [True, True, False, False]}
    found = nc.path_length(graph, active)
    assert found.mean_fraction == found.normalized_fraction == Fraction(3, 4)
    assert found.paths == 96
    assert found.profile == {"1": 0.25, "3": 0.5}
    one_less = nc.path_length(graph, {**active, "3": [True, False, False, False]})
    assert one_less.mean_fraction == one_less.normalized_fraction == Fraction(3, 4) - Fraction(1, 4)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_plain_network_of_d_layers_has_d_minus_1(depth):
    found = nc.path_length(traced(plain(*[3] * (depth + 1)), 3))
    assert found.mean_fraction == found.normalized_fraction == depth - 1


def test_two_residual_blocks():
    graph = traced(Blocks(), 2)
    found = nc.path_length(graph)
    assert (found.paths, found.mean_fraction, found.normalized_fraction) == (50, Fraction(18, 5), 3)
    some = {"inner.0": [True, False], "post.0": [False] * 2, "inner.1": [False] * 2, "post.1": [True, False]}
    found = nc.path_length(graph, some)
    assert (found.mean_fraction, found.normalized_fraction) == (Fraction(9, 10), Fraction(3, 4))


def test_what_holds_of_every_active_set():
    graph, draw = traced(Blocks(), 2), np.random.default_rng(0)
    names = [site.name for site in graph.sites if site.kind != "stream"]
    nothing = nc.path_length(graph, {name: [False, False] for name in names})
    assert nothing.mean == nothing.normalized == 0.0
    assert nothing.histogram == (1.0,)
    for _ in range(10):
        larger = {name: draw.random(2) < 0.7 for name in names}
        smaller = {name: units & (draw.random(2) < 0.6) for name, units in larger.items()}
        more, less = nc.path_length(graph, larger), nc.path_length(graph, smaller)
        assert 0 <= there(less.normalized) <= there(more.normalized) <= 4
        assert 0 <= there(less.mean) <= there(more.mean) <= 4
        assert sum(more.histogram_fractions) == 1
        assert sum(more.profile.values()) == pytest.approx(more.normalized, abs=1e-12)


@pytest.mark.parametrize(("depth", "length"), [(20, 14.5), (56, 41.5), (110, 82.0)])
def test_residual_networks_for_small_images(depth, length):
    graph = traced(build("resnet", {"depth": depth, "width": 0.25}), 3, 8, 8)
    found = nc.path_length(graph)
    assert found.normalized == length
    assert there(found.mean) > length  # wide branches hold nearly all paths


@pytest.mark.parametrize(("name", "length"), [("resnet18", 13), ("resnet34", 25), ("resnet50", 33)])
def test_residual_networks_for_large_images(name, length):
    model = import_timm().create_model(name, pretrained=False)
    found = nc.path_length(traced(model, 3, 32, 32))
    assert found.normalized_fraction == length
    assert found.not_counted == {"max_pool": 1}


def test_transformers_of_n_layers_have_half_of_n():
    vit = build("vit", {"depth": 5, "width": 8, "heads": 2})
    assert nc.path_length(nc.trace(vit.eval(), vit.config.example_inputs())).normalized == 2.5
    decoder = build("decoder", {"depth": 3, "width": 8, "heads": 2})
    assert nc.path_length(nc.trace(decoder.eval(), decoder.config.example_inputs())).normalized == 1.5


def test_an_encoder_decoder_of_six_and_six_layers():
    model = build("encoder_decoder", {"depth": 6, "width": 8, "heads": 2, "vocabulary": 12, "length": 8})
    graph = nc.trace(model.eval(), model.config.example_inputs())
    found = nc.path_length(graph)
    assert found.normalized == 3.9375
    decoder = {site.name: [False] * site.units for site in graph.sites if site.name.startswith("decoder.")}
    decoder = {name: units for name, units in decoder.items() if graph.site(name).kind != "stream"}
    # with a linear decoder what is left is the encoder's 3.0, halved at every cross-attention but once added again
    assert nc.path_length(graph, decoder).normalized == 3.0 * (1 - 0.5**6)


def test_a_llama_of_n_layers_has_half_of_n_and_none_with_constant_gates():
    library = import_transformers()
    config = library.LlamaConfig(
        hidden_size=8, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=1, intermediate_size=6,
        vocab_size=11, use_cache=False,
    )  # fmt: skip
    model = library.LlamaForCausalLM(config).eval()
    graph = nc.trace(model, {"input_ids": torch.arange(10).reshape(2, 5)})
    found = nc.path_length(graph)
    assert found.normalized == 1.5
    assert found.bilinear == ()
    assert found.skipped == ()
    assert found.not_counted == {"attention": 3, "normalization": 7}
    gates = {site.name: torch.zeros(site.units, dtype=torch.bool) for site in graph.sites if site.kind != "stream"}
    assert len(gates) == 3
    assert nc.path_length(graph, gates).normalized == 0.0


def network():
    """A chain of which six units are linear on the data and two always off."""
    model = plain(6, 12, 8, 3).eval()
    first, second = (layer for layer in list(model)[:3:2] if isinstance(layer, nn.Linear))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        first.bias.zero_()
        second.bias.zero_()
        first.bias[:3], first.bias[3:5], second.bias[:3] = 60.0, -60.0, 4000.0
        second.weight[:, :3] *= 1e-3  # the large ones do not decide what the others do
    return model


def loader(examples=80):
    x = torch.randn(examples, 6, generator=torch.Generator().manual_seed(2)).clamp(-2, 2)
    return [(x[i : i + 40], torch.arange(40) % 3) for i in range(0, examples, 40)]


def test_a_reading_says_which_units_count():
    model = network()
    reading = nc.measure(model, loader(), only="unit_states", twin=False)
    graph = nc.trace(model, loader()[0])
    found = nc.path_length(graph, reading)
    active, constant = exact_units(reading)
    assert [int(units.sum()) for units in constant.values()] == [2, 0]
    assert [int(units.sum()) for units in active.values()] == [7, 5]
    assert found.normalized_fraction == Fraction(7, 10) + Fraction(5, 8)
    assert found.paths == 6 * 10 * 8 * 3
    assert nc.path_length(graph, reading, {"1": [True] * 12}).gaps == ("2",)


def test_measure_reports_the_length_on_the_data_and_on_paper():
    reading = nc.measure(network(), loader(), only="unit_states")
    row = reading.network
    assert row.path_length == there(row.path_length_normalized) < 2
    assert row.paths is not None
    assert reading.twin is not None
    assert reading.twin.network.path_length is not None
    assert (row.paths.nominal, row.paths.nominal_normalized) == (2.0, 2.0)
    assert row.paths.nominal_histogram == (0, 0, 1)
    assert len(row.paths.histogram) == 3
    assert sum(row.paths.profile.values()) == pytest.approx(row.path_length_normalized)
    assert row.paths.log10_paths == pytest.approx(np.log10(6 * 12 * 8 * 3))
    assert row.paths.assumed == ()
    without = nc.measure(network(), loader(), only="redundant", twin=False).network
    assert without.path_length is None
    assert without.paths is not None
    assert without.paths.nominal == 2.0
    assert without.paths.reason is not None
    assert "not read" in without.paths.reason


def test_sites_that_were_not_read_count_as_nonlinear_and_are_named():
    graph = traced(plain(3, 4, 4, 2), 3)
    found, record = measured_lengths(graph, {"1": np.array([0, 1, 2, 2])})
    assert found is not None
    assert found.normalized_fraction == Fraction(2, 3) + 1
    assert record.assumed == ("3",)


def test_no_path_to_the_output_is_said():
    graph = traced(plain(3, 4, 4, 2), 3)
    found, record = measured_lengths(graph, {"1": np.zeros(4, dtype=np.int8), "3": np.full(4, 2)})
    assert found is not None
    assert found.mean is None
    assert record.reason == "no path reaches the output: all that 2 reads is constant"
    assert record.nominal == 2.0


def test_a_network_whose_paths_cannot_be_followed_has_a_reason():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.GRU(4, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x):
            return self.head(self.cell(x)[0])

    found, record = measured_lengths(traced(Recurrent(), 3, 4), {})
    assert found is None
    assert record.reason is not None
    assert "hides its gates" in record.reason


def test_something_that_bends_says_which_units_count():
    class Bends:
        def active(self):
            return {"1": torch.tensor([True, False, False, False])}

    found = nc.path_length(traced(plain(3, 4, 4, 2), 3), Bends())
    assert found.normalized_fraction == Fraction(5, 4)


def test_bad_arguments_are_named():
    graph = traced(Blocks(), 2)
    with pytest.raises(InputError, match="`graph` must be a graph from nc.trace, got Blocks"):
        nc.path_length(Blocks())
    with pytest.raises(InputError, match="'innner.0' is not one of .* did you mean `inner.0`"):
        nc.path_length(graph, {"innner.0": [True, True]})
    with pytest.raises(InputError, match="`active` must have 2 booleans for site 'inner.0', got bool of shape .3,."):
        nc.path_length(graph, {"inner.0": [True] * 3})
    with pytest.raises(InputError, match="`absent` must have 2 booleans for site 'inner.0', got float64"):
        nc.path_length(graph, absent={"inner.0": [0.0, 1.0]})
    with pytest.raises(InputError, match="'add', a residual sum"):
        nc.path_length(graph, {"add": [True, True]})
    reading = nc.measure(network(), loader(), only="redundant", twin=False)
    with pytest.raises(InputError, match="must be a reading with unit states"):
        nc.path_length(traced(network(), 6), reading)
