"""Residual blocks: branch, skip, stage and reason; a block left out equals a forward that a person wrote without it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bestiary
from netcaliper.trace.graph import NODE, Graph
from netcaliper.trace.residual import residual_blocks
from netcaliper.trace.trace import trace
from netcaliper.zoo.decoder import Decoder
from netcaliper.zoo.encoder_decoder import EncoderDecoder
from netcaliper.zoo.resnet import ResNet
from netcaliper.zoo.vit import ViT
from networks import randomized
from timm_models import import_timm


class Scaled(nn.Module):
    """Pre-activation blocks as timm writes them, with layer scale and a view on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norms = nn.ModuleList(nn.LayerNorm(6) for _ in range(3))
        self.ups = nn.ModuleList(nn.Linear(6, 8) for _ in range(3))
        self.downs = nn.ModuleList(nn.Linear(8, 6) for _ in range(3))
        self.scales = nn.ParameterList(torch.randn(6) for _ in range(3))
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor, without: tuple[int, ...] = ()) -> Tensor:
        x = self.stem(x)
        for number, scale in enumerate(self.scales):
            y = self.downs[number](torch.relu(self.ups[number](self.norms[number](x.permute(0, 2, 3, 1)))))
            y = (y * scale).permute(0, 3, 1, 2)
            x = x if number in without else y + x
        return self.head(x.mean((2, 3)))


class Sums(nn.Module):
    """One kind of sum each, by name."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.a, self.b, self.c, self.d = (nn.Linear(6, 6) for _ in range(4))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        match self.kind:
            case "three_branches":
                x = self.b(x) + self.c(x) + self.d(x)
            case "two_branches_and_the_value":
                x = (x + self.b(x)) + self.c(x)
            case "subtracted_shortcut":
                x = self.b(x) - x
            case "subtracted_branch":
                x = x - self.b(x)
            case "branch_read_twice":
                y = self.b(x)
                x = self.c(torch.relu(x + y)) * torch.sigmoid(y)
            case "outer_around_inner":
                y = x + self.b(x)
                x = x + self.d(torch.relu(y))
            case "flipped_shortcut":
                x = x.flip(-1) + self.c(torch.relu(self.b(x)))
            case "squeeze":
                x = x * torch.sigmoid(self.c(torch.relu(self.b(x))))
            case "dense":
                y = torch.cat([x[:, :3], torch.relu(self.b(x))[:, :3]], 1)
                x = torch.cat([y, torch.relu(self.c(y))], 1)[:, 3:9]
        return self.head(torch.relu(x))


def _graph(model: nn.Module, example: object) -> Graph:
    return trace(randomized(model, 0), example)


def _left_out(graph: Graph, batch: object, blocks: tuple[int, ...]) -> Tensor:
    found = residual_blocks(graph).blocks
    return graph.run(batch, overrides={NODE + found[b].branch: torch.zeros_like for b in blocks}).output


@pytest.mark.parametrize("recipe", ["tf", "nguyen"])
def test_resnet_blocks_and_their_stages(recipe: str) -> None:
    graph = _graph(ResNet(14, width=0.25, size=8, recipe=recipe), torch.randn(2, 3, 8, 8))  # type: ignore[arg-type]
    found = residual_blocks(graph)
    assert [block.name for block in found.blocks] == [f"stages.{s}.{n}.add" for s in range(3) for n in range(2)]
    assert [block.stage for block in found.blocks] == [0, 0, 1, 1, 2, 2]
    assert [block.shape for block in found.blocks[::2]] == [(64, 4), (16, 8), (4, 16)]
    projected = {0, 2, 4} if recipe == "tf" else {2, 4}
    assert set(found.droppable) == set(range(6)) - projected
    assert found.blocks[2].reason == "its shortcut changes the shape (stages.1.0.shortcut.0)"
    if recipe == "tf":
        assert found.blocks[0].reason == "its shortcut has weights (stages.0.0.shortcut.0)"
    assert not found.skipped


@pytest.mark.parametrize("recipe", ["tf", "nguyen"])
def test_a_resnet_without_blocks_is_the_module_with_its_branches_at_zero(recipe: str) -> None:
    model = randomized(ResNet(14, width=0.25, size=8, recipe=recipe), 0)  # type: ignore[arg-type]
    x = torch.randn(5, 3, 8, 8)
    graph = trace(model, x)
    # the graph has the weights of the module: it is run before they are changed, with more and more blocks left out
    nested = [(5,), (5, 1), (5, 1, 3)]
    plain, left_out = graph.run(x).output, [_left_out(graph, x, without) for without in nested]
    for without, output in zip(nested, left_out, strict=True):
        norm = model.get_submodule(f"stages.{without[-1] // 2}.{without[-1] % 2}.norm2")
        with torch.no_grad():
            norm.weight.zero_()  # type: ignore[operator,union-attr]
            norm.bias.zero_()  # type: ignore[operator,union-attr]
            assert torch.equal(output, model(x))
        assert not torch.equal(output, plain)


def test_without_residuals_there_are_no_blocks() -> None:
    graph = _graph(ResNet(8, width=0.25, size=8, residual=False), torch.randn(2, 3, 8, 8))
    assert not residual_blocks(graph).blocks


def _vit_without(model: Any, x: Tensor, without: set[int]) -> Tensor:
    x = model.embedding(x).flatten(2).transpose(1, 2) + model.positions.weight
    for number, block in enumerate(model.blocks):
        if 2 * number not in without:
            h = block.norm1(x)
            x = x + block.attention(h, h)
        if 2 * number + 1 not in without:
            x = x + block.ffn(block.norm2(x))
    return model.head(model.norm(x).mean(1))


def test_attention_and_feed_forward_of_a_vit_are_blocks_of_their_own() -> None:
    model = randomized(ViT(16, 2, 2), 0)
    x = torch.randn(5, 1, 8, 8)
    graph = trace(model, x)
    found = residual_blocks(graph)
    assert [block.name for block in found.blocks] == [
        "blocks.0.add",
        "blocks.0.add#2",
        "blocks.1.add",
        "blocks.1.add#2",
    ]
    assert found.droppable == (0, 1, 2, 3)
    assert {block.stage for block in found.blocks} == {0}
    with torch.no_grad():
        for without in [(0,), (3,), (1, 2), (0, 1, 2, 3)]:
            assert torch.equal(_left_out(graph, x, without), _vit_without(model, x, set(without)))


def test_a_decoder_without_a_block() -> None:
    model = randomized(Decoder(16, 2, 2, vocabulary=20, length=8), 0)
    batch = model.config.example_inputs(3)  # type: ignore[union-attr,operator]
    graph = trace(model, batch)
    found = residual_blocks(graph)
    assert found.droppable == (0, 1, 2, 3)
    assert [name for name, _ in found.skipped] == ["add"]  # tokens + positions: neither comes from the other
    left_out = _left_out(graph, batch, (1, 2))
    with torch.no_grad():
        model.blocks[0].ffn.down.weight.zero_()  # type: ignore[index,union-attr]
        model.blocks[0].ffn.down.bias.zero_()  # type: ignore[index,union-attr]
        model.blocks[1].attention.output.weight.zero_()  # type: ignore[index,union-attr]
        model.blocks[1].attention.output.bias.zero_()  # type: ignore[index,union-attr]
        assert torch.equal(left_out, model(**batch))


def test_encoder_and_decoder_are_two_stages_even_at_one_length() -> None:
    model = randomized(EncoderDecoder(16, 2, 1, heads=2, vocabulary=20, length=6), 0)
    batch = model.config.example_inputs(2)  # type: ignore[union-attr,operator]
    found = residual_blocks(trace(model, batch))
    assert len({block.shape for block in found.blocks}) == 1
    assert [block.stage for block in found.blocks] == [0, 0, 0, 0, 1, 1, 1]
    assert found.droppable == tuple(range(7))


def test_layer_scale_and_views_around_a_branch() -> None:
    model = randomized(Scaled(), 0)
    x = torch.randn(4, 3, 5, 5)
    graph = trace(model, x)
    assert residual_blocks(graph).droppable == (0, 1, 2)
    with torch.no_grad():
        for without in [(0,), (1, 2)]:
            assert torch.equal(_left_out(graph, x, without), model(x, without))


@pytest.mark.parametrize(
    ("kind", "reasons"),
    [
        ("subtracted_shortcut", ["its shortcut is subtracted"]),
        ("subtracted_branch", [None]),
        ("branch_read_twice", ["its branch is read elsewhere too"]),
        ("outer_around_inner", [None, "its branch holds other residual blocks (add)"]),
        ("flipped_shortcut", ["its shortcut changes the value (flip)"]),
        ("two_branches_and_the_value", [None, None]),
    ],
)
def test_what_is_a_block_and_what_stays(kind: str, reasons: list[str | None]) -> None:
    found = residual_blocks(_graph(Sums(kind), torch.randn(4, 6)))
    assert [block.reason for block in found.blocks] == reasons


@pytest.mark.parametrize(
    ("kind", "names", "word"),
    [
        ("three_branches", ["add", "add#2"], "parallel branches"),
        ("squeeze", ["mul"], "product"),
        ("dense", ["cat"], "dense"),
    ],
)
def test_what_is_no_residual_sum_is_skipped_by_name(kind: str, names: list[str], word: str) -> None:
    found = residual_blocks(_graph(Sums(kind), torch.randn(4, 6)))
    assert not found.blocks
    assert [name for name, _ in found.skipped] == names
    assert all(word in reason for _, reason in found.skipped)


def test_stock_resnet_mixer_and_class_token() -> None:
    stock = residual_blocks(trace(*bestiary.stock()))
    assert [block.reason is None for block in stock.blocks] == [True, True, False, True]
    assert [name for name, _ in stock.skipped] == ["se.mul"]
    assert residual_blocks(_graph(bestiary.Mixer(), torch.randn(3, 4, 5))).droppable == (0, 1, 2, 3)
    assert residual_blocks(_graph(bestiary.ClassToken(), torch.randn(3, 4, 5))).droppable == (0,)


def _timm(name: str) -> tuple[nn.Module, Tensor]:
    models = import_timm().models
    x = torch.randn(2, 3, 32, 32)
    if name == "preactivation":
        return models.ResNetV2([1, 2], [128, 256], stem_chs=32, num_classes=4), x
    if name == "convnext":
        return models.ConvNeXt(depths=(1, 1, 2, 1), dims=(8, 12, 16, 20), num_classes=4), x
    vit = models.VisionTransformer(img_size=32, patch_size=16, embed_dim=12, depth=2, num_heads=2, num_classes=4)
    return vit, x


@pytest.mark.parametrize(
    ("name", "stages", "stay"),
    [("preactivation", [0, 1, 1], [0, 1]), ("convnext", [0, 1, 2, 2, 3], []), ("vit", [0, 0, 0, 0], [])],
)
def test_models_as_timm_writes_them(name: str, stages: list[int], stay: list[int]) -> None:
    model, x = _timm(name)
    found = residual_blocks(trace(model.eval(), x))
    assert [block.stage for block in found.blocks] == stages
    assert [number for number, block in enumerate(found.blocks) if block.reason is not None] == stay
