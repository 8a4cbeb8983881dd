"""The encoder-decoder is torch's transformer, reads all of the source and only the past of the target."""

import warnings
from typing import Any

import pytest
import torch
from torch import nn

import netcaliper as nc
from netcaliper.errors import InputError
from netcaliper.zoo.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from netcaliper.zoo.models import build

SMALL = {"width": 12, "depth": 2, "heads": 3, "ffn": 20, "vocabulary": 30, "length": 16}


def small(**arguments) -> Any:
    model: Any = build("encoder_decoder", SMALL | arguments).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) / 3)
    return model


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("width", "depth", "decoder_depth", "ffn"), [(8, 1, None, None), (12, 3, 1, 7)])
def test_parameters_follow_from_the_integers(width, depth, decoder_depth, ffn, tied):
    with torch.device("meta"):
        model = EncoderDecoder(width, depth, decoder_depth, 2, ffn, 50, 9, tied=tied)
    d, f, v = width, ffn or 4 * width, 50
    n = 2 * f * d + f + d + 4 * d
    expected = (v + 2 * 9) * d + depth * (4 * d * (d + 1) + n) + 4 * d + v + (not tied) * v * d
    expected += (decoder_depth or depth) * (8 * d * (d + 1) + 2 * d + n)
    assert sum(p.numel() for p in model.parameters()) == expected


@torch.no_grad()
def test_streams_are_those_of_torchs_transformer():
    model = small(decoder_depth=1)
    with warnings.catch_warnings(action="ignore"):  # torch says that it will not use a faster path
        theirs = nn.Transformer(12, 3, 2, 1, 20, 0.0, "gelu", batch_first=True, norm_first=True).double().eval()

    def copy(pairs):
        for ours, of_theirs in pairs:
            if isinstance(of_theirs, nn.MultiheadAttention):
                of_theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
                of_theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
                of_theirs.out_proj.load_state_dict(ours.output.state_dict())
            else:
                of_theirs.load_state_dict(ours.state_dict())

    for block, layer in zip(model.encoder, theirs.encoder.layers, strict=True):
        copy([(block.attention, layer.self_attn), (block.norm1, layer.norm1), (block.norm2, layer.norm2)])
        copy([(block.ffn.up, layer.linear1), (block.ffn.down, layer.linear2)])
    block, layer = model.decoder[0], theirs.decoder.layers[0]
    copy([(block.attention, layer.self_attn), (block.cross_attention, layer.multihead_attn)])
    copy([(block.norm1, layer.norm1), (block.norm2, layer.norm2), (block.norm3, layer.norm3)])
    copy([(block.ffn.up, layer.linear1), (block.ffn.down, layer.linear2)])
    copy([(model.encoder_norm, theirs.encoder.norm), (model.decoder_norm, theirs.decoder.norm)])

    source, target = torch.randint(30, (3, 7)), torch.randint(30, (3, 5))
    mask = torch.ones(3, 7, dtype=torch.int64)
    mask[1, 4:] = mask[2, 1:] = 0
    stream = theirs(
        model.tokens(source) + model.encoder_positions(source, None),  # padded on the right: the places are the same
        model.tokens(target) + model.decoder_positions(target, None),
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64),
        src_key_padding_mask=mask == 0,
        memory_key_padding_mask=mask == 0,
    )
    torch.testing.assert_close(model(source, target, mask), model.head(stream))


@torch.no_grad()
def test_the_whole_source_and_the_past_of_the_target_matter():
    model = small()
    source, target = torch.randint(30, (3, 6)), torch.randint(30, (3, 5))
    before = model(source, target)
    for place in range(6):
        changed = source.clone()
        changed[:, place] = (changed[:, place] + 1) % 30
        assert (model(changed, target) - before).abs().amax(2).min() > 1e-9
    for place in range(5):
        changed = target.clone()
        changed[:, place] = (changed[:, place] + 1) % 30
        after = model(source, changed)
        assert torch.equal(after[:, :place], before[:, :place])
        assert (after[:, place:] - before[:, place:]).abs().amax(2).min() > 1e-9


def padded(ids, left, right):
    """Return ids with random tokens on both sides, and the mask that hides these."""
    sides = [torch.randint(30, (len(ids), n)) for n in (left, right)]
    mask = torch.cat([torch.zeros(len(ids), left), torch.ones(ids.shape), torch.zeros(len(ids), right)], 1)
    return torch.cat([sides[0], ids, sides[1]], 1), mask.long()


@torch.no_grad()
def test_padding_on_either_side_of_both_changes_nothing():
    model = small(tied=True)
    source, target = torch.randint(30, (2, 6)), torch.randint(30, (2, 5))
    alone = model(source, target)
    for left, right in ((0, 4), (4, 0), (1, 3)):
        ids, mask = padded(source, left, right)
        torch.testing.assert_close(model(ids, target, mask), alone)
        targets, target_mask = padded(target, left, right)
        logits = model(ids, targets, mask, target_mask)
        torch.testing.assert_close(logits[:, left : left + 5], alone)
        assert torch.isfinite(logits).all()


@torch.no_grad()
def test_a_source_of_padding_only_stays_finite():
    ids = torch.randint(30, (2, 4))
    assert torch.isfinite(small()(ids, ids, torch.zeros_like(ids), torch.zeros_like(ids))).all()


def test_it_can_be_traced_with_open_batch_and_lengths():
    model: Any = build("encoder_decoder", SMALL).eval()
    inputs = model.config.example_inputs()
    assert inputs["input_ids"].shape != inputs["decoder_input_ids"].shape
    graph = nc.trace(model, inputs)
    assert graph.dynamic_batch
    assert not graph.skipped
    hidden = [site for site in graph.sites if site.name.endswith("ffn.act")]
    assert [(site.name, site.units, [c.name for c in site.consumers]) for site in hidden] == [
        (f"{side}.{block}.ffn.act", 20, [f"{side}.{block}.ffn.down"])
        for side in ("encoder", "decoder")
        for block in (0, 1)
    ]
    assert max(graph.replay.values()) < 1e-5


def test_example_inputs_fit_the_shortest_network():
    model: Any = build("encoder_decoder", SMALL | {"length": 1}).eval()
    assert model(**model.config.example_inputs(3)).shape == (3, 1, 30)


def test_depths_are_integers_each():
    model = EncoderDecoder(8, 3, 1, vocabulary=5)
    assert (len(model.encoder), len(model.decoder)) == (3, 1)
    assert len(EncoderDecoder(8, 2, vocabulary=5).decoder) == 2
    with pytest.raises(InputError, match="`decoder_depth` = 0"):
        EncoderDecoderConfig(decoder_depth=0)
