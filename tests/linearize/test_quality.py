"""Accuracy and what is said beside it, by hand; and measures of the user's own."""

import numpy as np
import pytest
import torch
from torch import nn

from netcaliper.errors import DataError
from netcaliper.linearize.part import parts
from netcaliper.linearize.quality import Answers, answers, judged
from netcaliper.stats.intervals import clopper_pearson
from netcaliper.trace.form import UNKNOWN
from netcaliper.zoo.batches import Batches

MINE = Answers(np.array([0, 1, 1, 2, 0, 0]), np.array([0, 1, 2, 2, 0, 1]), "example")
OTHER = Answers(np.array([0, 0, 2, 2, 0, 1]), np.array([0, 1, 2, 2, 0, 1]), "example")


class Picks(nn.Module):
    """Says that the class of an example is its largest entry."""

    def forward(self, x):
        return x


class PerToken(nn.Module):
    def forward(self, x):
        return x.unsqueeze(1).expand(-1, 2, -1)


def test_shares_by_hand():
    found = MINE.accuracy()
    assert (found.value, found.sample) == (4 / 6, 6)
    assert (found.low, found.high) == clopper_pearson(4, 6)
    assert MINE.chance() == 2 / 6
    assert MINE.by_class().tolist() == [1.0, 0.5, 0.5]
    assert MINE.agreement(OTHER) == 3 / 6


def test_a_class_without_examples_has_no_accuracy():
    assert np.isnan(Answers(np.array([2]), np.array([2]), "example").by_class()[:2]).all()


def test_a_loss_is_paired():
    lost = MINE.lost_against(OTHER)
    assert lost.value == pytest.approx(5 / 6 - 4 / 6)
    assert lost.low < lost.value < lost.high


def data(labels):
    generator = torch.Generator().manual_seed(0)
    return Batches(torch.randn(40, 3, generator=generator), labels, batch_size=9)


def test_answers_are_those_of_the_part():
    select, _ = parts(data(torch.arange(40) % 3), UNKNOWN, 0)
    found = answers(Picks(), select)
    x = torch.cat([batch.args[0] for batch in select])
    assert found.answer.tolist() == x.argmax(1).tolist()
    assert found.per == "example"
    assert len(found.label) == select.size()


def test_tokens_without_a_label_are_left_out():
    y = torch.stack([torch.arange(40) % 3, torch.full((40,), -100)], 1)
    batches = [(x, y[i * 8 : i * 8 + 8]) for i, x in enumerate(data(None).x.split(8))]
    select, verify = parts(batches, UNKNOWN, 0)
    found = judged(PerToken(), select, verify, None)
    assert found.answers is not None
    assert found.answers.per == "token"
    assert "tokens" in found.verify.over
    assert found.verify.sample == verify.size()


def test_a_measure_of_the_users_own_sees_either_part():
    select, verify = parts(data(torch.arange(40) % 3), UNKNOWN, 0)
    found = judged(Picks(), select, verify, lambda model, part: float(part.size()))
    assert (found.select.value, found.verify.value) == (select.size(), verify.size())
    assert (found.chance, found.answers, found.verify.low) == (None, None, None)
    with pytest.raises(DataError, match="`quality` must return a finite number, got nan on the select examples"):
        judged(Picks(), select, verify, lambda model, part: float("nan"))
