"""The walk over paths, against every path of random networks, and at operations of every kind."""

from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.errors import InputError
from netcaliper.trace.paths import walk
from netcaliper.trace.program import tensors_of
from path_oracle import Network, Node, Spec, enumerate_paths, example, random_sets, random_spec

NETWORKS, AT_ONCE, SETS = 100, 10, 4


def length(forward, example: Tensor | None = None, **parts: Any):
    """Return the path length of a small network: ``forward(self, x)`` with modules by name."""
    model = type("Small", (nn.Module,), {"forward": forward})()
    for name, part in parts.items():
        setattr(model, name, part)
    given = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)) if example is None else example
    return nc.path_length(nc.trace(model.eval(), given))


def linear(read=4, made=4):
    return nn.Linear(read, made)


def drawn(seed):
    """Return a network with few enough paths whose activations are all sites (units need rows of a weight each)."""
    spec = random_spec(seed)
    if enumerate_paths(spec, {}, {}) is None:
        return drawn(seed + 10_000)
    graph = nc.trace(Network(spec).eval(), example(spec))
    sites = {f"act.{number}" for number, node in enumerate(spec.nodes) if node.kind == "act"}
    return (spec, graph) if sites <= {site.name for site in graph.sites} else drawn(seed + 10_000)


@pytest.mark.parametrize("chunk", range(NETWORKS // AT_ONCE))
def test_equals_all_paths_of_random_networks(chunk):
    for seed in range(chunk * AT_ONCE, (chunk + 1) * AT_ONCE):
        spec, graph = drawn(seed)
        for number in range(SETS):
            active, absent = random_sets(spec, SETS * seed + number) if number else ({}, {})
            paths = enumerate_paths(spec, active, absent)
            assert paths is not None
            found = nc.path_length(graph, active, absent)
            lengths = [len(sites) for _, sites in paths]
            assert found.paths == len(paths)
            if not paths:
                assert found.mean is found.normalized is None
                continue
            assert found.counts == tuple(lengths.count(k) for k in range(len(found.counts)))
            assert found.mean_fraction == Fraction(sum(lengths), len(paths))
            assert found.normalized_fraction == sum(chance * len(sites) for chance, sites in paths)
            for k, chance in enumerate(found.histogram_fractions):
                assert chance == sum(p for p, sites in paths if len(sites) == k)
            for site, passed in found.profile.items():
                assert passed == float(sum(p * sites.count(site) for p, sites in paths))


def test_the_oracle_itself_on_a_network_counted_by_hand():
    spec = Spec([Node("input", 1), Node("dense", 2, (0,)), Node("act", 2, (1,)), Node("add", 2, (2, 1))])
    paths = enumerate_paths(spec, {"act.2": [True, False]}, {})
    quarter = Fraction(1, 4)
    assert sorted(paths or []) == [(quarter, ()), (quarter, ()), (quarter, ()), (quarter, ("act.2",))]


def test_sums_of_sums_are_one_sum_where_nothing_else_reads_the_inner_one():
    parts: dict[str, Any] = {"a": linear(), "b": linear(), "c": linear()}

    def parallel(self, x):
        return torch.relu(self.a(x)) + torch.relu(self.b(x)).clone() + self.c(x)

    def nested(self, x):
        inner = torch.relu(self.a(x)) + torch.relu(self.b(x))
        return torch.cat([inner + self.c(x), inner], 1)

    assert length(parallel, **parts).normalized_fraction == Fraction(2, 3)
    assert length(nested, **parts).normalized_fraction == Fraction(1, 2) * (Fraction(1, 2) + 1)


def test_a_value_added_to_itself_is_one_branch():
    def doubled(self, x):
        y = self.a(x)
        return torch.relu(self.b(y + y)) + (y + 2 * y)

    found = length(doubled, a=linear(), b=linear())
    assert found.normalized_fraction == Fraction(1, 2)
    assert found.paths == 4 * 4 * 4 + 4 * 4


def test_constants_are_no_branches():
    def biased(self, x):
        return torch.relu(self.a(x)) + self.bias

    assert length(biased, a=linear(), bias=nn.Parameter(torch.ones(4))).normalized == 1.0


def test_the_mean_of_a_value_centers_it_and_is_no_branch():
    def centered(self, x):
        y = torch.relu(self.a(x))
        return torch.relu(self.b(y - y.mean(1, keepdim=True)))

    found = length(centered, a=linear(), b=linear())
    assert found.normalized == 2.0
    assert found.paths == 4 * 4 * 4


def test_attention_follows_the_values():
    class Attention(nn.Module):
        def __init__(self, fused):
            super().__init__()
            self.fused, self.q, self.k, self.v = fused, linear(), linear(), linear()

        def forward(self, x):
            q, k, v = torch.relu(self.q(x)), torch.relu(self.k(x)), self.v(x)
            if self.fused:
                return nn.functional.scaled_dot_product_attention(q, k, v)
            return torch.softmax(q @ k.transpose(-2, -1), -1) @ v

    tokens = torch.randn(2, 5, 4)
    for fused, name in ((True, "attention"), (False, "softmax")):
        found = nc.path_length(nc.trace(Attention(fused).eval(), tokens))
        assert found.normalized == 0.0
        assert found.bilinear == ()
        assert found.not_counted == {name: 1}
        assert found.paths == 16  # tokens are no nodes


def test_a_product_of_two_values_without_softmax_follows_both_and_is_named():
    def scores(self, x):
        return torch.relu(self.q(x)) @ self.k(x).transpose(-2, -1)

    found = length(scores, q=linear(), k=linear(), example=torch.randn(2, 3, 4))
    assert found.normalized_fraction == Fraction(1, 2)
    assert found.bilinear == ("matmul",)


def test_a_gated_product_is_one_unit_and_follows_its_value():
    def swiglu(self, x):
        return self.down(nn.functional.silu(self.gate(torch.relu(self.deep(x)))) * self.up(x))

    parts: dict[str, Any] = {"down": linear(), "gate": linear(), "deep": linear(), "up": linear()}
    found = length(swiglu, **parts)
    assert found.normalized == 1.0
    assert found.bilinear == ()
    assert found.profile["swiglu"] == 1.0
    assert found.profile["relu"] == 0.0

    def glu(self, x):
        return nn.functional.glu(torch.cat([self.up(x), torch.relu(self.gate(x))], -1))

    assert length(glu, up=linear(), gate=linear()).normalized == 1.0


def test_a_product_of_two_plain_values_follows_both_and_adds_one():
    def product(self, x):
        return self.a(torch.relu(self.b(x))) * self.c(x)

    found = length(product, a=linear(), b=linear(), c=linear())
    assert found.normalized_fraction == Fraction(3, 2)
    assert found.bilinear == ("product",)


def test_a_tanh_and_a_sigmoid_that_are_multiplied_are_one_gate():
    def wavenet(self, x):
        return torch.tanh(self.a(x)) * torch.sigmoid(self.b(x))

    found = length(wavenet, a=linear(), b=linear())
    assert found.normalized == 1.0
    assert len(found.bilinear) == 1


def test_squeeze_and_excite_scales_the_path_and_adds_nothing():
    class Squeeze(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.small, self.gate = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)
            self.act, self.sigmoid, self.inner = nn.ReLU(), nn.Sigmoid(), nn.ReLU()

        def forward(self, x):
            y = self.act(self.stem(x))
            return y * self.sigmoid(self.gate(self.inner(self.small(y.mean((2, 3), keepdim=True)))))

    found = nc.path_length(nc.trace(Squeeze().eval(), torch.randn(2, 3, 6, 6)))
    assert found.normalized == 1.0
    assert found.profile == {"act": 1.0, "inner": 0.0, "sigmoid": 0.0}
    assert found.not_counted == {"scale": 1}
    assert found.paths == 3 * 4


def test_normalizations_are_named_also_when_they_are_written_out():
    def rms(self, x):
        y = self.norm(self.a(x))
        return self.b(y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6))

    found = length(rms, a=linear(), b=linear(), norm=nn.LayerNorm(4))
    assert found.normalized == 0.0
    assert found.not_counted == {"layer_norm": 1, "normalization": 1}
    assert found.skipped == ()
    assert found.bilinear == ()


def test_a_kernel_counts_once_and_padding_leaves_the_mean():
    def convolved(self, x):
        y = nn.functional.pad(torch.relu(self.a(x)), (1, 1, 1, 1))
        return self.b(nn.functional.max_pool2d(y, 2)).mean((2, 3))

    parts: dict[str, Any] = {"a": nn.Conv2d(2, 6, 3), "b": nn.Conv2d(6, 4, 3, groups=2)}
    found = length(convolved, example=torch.randn(2, 2, 8, 8), **parts)
    assert found.paths == 2 * 3 * 4
    assert found.normalized == 1.0
    assert found.not_counted == {"max_pool": 1}


def test_flattening_gives_every_pixel_a_path():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 36, 3))
    assert nc.path_length(nc.trace(model.eval(), torch.randn(2, 1, 8, 8))).paths == 2 * 36 * 3


def test_a_mean_over_channels_counts_every_channel():
    def averaged(self, x):
        return self.b(torch.relu(self.a(x)).mean(1, keepdim=True))

    found = length(averaged, example=torch.randn(2, 2, 8, 8), a=nn.Conv2d(2, 6, 3), b=nn.Conv2d(1, 1, 3))
    assert found.paths == 2 * 6
    assert found.normalized == 1.0


def test_absent_units_leave_the_mean_and_a_layer_without_any_is_a_gap():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    graph = nc.trace(model, torch.randn(2, 3))
    some = nc.path_length(graph, {"1": [True, True, False, False]}, {"1": [True, False, False, False]})
    assert some.normalized_fraction == Fraction(4, 3)
    assert some.paths == 3 * 3 * 4 * 2
    none = nc.path_length(graph, absent={"1": [True] * 4})
    assert none.mean is None
    assert none.normalized is None
    assert none.gaps == ("2",)
    assert none.paths == 0
    assert none.histogram == ()
    assert none.profile == {"1": 0.0, "3": 0.0}


def test_an_absent_branch_leaves_the_sum():
    def residual(self, x):
        y = torch.relu(self.stem(x))
        return y + self.out(self.act(self.inner(y)))

    model = type("Residual", (nn.Module,), {"forward": residual})()
    model.stem, model.inner, model.act, model.out = linear(), linear(), nn.ReLU(), linear()
    found = nc.path_length(nc.trace(model.eval(), torch.randn(2, 4)), absent={"act": [True] * 4})
    assert found.normalized == 1.0
    assert found.gaps == ("out",)
    assert found.paths == 16


def test_a_nonlinearity_that_is_no_site_counts_and_is_named():
    model = nn.Sequential(nn.ReLU(), nn.Linear(4, 2)).eval()  # its units are made by no weight
    found = nc.path_length(nc.trace(model, torch.randn(2, 4)))
    assert found.normalized == 1.0
    assert found.skipped == ("0.relu",)


def test_fused_recurrent_layers_and_unknown_operations_are_refused_by_name():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x):
            return self.head(self.cell(x)[0])

    with pytest.raises(InputError, match="`lstm` at cell is one operation that hides its gates"):
        nc.path_length(nc.trace(Recurrent().eval(), torch.randn(2, 3, 4)))

    def transformed(self, x):
        return torch.fft.rfft(self.a(x)).real

    with pytest.raises(InputError, match="fft.*not in the rule table"):
        length(transformed, a=linear())


def test_masks_made_by_comparing_are_named():
    def by_hand(self, x):
        y = self.a(x)
        return self.b(y * (y > 0).float())

    assert length(by_hand, a=linear(), b=linear()).not_counted == {"comparison": 1}

    def thresholds(self, x):
        return (self.a(x) > 0).float()

    with pytest.raises(InputError, match="no path from an input"):
        length(thresholds, a=linear())


def test_an_unknown_operation_beside_the_paths_does_no_harm():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.v = linear(), linear()

        def forward(self, x):
            scores = torch.cdist(self.q(x), x)
            return torch.softmax(scores, -1) @ self.v(x)

    assert nc.path_length(nc.trace(Attention().eval(), torch.randn(2, 3, 4))).normalized == 0.0


def test_integers_are_masks_beside_other_inputs_and_data_where_there_is_nothing_else():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.a = nn.Embedding(9, 4), linear()

        def forward(self, input_ids, attention_mask):
            x = self.embed(input_ids) * attention_mask.unsqueeze(-1).float()
            return torch.relu(self.a(x)) + (1 - attention_mask.unsqueeze(-1).float()) * -1e4

    ids = torch.arange(6).reshape(2, 3)
    graph = nc.trace(Masked().eval(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    found = nc.path_length(graph)
    assert found.normalized == 1.0
    assert found.bilinear == ()
    assert found.paths == 16

    def pixels(self, x):
        return torch.relu(self.a(x / 255))

    assert length(pixels, example=torch.arange(8).reshape(2, 4), a=linear()).paths == 16


def test_an_output_without_a_path_is_refused():
    def shapes(self, x):
        return torch.zeros(x.shape[0], 2) + self.a.weight.sum()

    with pytest.raises(InputError, match="no path from an input"):
        length(shapes, a=linear())


def test_the_main_output_is_chosen_by_the_caller():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.act = linear(), nn.ReLU()

        def forward(self, x):
            y = self.a(x)
            return y, self.act(y)

    graph = nc.trace(Two().eval(), torch.randn(2, 4))
    first, second = (walk(graph, {}, {}, lambda output, i=i: tensors_of(output)[i]).state for i in (0, 1))
    assert first is not None
    assert second is not None
    assert (first.paths, second.paths) == ((16,), (0, 16))
