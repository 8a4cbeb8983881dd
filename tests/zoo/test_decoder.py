"""The decoder sees the past only, does not see padding, and has the parameters of its formula."""

from typing import Any

import pytest
import torch

import netcaliper as nc
from netcaliper.errors import DataError, InputError
from netcaliper.zoo.checkpoint import load_checkpoint, save_checkpoint
from netcaliper.zoo.decoder import Decoder, DecoderConfig
from netcaliper.zoo.models import build

SMALL = {"width": 12, "depth": 2, "heads": 3, "vocabulary": 30, "length": 16}


def small(**arguments) -> Any:
    """Return a decoder in double precision whose weights are large enough for every token to matter."""
    model: Any = build("decoder", SMALL | arguments).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(10)
    return model


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("width", "depth", "ffn"), [(8, 1, None), (12, 3, 7)])
def test_parameters_follow_from_the_integers(width, depth, ffn, gated, tied):
    with torch.device("meta"):
        model = Decoder(width, depth, 2, ffn, 50, 9, gated=gated, tied=tied)
    d, f, v, n = width, ffn or 4 * width, 50, 9
    block = 4 * d * (d + 1) + (2 + gated) * f * d + (1 + gated) * f + d + 4 * d
    assert sum(p.numel() for p in model.parameters()) == (v + n) * d + depth * block + 2 * d + v + (not tied) * v * d


def test_published_size():
    """GPT-2 small has 124,439,808 parameters (its head has no bias)."""
    with torch.device("meta"):
        model = Decoder(768, 12, 12, vocabulary=50257, length=1024, tied=True)
    assert sum(p.numel() for p in model.parameters()) == 124_439_808 + 50257


@torch.no_grad()
def test_future_tokens_do_not_change_the_past():
    model = small()
    ids = torch.randint(30, (4, 9))
    before = model(ids)
    for place in range(9):
        changed = ids.clone()
        changed[:, place] = (changed[:, place] + 1) % 30
        after = model(changed)
        assert torch.equal(after[:, :place], before[:, :place])
        assert (after[:, place:] - before[:, place:]).abs().amax((0, 2)).min() > 1e-6  # and all that follow are changed


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
@torch.no_grad()
def test_padding_on_either_side_changes_nothing(dtype):
    model = small(gated=True, activation="silu")
    for tokens in (1, 4, 9):
        ids = torch.randint(30, (1, tokens))
        alone = model(ids)
        for left, right in ((0, 5), (5, 0), (3, 2)):
            padded = torch.cat([torch.randint(30, (1, left)), ids, torch.randint(30, (1, right))], 1)
            mask = torch.cat([torch.zeros(1, left), torch.ones(1, tokens), torch.zeros(1, right)], 1).to(dtype)
            logits = model(padded, mask)
            torch.testing.assert_close(logits[:, left : left + tokens], alone)
            assert torch.isfinite(logits).all()


@torch.no_grad()
def test_examples_do_not_see_each_other():
    model = small()
    ids = torch.randint(30, (4, 6))
    torch.testing.assert_close(model(ids)[2:3], model(ids[2:3]))


def test_tied_head_is_the_embedding_also_after_a_round_trip(tmp_path):
    model: Any = build("decoder", SMALL | {"tied": True}, seed=5)
    assert model.head.weight is model.tokens.weight
    back: Any = load_checkpoint(save_checkpoint(model, tmp_path / "net")).model
    assert back.head.weight is back.tokens.weight
    inputs = model.config.example_inputs()
    assert torch.equal(model.eval()(**inputs), back(**inputs))


@pytest.mark.parametrize("gated", [False, True])
def test_it_can_be_traced_with_open_batch_and_length(gated):
    model: Any = build("decoder", SMALL | {"gated": gated, "activation": "silu"}).eval()
    graph = nc.trace(model, model.config.example_inputs())
    assert graph.dynamic_batch
    assert not graph.skipped
    hidden = [site for site in graph.sites if site.name.startswith("blocks.0.ffn")]
    assert [(site.units, [c.name for c in site.consumers]) for site in hidden] == [(48, ["blocks.0.ffn.down"])]
    assert len({site.group for site in graph.sites if site.op == "add"}) == 1
    assert max(graph.replay.values()) < 1e-5


def test_too_long_sequences_are_refused():
    model: Any = build("decoder", SMALL).eval()
    with pytest.raises(InputError, match="a sequence has 17 tokens, the network was built with `length` = 16"):
        model(torch.zeros(1, 17, dtype=torch.int64))
    with pytest.raises(DataError, match="a sequence has 17 tokens"):
        nc.trace(model, {"input_ids": torch.zeros(2, 17, dtype=torch.int64)})


def test_example_inputs_fit_the_shortest_network():
    model: Any = build("decoder", SMALL | {"length": 1, "vocabulary": 1}).eval()
    assert model(**model.config.example_inputs(3)).shape == (3, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary": 0}, "`vocabulary` = 0"),
        ({"length": 2.5}, "`length` = 2.5"),
        ({"heads": 5}, "`width` = 64 must be a multiple of `heads` = 5"),
        ({"vocab": 4}, "did you mean `vocabulary`"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        DecoderConfig(**arguments)
