"""Folded networks against the unfolded formula at every site of the traced graph."""

import copy
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import netcaliper as nc
from fold_oracle import random_alphas, relative, unfolded
from netcaliper.errors import InputError
from netcaliper.surgery import fold as surgery_fold
from netcaliper.surgery.fold import fold
from netcaliper.zoo.decoder import Decoder
from netcaliper.zoo.mlp import MLP
from netcaliper.zoo.resnet import ResNet
from netcaliper.zoo.vit import ViT
from networks import FAMILIES, build, randomized
from timm_models import import_timm, import_transformers

BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-5}


def check(model, example, alphas=None, targets=None, *, seed=0, other=None, bounds=BOUNDS, **settings):
    """Fold in both precisions and compare with the oracle on the example and on another batch."""
    for dtype, bound in bounds.items():
        network = copy.deepcopy(model).to(dtype).eval()
        data = example.to(dtype) if isinstance(example, torch.Tensor) and example.is_floating_point() else example
        graph = nc.trace(network, data)
        given = (alphas, targets) if alphas is not None else random_alphas(graph, seed)
        folded = fold(graph, given[0], targets=given[1], **settings)
        batches = [data] if other is None else [data, other.to(dtype) if other.is_floating_point() else other]
        for batch in batches:
            expected = unfolded(graph, batch, *given)
            with torch.no_grad():
                got = folded.model(**batch) if isinstance(batch, dict) else folded.model(batch)
            got, expected = getattr(got, "logits", got), getattr(expected, "logits", expected)
            assert relative(got, expected) <= bound
    return folded


def all_ones(graph):
    return {site.name: torch.ones(site.units) for site in graph.sites if site.kind != "stream"}


# ---- random networks


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(1))
def test_random_networks_of_every_family(family, seed):
    model, example = build(family, seed)
    graph = nc.trace(model.eval(), example)
    alphas, targets = random_alphas(graph, seed)
    check(model, example, alphas, targets, other=torch.cat([example, example + 1])[:3])


class Convolutions(nn.Module):
    """Convolutions with whatever stride, padding, dilation, groups and BatchNorm, some with a shortcut."""

    def __init__(self, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def pick(*options):
            return options[int(torch.randint(len(options), (), generator=generator))]

        self.blocks, self.skips = nn.ModuleList(), []
        for _ in range(4):
            k = pick(1, 1, 2, 3)
            same = pick(True, False) and k != 2
            layers = [
                nn.Conv2d(
                    8, 8, k, stride=1 if same else pick(1, 2), padding=k // 2 if same else pick(0, 1),
                    dilation=1 if same else pick(1, 2), groups=pick(1, 1, 2, 8), bias=pick(True, False),
                )
            ]  # fmt: skip
            layers += [nn.BatchNorm2d(8, eps=pick(1e-5, 1e-2))] if pick(True, False) else []
            self.blocks.append(nn.Sequential(*layers))
            self.skips.append(same and pick(True, False))
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        for block, skip in zip(self.blocks, self.skips, strict=True):
            x = F.relu(x + block(x) if skip else block(x))
        return self.head(x.mean((2, 3)))


@settings(max_examples=4)
@given(st.integers(0, 10**6))
def test_convolutions_of_every_geometry(seed):
    model = randomized(Convolutions(seed), seed)
    example = torch.randn(2, 8, 19, 23, generator=torch.Generator().manual_seed(seed))
    graph = nc.trace(model, example)
    check(model, example, *random_alphas(graph, seed, whole=0.5), bounds={torch.float64: 1e-9})


@settings(max_examples=5)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(0, 10**6), st.sampled_from(["relu", "gelu"]))
def test_perceptrons_with_random_masks(widths, seed, activation):
    model = randomized(MLP(6, widths, 3, activation=activation), seed)
    check(model, torch.randn(4, 6, generator=torch.Generator().manual_seed(seed)), seed=seed)


# ---- networks that people have

NETWORKS = {
    "mlp": lambda: (MLP(16, (40, 24), 3, activation="tanh"), torch.randn(2, 16)),
    "resnet": lambda: (randomized(ResNet(14, 0.5, size=8), 1), torch.randn(2, 3, 8, 8)),
    "vit": lambda: (ViT(16, 2, 2), torch.randn(2, 1, 8, 8)),
    "decoder": lambda: (
        Decoder(16, 2, 2, vocabulary=11, length=8, gated=True, activation="silu", tied=True),
        torch.randint(0, 11, (2, 6)),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_the_zoo(name):
    model, example = NETWORKS[name]()
    other = example.repeat(2, *[1] * (example.dim() - 1))[:3]
    folded = check(model, example, other=other, seed=3)
    assert folded.record["parameters"][1] < folded.record["parameters"][0]
    assert folded.record["macs"][1] <= folded.record["macs"][0]


def test_llama_and_gpt2_keep_their_outputs_and_inputs():
    transformers = import_transformers()
    common = {"bos_token_id": 0, "eos_token_id": 1}
    llama = transformers.LlamaConfig(
        vocab_size=32, hidden_size=8, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, **common,
    )  # fmt: skip
    gpt2 = transformers.GPT2Config(vocab_size=32, n_embd=8, n_layer=2, n_head=2, n_positions=16, **common)
    batch = {"input_ids": torch.randint(0, 32, (2, 6)), "attention_mask": torch.ones(2, 6, dtype=torch.long)}
    batch["attention_mask"][0, 4:] = 0
    for model in (transformers.LlamaForCausalLM(llama), transformers.GPT2LMHeadModel(gpt2)):
        # a Llama in float64 has norms in float32, as its code says
        folded = check(model, batch, seed=2, bounds={torch.float32: 1e-5})
        assert folded.record["difference"]["float64"]["relative"] < 1e-9
        kinds = [step["kind"] for step in folded.record["steps"]]
        assert "partly linear" in kinds or "merged" in kinds
        assert type(folded.model(**batch)).__name__.startswith("CausalLM")


def test_timm_resnet18():
    model = randomized(import_timm().create_model("resnet18", num_classes=5), 0)
    folded = check(model, torch.randn(2, 3, 64, 64), seed=1)
    assert not any("running_mean" in name for name, _ in folded.model.named_buffers()), "all BatchNorms are folded"


# ---- what is merged, and what is refused


def test_a_linear_perceptron_is_one_matrix():
    model, example = MLP(16, (64, 64), 3), torch.randn(2, 16)
    folded = check(model, example, all_ones(nc.trace(model.eval(), example)))
    assert {name: tuple(p.shape) for name, p in folded.model.named_parameters()} == {
        "head.weight": (3, 16),
        "head.bias": (3,),
    }
    assert folded.record["macs"] == [16 * 64 + 64 * 64 + 64 * 3, 16 * 3]
    assert folded.record["refused"] == []


def test_a_narrow_waist_stays_factored():
    model, example = MLP(32, (2,), 32), torch.randn(2, 32)
    folded = check(model, example, {"hidden.0.act": torch.ones(2)})
    assert folded.record["macs"] == [128, 128]
    assert "1,024 multiply-adds an example instead of 128" in folded.record["refused"][0]["why"]


def test_only_exactly_one_is_linear():
    model, example = MLP(8, (32,), 3), torch.randn(4, 8)
    folded = check(model, example, {"hidden.0.act": torch.full((32,), 0.999999)})
    assert folded.record["linear"] == 0
    assert folded.record["steps"] == []


def test_a_feed_forward_network_pays_from_an_eighth_on():
    """n = 4 d: a bypass of d x d costs less than d / 2 linear units, that is 12.5 %."""
    model, example = ViT(16, 1, 2), torch.randn(2, 1, 8, 8)
    for linear, pays in ((8, False), (9, True)):
        alphas = {"blocks.0.ffn.act": (torch.arange(64) < linear).float()}
        kinds = [step["kind"] for step in check(model, example, alphas).record["steps"]]
        assert ("partly linear" in kinds) == pays


class Stack(nn.Sequential):
    """Layers in a row, as a module with children named by numbers."""


def pads_in_between(stride=1):
    return randomized(Stack(nn.Conv2d(2, 12, 3, stride, 1), nn.ReLU(), nn.Conv2d(12, 2, 3, 1, 1)), 0)


@pytest.mark.parametrize(("stride", "wrong", "of"), [(1, 44, 144), (2, 20, 36)])
def test_the_padded_ring_is_refused_or_its_error_is_printed(stride, wrong, of):
    model, example = pads_in_between(stride), torch.randn(1, 2, 12, 12).repeat(2, 1, 1, 1).double()
    model = model.double()
    graph = nc.trace(model, example)
    alphas = {"1": torch.ones(12)}
    expected = unfolded(graph, example, alphas)
    exact = fold(graph, alphas)
    assert relative(exact.model(example), expected) < 1e-9
    (refusal,) = exact.record["refused"]
    assert refusal["what"] == "0 into 2"
    assert "wrong at the border" in refusal["why"]
    interior = fold(graph, alphas, mode="interior")
    got = interior.model(example)
    assert int(((got - expected).detach().abs() > 1e-9).any(1)[0].sum()) == wrong
    assert got[0, 0].numel() == of
    assert [step["exact"] for step in interior.record["steps"] if step["kind"] == "merged"] == [False]
    printed = interior.record["difference"]["float64"]
    assert printed["largest"] == pytest.approx(float((got - expected).detach().abs().max()))
    assert printed["relative"] > 0.05


def test_a_pointwise_convolution_before_a_padded_one_needs_a_bias_map():
    model, example = (
        randomized(Stack(nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1)), 0),
        torch.randn(2, 3, 6, 7),
    )
    folded = check(model, example, {"1": torch.ones(16)})
    shapes = {name: tuple(p.shape) for name, p in folded.model.named_parameters()}
    assert shapes == {"2.weight": (3, 3, 3, 3), "2.bias": (3, 6, 7)}


def test_a_pointwise_convolution_goes_into_the_one_before():
    model, example = (
        randomized(Stack(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 1)), 0),
        torch.randn(2, 3, 6, 7),
    )
    folded = check(model, example, {"1": torch.ones(16)})
    assert {name: tuple(p.shape) for name, p in folded.model.named_parameters()} == {
        "2.weight": (3, 3, 3, 3),
        "2.bias": (3,),
    }


def test_an_inverted_residual_becomes_one_convolution():
    """Expansion, depthwise convolution, projection, skip: two of them cost more than three, all of them less."""

    class Inverted(nn.Module):
        def __init__(self):
            super().__init__()
            self.expand, self.expand_norm = nn.Conv2d(8, 48, 1, bias=False), nn.BatchNorm2d(48)
            self.depthwise = nn.Conv2d(48, 48, 3, padding=1, groups=48, bias=False)
            self.norm = nn.BatchNorm2d(48)
            self.project = nn.Conv2d(48, 8, 1)

        def forward(self, x):
            h = F.relu6(self.expand_norm(self.expand(x)))
            return x + self.project(F.relu6(self.norm(self.depthwise(h))))

    model, example = randomized(Inverted(), 0), torch.randn(2, 8, 9, 9)
    graph = nc.trace(model, example)
    folded = check(model, example, all_ones(graph))
    kernels = [tuple(p.shape) for p in folded.model.parameters() if p.dim() == 4]
    assert kernels == [(8, 8, 3, 3)]
    assert [n.target for n in folded.model.graph.nodes].count(torch.ops.aten.conv2d.default) == 1


class Residual(nn.Module):
    def __init__(self, *, projected=False, outside=False):
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 4, 1)
        self.shortcut = nn.Conv2d(4, 4, 1) if projected else nn.Identity()
        self.head, self.outside = nn.Conv2d(4, 2, 1), outside

    def forward(self, x):
        h = F.relu(self.a(x))
        y = self.shortcut(x) + self.b(h)
        return (self.head(y), h.mean()) if self.outside else self.head(y)


@pytest.mark.parametrize("projected", [False, True])
def test_a_shortcut_goes_into_the_kernel(projected):
    model, example = randomized(Residual(projected=projected), 0), torch.randn(2, 4, 6, 6)
    folded = check(model, example, {"relu": torch.ones(8)})
    assert [tuple(p.shape) for p in folded.model.parameters() if p.dim() == 4] == [(2, 4, 3, 3)]


def test_a_value_that_others_read_stays():
    model, example = randomized(Residual(outside=True), 0), torch.randn(2, 4, 6, 6)
    graph = nc.trace(model, example)
    folded = fold(graph, {"relu": torch.ones(8)})
    expected = unfolded(graph, example, {"relu": torch.ones(8)})
    for got, wanted in zip(folded.model(example), expected, strict=True):
        assert relative(got, wanted) < 1e-5
    assert any("reads it too" in refusal["why"] for refusal in folded.record["refused"])


def test_batchnorm_before_a_padded_convolution_stays():
    model = randomized(Stack(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3)), 0)
    folded = check(model, torch.randn(2, 3, 8, 8), {"2": torch.zeros(4)})
    assert folded.record["steps"] == []
    plain = randomized(Stack(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)), 0)
    folded = check(plain, torch.randn(2, 3, 8, 8), {"2": torch.zeros(4)})
    assert [step["what"] for step in folded.record["steps"]] == ["1"]


def test_units_behind_what_is_not_understood_are_refused_by_name():
    model = randomized(Stack(nn.Linear(4, 16), nn.ReLU(), nn.LayerNorm(16), nn.Linear(16, 2)), 0)
    alphas = {"1": (torch.arange(16) < 8).float()}
    folded = check(model, torch.randn(3, 4), alphas)
    (refusal,) = [r for r in folded.record["refused"] if r["what"] == "1"]
    assert "layer_norm" in refusal["why"]
    assert refusal["units"] == 8


# ---- what comes out


def test_the_folded_module_is_plain(tmp_path):
    model, example = ViT(16, 1, 2), torch.randn(2, 1, 8, 8)
    graph = nc.trace(model.eval(), example)
    folded = fold(graph, random_alphas(graph, 0, whole=0.0)[0])
    assert isinstance(folded.model, torch.fx.GraphModule)
    assert "blocks.0.ffn.up.weight" in folded.model.state_dict()
    assert "blocks.0.ffn.down.bypass.weight" in folded.model.state_dict()
    assert all(p.requires_grad and p.dtype == torch.float32 for p in folded.model.parameters())
    assert folded.model(torch.randn(7, 1, 8, 8)).shape == (7, 10), "any batch"
    again = nc.trace(folded.model, example)
    assert again.dynamic_batch
    twin = copy.deepcopy(folded.model)
    folded.model(example).sum().backward()
    assert all(p.grad is None for p in twin.parameters())
    file = tmp_path / "folded.pt2"
    program = torch.export.export(folded.model, (example,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    torch.export.save(program, file)
    loaded = nc.load_model(str(file), trust_pickle=True)
    torch.testing.assert_close(loaded.model(example), folded.model(example))
    code = f"import sys, torch\nm = torch.export.load({str(file)!r}).module()\nm(torch.zeros(2, 1, 8, 8))\n"
    subprocess.run([sys.executable, "-c", code + "assert 'netcaliper' not in sys.modules"], check=True, timeout=120)


def test_the_original_is_left_as_it_was():
    model, example = MLP(8, (32,), 3), torch.randn(2, 8)
    graph = nc.trace(model.eval(), example)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = model(example)
    folded = fold(graph, {"hidden.0.act": torch.ones(32)})
    with torch.no_grad():
        for parameter in folded.model.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(model(example), expected)
    assert torch.equal(graph.run(example).output, expected)


def test_other_weights_by_their_names():
    model, example = MLP(8, (32,), 3), torch.randn(2, 8)
    other = randomized(MLP(8, (32,), 3), 5)
    graph = nc.trace(model.eval(), example)
    alphas = {"hidden.0.act": (torch.arange(32) < 20).float()}
    got = fold(graph, alphas, state=other.state_dict()).model(example)
    expected = unfolded(nc.trace(other, example), example, alphas)
    assert relative(got, expected) < 1e-5
    assert relative(got, unfolded(graph, example, alphas)) > 1e-2


def test_a_bending_brings_everything():
    class Bent:
        def __init__(self):
            self.model = MLP(8, (32,), 3).eval()
            self.graph = nc.trace(copy.deepcopy(self.model), torch.randn(2, 8))
            randomized(self.model, 3)
            self.model.register_buffer("bend_alpha", torch.zeros(32))

        def alphas(self):
            return {"hidden.0.act": (torch.arange(32) < 20).float()}

        def targets(self):
            return {"hidden.0.act": (torch.full((32,), 0.5), torch.ones(32))}

    bent, example = Bent(), torch.randn(2, 8)
    weights = {name: value for name, value in bent.model.state_dict().items() if name != "bend_alpha"}
    expected = unfolded(bent.graph.with_state(weights), example, bent.alphas(), bent.targets())
    assert relative(fold(bent).model(example), expected) < 1e-5
    assert relative(nc.fold(bent, probe=example).model(example), expected) < 1e-5
    with pytest.raises(InputError, match="come with the Bending"):
        fold(bent, bent.alphas())


def test_the_real_bending():
    model, example = MLP(8, (32, 16), 3, activation="gelu"), torch.randn(4, 8)
    bending = nc.Bending(model, example)
    bending.set_active({name: torch.arange(u) < 4 for name, u in zip(bending.sites, (32, 16), strict=True)})
    folded = fold(bending)
    assert relative(folded.model(example), bending.model.eval()(example)) < 1e-5
    assert folded.record["linear"] == 28 + 12


def test_latency_is_measured_and_can_veto(monkeypatch):
    model, example = MLP(8, (32,), 3), torch.randn(2, 8)
    graph = nc.trace(model.eval(), example)
    alphas = {"hidden.0.act": (torch.arange(32) < 24).float()}
    assert fold(graph, alphas, measure_latency=True).record["latency"]["ratio"] > 0
    monkeypatch.setattr(surgery_fold, "latency_ratio", lambda *_: {"ratio": 2.0, "lower": 2.0, "upper": 2.0})
    slow = fold(graph, alphas, measure_latency=True)
    assert [r["why"] for r in slow.record["refused"]] == ["measured to be slower with a bypass"]
    assert slow.record["macs"][0] == slow.record["macs"][1]
    assert relative(slow.model(example), unfolded(graph, example, alphas)) < 1e-5


# ---- bad input


@pytest.mark.parametrize(
    ("alphas", "settings", "match"),
    [
        (None, {}, "`alphas` must be given"),
        ({"hidden.0.acd": torch.ones(4)}, {}, "did you mean `hidden.0.act`"),
        ({"hidden.0.act": torch.ones(5)}, {}, r"shape \(4,\).*got \(5,\)"),
        ({"hidden.0.act": torch.tensor([1.0, torch.nan, 0, 0])}, {}, "finite"),
        ({"hidden.0.act": torch.ones(4)}, {"targets": {"hidden.0.act": (torch.ones(4), torch.ones(3))}}, "`targets`"),
        ({}, {"targets": {"hidden.0.act": (torch.ones(4), torch.ones(4))}}, "`targets` names the site"),
        ({"hidden.0.act": torch.ones(4)}, {"mode": "fast"}, "'exact' or 'interior', got 'fast'"),
        ({"hidden.0.act": torch.ones(4)}, {"state": {"head.weight": torch.ones(3, 4)}}, "must hold all"),
    ],
)
def test_bad_input_is_named(alphas, settings, match):
    graph = nc.trace(MLP(8, (4,), 3).eval(), torch.randn(2, 8))
    with pytest.raises(InputError, match=match):
        fold(graph, alphas, **settings)


def test_a_stream_has_nothing_that_could_be_linear():
    graph = nc.trace(ViT(8, 1, 2).eval(), torch.randn(2, 1, 8, 8))
    with pytest.raises(InputError, match="a residual sum has no activation"):
        fold(graph, {"blocks.0.add": torch.ones(8)})
