"""Greedy decoding: against one sentence and one token at a time, against a network that knows the answer."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from netcaliper.zoo.decoding import greedy
from netcaliper.zoo.models import build
from netcaliper.zoo.subwords import END, START, train_subwords
from netcaliper.zoo.translation import Pairs, TranslationOptions
from sentence_pairs import sentences

pytest.importorskip("tokenizers")


@cache
def data(length=64):
    german, english = zip(*sentences(24), strict=True)
    subwords = train_subwords([text.lower() for text in german + english], 300)
    return Pairs(german, english, subwords, batch_size=16, options=TranslationOptions(vocabulary=300, length=length))


@cache
def random():
    """Untrained, with weights so large that what it writes depends on the source, and with a liking for the end."""
    arguments = {"width": 16, "depth": 1, "heads": 2, "vocabulary": 300, "length": 12, "init_scale": 4.0}
    model = build("encoder_decoder", arguments).double()
    with torch.no_grad():
        weights = dict(model.named_parameters())
        weights["tokens.weight"].mul_(30)
        weights["head.bias"][END] = 1.5
    return model


@cache
@torch.no_grad()
def one_by_one():
    """Without masks, batches or early leaving: the definition."""
    model, pairs, found = random(), data(10), []
    for row, length in enumerate(pairs.source_lengths()):
        source, written = pairs.batch(np.array([row]))["input_ids"], [START]
        while len(written) <= min(pairs.options.length, int(1.5 * length) + 8):
            written.append(int(model(source, torch.tensor([written]))[0, -1].argmax()))
            if written[-1] == END:
                break
        found.append(written[1:])
    return pairs.subwords.texts(found)


@pytest.mark.parametrize("batch_size", [1, 7, 128])
def test_it_is_the_definition_whatever_runs_together(batch_size):
    found = greedy(random(), data(10), batch_size=batch_size)
    assert found == one_by_one()
    assert len(set(found)) > 10  # not one sentence for all
    assert len({len(pairs) for pairs in data().subwords.ids(found)}) > 3


class Known(nn.Module):
    """Writes, for a source, the tokens that it was given for its length; then END, or never."""

    def __init__(self, ends=True):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.ends = ends
        self.longest = 0

    def forward(self, input_ids, decoder_input_ids, attention_mask, decoder_attention_mask):
        assert not self.training
        assert decoder_attention_mask.all()
        self.longest = max(self.longest, decoder_input_ids.shape[1])
        place = decoder_input_ids.shape[1] - 1
        source = attention_mask.sum(1) - 1  # tokens before END
        token = input_ids.gather(1, torch.full_like(source, place).clamp(max=input_ids.shape[1] - 1)[:, None])[:, 0]
        token = torch.where(place < source, token, END if self.ends else 70)
        return nn.functional.one_hot(token, 300)[:, None].float()


def test_a_network_that_copies_writes_the_sources():
    model = Known().train()
    assert greedy(model, data()) == [text.lower() for text in data().sources]
    assert model.training


def test_what_never_ends_is_stopped():
    for length in (12, 64):
        pairs, model = data(length), Known(ends=False)
        greedy(model, pairs)
        assert model.longest == min(length, int(1.5 * max(pairs.source_lengths())) + 8)


def test_the_references_are_not_read():
    shown = data(12)
    hidden = Pairs(shown.sources, ["nothing"] * 24, shown.subwords, batch_size=16, options=shown.options)
    assert greedy(random(), hidden) == greedy(random(), shown)
