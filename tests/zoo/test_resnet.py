"""ResNets have the published parameter counts, the shortcut of their recipe, and one stage wider on request."""

import pytest
import torch
from torch import nn

import netcaliper as nc
from netcaliper.errors import InputError
from netcaliper.zoo.checkpoint import load_checkpoint, save_checkpoint
from netcaliper.zoo.models import build
from netcaliper.zoo.resnet import ResNet, ResNetConfig


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("width", "count"), [(0.25, 54_518), (0.5, 215_362), (1.0, 856_058), (2.0, 3_413_482), (4.0, 13_632_458)]
)
def test_counts_of_the_paper(width, count):
    """Casper et al. 2021, printed by the notebooks of the official code."""
    with torch.device("meta"):
        assert parameters(ResNet(56, width)) == count


def by_hand(recipe, n, widths, residual=True, classes=10, channels=3):
    """Count parameters layer by layer."""
    bias = recipe == "nguyen"
    total = (9 * channels + bias) * widths[0] + 2 * widths[0]
    fan_in = widths[0]
    for stage, units in enumerate(widths):
        for block in range(n):
            total += (9 * fan_in + bias) * units + (9 * units + bias) * units + 4 * units
            if block == 0 and recipe == "tf" and residual:
                total += fan_in * units + 2 * units
            if block == 0 and recipe == "nguyen" and stage > 0 and residual:
                total += (fan_in + 1) * units
            fan_in = units
    return total + (fan_in + 1) * classes


@pytest.mark.parametrize("recipe", ["tf", "nguyen"])
@pytest.mark.parametrize(("depth", "width"), [(8, 1.0), (14, 0.3), (20, 1.5)])
def test_counts_of_both_recipes(recipe, depth, width):
    widths = [int(base * width) for base in (16, 32, 64)]
    assert parameters(ResNet(depth, width, recipe=recipe)) == by_hand(recipe, (depth - 2) // 6, widths)


@pytest.mark.parametrize("recipe", ["tf", "nguyen"])
@pytest.mark.parametrize(("depth", "width"), [(8, 1.0), (14, 0.3), (20, 1.5)])
def test_counts_without_shortcuts(recipe, depth, width):
    widths = [int(base * width) for base in (16, 32, 64)]
    plain = ResNet(depth, width, recipe=recipe, residual=False)
    assert parameters(plain) == by_hand(recipe, (depth - 2) // 6, widths, residual=False)
    assert parameters(plain) < parameters(ResNet(depth, width, recipe=recipe))


@pytest.mark.parametrize("recipe", ["tf", "nguyen"])
def test_one_stage_wider(recipe):
    base, wide = ResNet(14, recipe=recipe), ResNet(14, 2.0, only=1, recipe=recipe)
    assert wide.config.stage_widths == (16, 64, 64)
    assert wide.config.stem_width == 16
    for name, parameter in wide.named_parameters():
        if name.startswith(("conv", "norm", "stages.0", "head")):
            assert parameter.shape == base.get_parameter(name).shape
    first = ResNet(14, 2.0, only=0, recipe=recipe)
    assert (first.config.stage_widths, first.config.stem_width) == ((32, 32, 64), 16)
    x = torch.randn(2, 3, 32, 32)
    assert wide(x).shape == first(x).shape == (2, 10)


@pytest.mark.parametrize("recipe", ["tf", "nguyen"])
def test_shortcuts_biases_and_initial_weights(recipe):
    model = build("resnet", {"depth": 14, "width": 2.0, "recipe": recipe})
    shortcuts = {
        name: [type(part) for part in module]
        for name, module in model.named_modules()
        if name.endswith("shortcut") and isinstance(module, nn.Sequential)
    }
    projected = {name for name, parts in shortcuts.items() if parts}
    stages = (0, 1, 2) if recipe == "tf" else (1, 2)
    assert projected == {f"stages.{stage}.0.shortcut" for stage in stages}
    parts = [nn.Conv2d, nn.BatchNorm2d] if recipe == "tf" else [nn.Conv2d]
    assert all(shortcuts[name] == parts for name in projected)
    gain = 1 if recipe == "tf" else 2
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert (module.bias is not None) == (recipe == "nguyen")
            if module.weight.numel() > 4000:
                fan_in = module.weight[0].numel()
                assert module.weight.std().item() ** 2 == pytest.approx(gain / fan_in, rel=0.1)
        if isinstance(module, nn.BatchNorm2d):
            assert module.eps == (1e-5 if recipe == "tf" else 1e-3)


def test_a_block_is_what_the_docstring_says():
    block = ResNet(8).eval().stages[1].get_submodule("0")
    x = torch.randn(2, 16, 8, 8)
    inner = torch.relu(block.norm1(block.conv1(x)))  # pyright: ignore
    expected = torch.relu(block.norm2(block.conv2(inner)) + block.shortcut(x))  # pyright: ignore
    assert torch.equal(block(x), expected)
    assert expected.shape == (2, 32, 4, 4)


def test_it_can_be_traced():
    graph = nc.trace(ResNet(8, 0.25).eval(), torch.randn(2, 3, 32, 32))
    assert [site.units for site in graph.sites if site.kind == "activation"] == [4, 4, 4, 8, 8, 16, 16]
    assert max(graph.replay.values()) < 1e-5


def test_a_block_without_a_shortcut():
    block = ResNet(8, residual=False).eval().stages[1].get_submodule("0")
    x = torch.randn(2, 16, 8, 8)
    inner = torch.relu(block.norm1(block.conv1(x)))  # pyright: ignore
    assert torch.equal(block(x), torch.relu(block.norm2(block.conv2(inner))))  # pyright: ignore


def test_without_shortcuts_there_is_no_stream():
    """The same activations as with them, and no site of the stream that sums write to."""
    x = torch.randn(2, 3, 32, 32)
    residual, plain = (nc.trace(ResNet(8, 0.25, residual=flag).eval(), x) for flag in (True, False))
    assert any(site.kind == "stream" for site in residual.sites)
    assert [(site.name, site.units) for site in plain.sites] == [
        (site.name, site.units) for site in residual.sites if site.kind == "activation"
    ]
    assert {site.kind for site in plain.sites} == {"activation"}
    assert max(plain.replay.values()) < 1e-5


@pytest.mark.parametrize("recipe", ["tf", "nguyen"])
def test_a_plain_network_comes_back_from_its_checkpoint(recipe, tmp_path):
    model = ResNet(8, 0.25, recipe=recipe, residual=False).eval()
    with torch.no_grad():
        model.get_buffer("norm.running_mean").add_(1)
    back = load_checkpoint(save_checkpoint(model, tmp_path / "net"))
    assert isinstance(back.model, ResNet)
    assert (back.name, back.model.config) == ("resnet", model.config)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(back.model(x), model(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 18}, r"`depth` must be 6n \+ 2 \(8, 14, 20, ...\), got 18; the nearest is 20"),
        ({"depth": 2}, "the nearest is 8"),
        ({"width": 0.05}, r"`width` = 0.05 leaves int\(16 \* width\) = 0 channels"),
        ({"width": float("inf")}, "`width` = inf"),
        ({"only": 3}, "`only` = 3"),
        ({"recipe": "he"}, "`recipe` = 'he'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        ResNetConfig(**arguments)
