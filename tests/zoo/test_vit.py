"""The vision transformer has the parameters of its formula, is torch's encoder on patches, and can be read."""

from typing import Any

import pytest
import torch
from torch import nn

import netcaliper as nc
from netcaliper.errors import InputError
from netcaliper.fit.train import accuracy, fit
from netcaliper.zoo.data import digits
from netcaliper.zoo.models import build
from netcaliper.zoo.vit import ViT, ViTConfig


@pytest.mark.parametrize(("width", "depth", "heads", "ffn"), [(8, 1, 2, None), (12, 3, 3, 7), (64, 4, 4, 256)])
@pytest.mark.parametrize(("patch", "channels", "size", "classes"), [(2, 1, 8, 10), (4, 3, 16, 5), (8, 2, 8, 1)])
def test_parameters_follow_from_the_integers(width, depth, heads, ffn, patch, channels, size, classes):
    with torch.device("meta"):
        model = ViT(width, depth, heads, ffn, patch, channels, size, classes)
    d, f, t, p = width, ffn or 4 * width, (size // patch) ** 2, channels * patch**2
    expected = (p + 1) * d + t * d + depth * (4 * d * (d + 1) + 2 * f * d + f + d + 4 * d) + 2 * d + (d + 1) * classes
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_published_size():
    """ViT-B/16 has 86.6 million parameters with 1,000 classes (Dosovitskiy et al. 2021), here without a class token."""
    with torch.device("meta"):
        model = ViT(768, 12, 12, patch=16, channels=3, size=224, classes=1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == 86_567_656 - 2 * 768


@torch.no_grad()
def test_logits_are_those_of_torchs_encoder_on_flat_patches():
    model: Any = build("vit", {"width": 12, "depth": 2, "heads": 3, "channels": 3, "size": 4}).double().eval()
    for parameter in model.parameters():
        parameter.copy_(torch.randn_like(parameter) / 3)
    layer = nn.TransformerEncoderLayer(12, 3, 48, 0.0, "gelu", batch_first=True, norm_first=True)
    encoder: Any = nn.TransformerEncoder(layer, 2, nn.LayerNorm(12), enable_nested_tensor=False).double().eval()
    for block, theirs in zip(model.blocks, encoder.layers, strict=True):
        attention = block.attention
        theirs.self_attn.in_proj_weight.copy_(
            torch.cat([attention.query.weight, attention.key.weight, attention.value.weight])
        )
        theirs.self_attn.in_proj_bias.copy_(torch.cat([attention.query.bias, attention.key.bias, attention.value.bias]))
        theirs.self_attn.out_proj.load_state_dict(attention.output.state_dict())
        theirs.norm1.load_state_dict(block.norm1.state_dict())
        theirs.norm2.load_state_dict(block.norm2.state_dict())
        theirs.linear1.load_state_dict(block.ffn.up.state_dict())
        theirs.linear2.load_state_dict(block.ffn.down.state_dict())
    encoder.norm.load_state_dict(model.norm.state_dict())
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    patches = torch.stack(
        [x[:, :, r : r + 2, c : c + 2].flatten(1) for r in (0, 2) for c in (0, 2)], 1
    )  # row by row, [2, 4, 12]
    tokens = patches @ model.embedding.weight.flatten(1).T + model.embedding.bias + model.positions.weight
    expected = encoder(tokens).mean(1) @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(model(x), expected)


def test_patches_have_no_order_but_their_positions():
    model: Any = build("vit", {"depth": 2}).eval()
    x = torch.randn(2, 1, 8, 8)
    flipped = x.view(2, 1, 4, 2, 8).flip(2).reshape(2, 1, 8, 8)  # rows of patches
    before = model(x)
    assert not torch.allclose(model(flipped), before, atol=1e-5)
    with torch.no_grad():
        places = model.positions.weight
        places.copy_(places.view(4, 4, 64).flip(0).reshape(16, 64))
    torch.testing.assert_close(model(flipped), before)


def test_it_can_be_traced():
    model: Any = build("vit", {"width": 16, "depth": 2, "ffn": 24}).eval()
    graph = nc.trace(model, model.config.example_inputs())
    assert graph.dynamic_batch
    assert not graph.skipped
    hidden = [site for site in graph.sites if site.name.endswith("ffn.act")]
    assert [site.units for site in hidden] == [24, 24]
    assert [[c.name for c in site.consumers] for site in hidden] == [["blocks.0.ffn.down"], ["blocks.1.ffn.down"]]
    assert len({site.group for site in graph.sites if site.op == "add"}) == 1
    assert max(graph.replay.values()) < 1e-5


def test_it_learns_the_digits():
    model: Any = build("vit", {"depth": 1})
    fit(model, digits("train", batch_size=32), epochs=5, learning_rate=3e-3)
    assert accuracy(model, digits("test")) > 0.8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch": 3}, "`size` = 8 must be a multiple of `patch` = 3"),
        ({"heads": 3}, "`width` = 64 must be a multiple of `heads` = 3"),
        ({"classes": 0}, "`classes` = 0"),
        ({"widht": 4}, "did you mean `width`"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        ViTConfig(**arguments)
