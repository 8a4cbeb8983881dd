"""Which forms go where; that the result is right is checked in test_fold.py."""

from itertools import pairwise

import pytest
import torch
from torch import nn

import netcaliper as nc
from netcaliper.surgery.bends import find_bends
from netcaliper.surgery.linear_maps import Kernel
from netcaliper.surgery.plain_graph import plain_graph
from netcaliper.surgery.recognize import Constants
from netcaliper.surgery.rewrite import Rewriting, affine


def rewriting(model, x, alphas):
    graph = nc.trace(model.eval(), x)
    plain = plain_graph(graph)
    bends = find_bends(graph, plain.graph, alphas, {})
    made = Rewriting(plain.graph, Constants(plain.module()), graph.traced_batch, False)
    made.recognize(frozenset(node for bend in bends for node in (bend.carrier, bend.root, *bend.region)))
    return made, bends


def kernels(form):
    return [term.map for term in form.terms if isinstance(term.map, Kernel)]


def test_bottlenecks_in_a_row_meet_where_they_are_narrow():
    """100 - 2 - 100 - 2 - 100: the middle is folded, the wide ends are not."""
    widths = (100, 2, 100, 2, 100)
    model = nn.Sequential(*[nn.Linear(a, b) for a, b in pairwise(widths)])
    made, _ = rewriting(model, torch.randn(2, 100), {})
    made.absorb()
    shapes = [tuple(one.weight.shape) for form in made.forms.values() for one in kernels(form)]
    assert shapes == [(2, 100), (100, 2)]


def test_a_split_site_is_narrow_on_both_sides():
    model = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 4))
    made, (bend,) = rewriting(model, torch.randn(2, 4), {"1": (torch.arange(16) < 10).float()})
    assert made.split(bend) is None
    shapes = [tuple(one.weight.shape) for form in made.forms.values() for one in kernels(form)]
    assert sorted(shapes) == [(4, 4), (4, 6), (6, 4)]
    (step,) = made.steps
    assert step.macs == (128, 6 * 8 + 16)
    assert step.units == (10, 16)


def test_a_form_that_is_not_written_out_cannot_run():
    with pytest.raises(AssertionError, match="not written out"):
        affine()
