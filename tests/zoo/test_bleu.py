"""BLEU: against the formula written out, its limits, its signature."""

import math
import sys
from collections import Counter

import numpy as np
import pytest
import torch

from netcaliper.errors import DataError, InputError
from netcaliper.zoo.bleu import bleu, translation_bleu
from netcaliper.zoo.models import build
from netcaliper.zoo.subwords import train_subwords
from netcaliper.zoo.translation import Pairs, TranslationOptions
from sentence_pairs import sentences

pytest.importorskip("sacrebleu")

REFERENCES = [english for _, english in sentences(60)]


def written_out(hypotheses, references):
    """Corpus BLEU of text whose words are divided by spaces (Papineni et al. 2002)."""
    right, of = [0] * 4, [0] * 4
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        for n in range(1, 5):
            ours, theirs = (
                Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
                for words in (hypothesis.split(), reference.split())
            )
            right[n - 1] += sum((ours & theirs).values())
            of[n - 1] += sum(ours.values())
    lengths = [sum(len(text.split()) for text in side) for side in (hypotheses, references)]
    brevity = min(1.0, math.exp(1 - lengths[1] / lengths[0]))
    return 100 * brevity * math.exp(sum(math.log(a / b) for a, b in zip(right, of, strict=True)) / 4)


def test_it_is_the_formula():
    texts = [text.removesuffix(".") for text in REFERENCES]
    hypotheses = [text.replace("never", "often").replace("by the", "by a") for text in texts]
    shorter = [text.rsplit(" ", 1)[0] for text in texts]
    for changed in (hypotheses, shorter):
        assert bleu(changed, texts).score == pytest.approx(written_out(changed, texts), abs=1e-9)
    assert bleu(shorter, texts).brevity_penalty < 1 == bleu(hypotheses, texts).brevity_penalty


def test_limits():
    assert bleu(REFERENCES, REFERENCES).score == pytest.approx(100)
    assert bleu(["xyz"] * 60, REFERENCES).score < 1
    assert bleu(REFERENCES, REFERENCES).sentences == 60


def test_case_counts_unless_it_shall_not():
    lower = [text.lower() for text in REFERENCES]
    assert bleu(lower, REFERENCES).score < 99
    found = bleu(lower, REFERENCES, lowercase=True)
    assert found.score == pytest.approx(100)
    assert "case:lc" in found.signature
    assert "case:mixed" in bleu(lower, REFERENCES).signature
    assert "tok:13a" in found.signature
    assert "version:" in found.signature


def test_a_network_is_judged_by_what_it_writes():
    german, english = zip(*sentences(30), strict=True)
    pairs = Pairs(german, english, train_subwords(german + english, 300), options=TranslationOptions(vocabulary=300))

    class Reader(torch.nn.Module):
        """Knows the answers."""

        def __init__(self):
            super().__init__()
            batch = pairs.batch(np.arange(30))
            self.known = {tuple(a): b for a, b in zip(batch["input_ids"].tolist(), batch["labels"], strict=True)}
            self.width = batch["input_ids"].shape[1]

        def forward(self, input_ids, decoder_input_ids, **_):
            place = decoder_input_ids.shape[1] - 1
            rows = torch.nn.functional.pad(input_ids, (0, self.width - input_ids.shape[1]))
            token = torch.stack([self.known[tuple(row)][place] for row in rows.tolist()])
            return torch.nn.functional.one_hot(token, 300)[:, None].float()

    found = translation_bleu(Reader(), pairs)
    assert found.score == pytest.approx(100)
    assert "case:lc" in found.signature
    model = build("encoder_decoder", {"width": 8, "depth": 1, "heads": 1, "vocabulary": 300, "length": 64})
    assert translation_bleu(model, pairs, batch_size=8).score < 20


def test_unequal_numbers_of_sentences_are_refused():
    with pytest.raises(InputError, match="got 1 and 2"):
        bleu(["a"], ["a", "b"])
    with pytest.raises(InputError, match="at least 1, got 0 and 0"):
        bleu([], [])


def test_without_the_library_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    with pytest.raises(DataError, match=r"netcaliper\[translation\]"):
        bleu(["a"], ["a"])
