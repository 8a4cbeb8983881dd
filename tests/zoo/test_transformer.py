"""The parts of the transformers equal torch's own with the same weights, and masks hide what they say."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from netcaliper.errors import InputError
from netcaliper.fit.seeds import seeded
from netcaliper.zoo.initializers import TRUNCATED_SD
from netcaliper.zoo.models import build
from netcaliper.zoo.transformer import Attention, Block, FeedForward, Positions, TransformerConfig, seen, seen_before

MASK = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [1, 1, 0, 0, 0]])


def copy_attention(own, theirs):
    theirs.in_proj_weight.copy_(torch.cat([own.query.weight, own.key.weight, own.value.weight]))
    theirs.in_proj_bias.copy_(torch.cat([own.query.bias, own.key.bias, own.value.bias]))
    theirs.out_proj.load_state_dict(own.output.state_dict())


@torch.no_grad()
def shaken(module):
    """Return the module with every parameter drawn anew, biases and norms too."""
    for parameter in module.parameters():
        parameter.copy_(torch.randn_like(parameter) / 3)
    return module.double().eval()


@pytest.mark.parametrize("masked", ["not", "padding", "causal"])
@pytest.mark.parametrize("name", ["relu", "gelu"])
@torch.no_grad()
def test_block_is_torchs_encoder_layer(name, masked):
    config = TransformerConfig(width=12, heads=3, ffn=20, activation=name)
    block = shaken(Block(config))
    theirs = nn.TransformerEncoderLayer(12, 3, 20, 0.0, name, batch_first=True, norm_first=True).double()
    copy_attention(block.attention, theirs.self_attn)
    for ours, of_theirs in (
        (block.norm1, theirs.norm1),
        (block.norm2, theirs.norm2),
        (block.ffn.up, theirs.linear1),
        (block.ffn.down, theirs.linear2),
    ):
        of_theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 5, 12, dtype=torch.float64)
    ids = torch.zeros(3, 5, dtype=torch.int64)
    if masked == "not":
        torch.testing.assert_close(block(x), theirs(x))
    elif masked == "padding":
        expected = theirs(x, src_key_padding_mask=MASK == 0)
        torch.testing.assert_close(block(x, seen(MASK))[MASK == 1], expected[MASK == 1])
    else:
        hidden = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
        torch.testing.assert_close(block(x, seen_before(ids, None)), theirs(x, src_mask=hidden))


@torch.no_grad()
def test_attention_is_a_softmax_over_what_each_head_sees():
    attention = shaken(Attention(6, 2))
    x, memory = torch.randn(3, 4, 6, dtype=torch.float64), torch.randn(3, 5, 6, dtype=torch.float64)
    q, k, v = attention.query(x), attention.key(memory), attention.value(memory)
    read = torch.zeros(3, 4, 6, dtype=torch.float64)
    for n in range(3):
        for head in (slice(0, 3), slice(3, 6)):
            for i in range(4):
                keys = [j for j in range(5) if MASK[n, j]]
                scores = [math.exp(float(q[n, i, head] @ k[n, j, head]) / math.sqrt(3)) for j in keys]
                for j, score in zip(keys, scores, strict=True):
                    read[n, i, head] += score / sum(scores) * v[n, j, head]
    torch.testing.assert_close(attention(x, memory, seen(MASK)), attention.output(read))


@torch.no_grad()
def test_heads_have_no_order():
    attention = shaken(Attention(12, 3))
    swapped = Attention(12, 3).double()
    swapped.load_state_dict(attention.state_dict())
    order = torch.arange(12).view(3, 4)[[2, 0, 1]].flatten()
    for layer in (swapped.query, swapped.key, swapped.value):
        layer.weight.copy_(layer.weight[order])
        layer.bias.copy_(layer.bias[order])
    swapped.output.weight.copy_(swapped.output.weight[:, order])
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    torch.testing.assert_close(swapped(x, x), attention(x, x))
    swapped.output.weight.copy_(swapped.output.weight[:, order])
    assert not torch.allclose(swapped(x, x), attention(x, x))


@torch.no_grad()
def test_gate_multiplies_the_hidden_units():
    ffn = shaken(FeedForward(4, 6, "silu", gated=True))
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    gate = ffn.gate(x)
    torch.testing.assert_close(ffn(x), ffn.down(gate / (1 + (-gate).exp()) * ffn.up(x)))


def test_a_query_sees_the_tokens_before_it_and_itself():
    ids = torch.zeros_like(MASK)
    visible = seen_before(ids, MASK)
    assert visible.shape == (3, 1, 5, 5)
    for n in range(3):
        for i in range(5):
            for j in range(5):
                assert bool(visible[n, 0, i, j]) == (i == j or (j < i and bool(MASK[n, j])))
    assert torch.equal(seen_before(ids[:1], None)[0, 0], torch.ones(5, 5).tril().bool())
    assert torch.equal(seen_before(ids, MASK.bool()), visible)


def test_places_are_counted_over_tokens():
    positions = Positions(5, 2)
    with torch.no_grad():
        positions.embedding.weight.copy_(torch.arange(5.0)[:, None])
    places = positions(torch.zeros_like(MASK), MASK)[..., 0]
    assert places[0].tolist() == [0, 1, 2, 3, 4]
    assert places[1, 2:].tolist() == [0, 1, 2]
    assert places[2, :2].tolist() == [0, 1]
    assert positions(torch.zeros_like(MASK), None)[..., 0].tolist() == [[0, 1, 2, 3, 4]]
    nothing = positions(torch.zeros_like(MASK), torch.zeros_like(MASK))  # of an example that is padding only
    assert torch.isfinite(nothing).all()
    with pytest.raises(InputError, match=r"a sequence has 6 tokens, .*`length` = 5; cut the sequences"):
        positions(torch.zeros(1, 6, dtype=torch.int64), None)


@pytest.mark.parametrize("name", ["vit", "decoder", "encoder_decoder"])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_initial_weights(name, scale):
    model: Any = build(name, {"width": 64, "depth": 2, "init_scale": scale})
    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    assert embeddings
    for module in embeddings:
        assert module.weight.abs().max() <= 0.04
        assert float(module.weight.detach().std()) == pytest.approx(0.02 * TRUNCATED_SD, rel=0.1)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            limit = scale * math.sqrt(6 / (module.in_features + module.out_features))
            assert 0.95 * limit < module.weight.abs().max() <= limit
            assert not module.bias.any()
        if isinstance(module, nn.LayerNorm):
            assert (set(module.weight.tolist()), set(module.bias.tolist())) == ({1.0}, {0.0})


@pytest.mark.parametrize("name", ["decoder", "encoder_decoder"])
def test_tied_head_is_drawn_as_an_embedding(name):
    model: Any = build(name, {"width": 8, "depth": 1, "tied": True, "initializer": "he_normal"})
    assert model.head.weight is model.tokens.weight
    assert model.head.weight.abs().max() <= 0.04


@pytest.mark.parametrize("name", ["vit", "decoder", "encoder_decoder"])
def test_dropout_only_in_training(name):
    model: Any = build(name, {"width": 8, "depth": 1, "dropout": 0.5})
    inputs = model.config.example_inputs()
    kwargs = inputs if isinstance(inputs, dict) else {"x": inputs}
    model.eval()
    assert torch.equal(model(**kwargs), model(**kwargs))
    model.train()
    with seeded(0):
        assert not torch.equal(model(**kwargs), model(**kwargs))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 10}, "`width` = 10 must be a multiple of `heads` = 4"),
        ({"depth": 0}, "`depth` = 0"),
        ({"dropout": 1.0}, "`dropout` = 1"),
        ({"ffn": 0}, "`ffn` = 0"),
        ({"activation": "glu"}, "`activation` = 'glu'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        TransformerConfig(**arguments)
    assert TransformerConfig(width=12, heads=3).ffn_width == 48
    assert TransformerConfig(ffn=5).ffn_width == 5
