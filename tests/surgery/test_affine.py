"""Forms put into forms, against their values computed in turn."""

import pytest
import torch
from torch.fx import Graph

from netcaliper.surgery.affine import Affine, Cost, Term, agree, cost, joined, merged, put_into
from netcaliper.surgery.linear_maps import InexactError, Kernel, Scale


def nodes(*names):
    graph = Graph()
    return [graph.placeholder(name) for name in names]


def matrix(out, inputs, seed=0):
    return Kernel(torch.randn(out, inputs, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def value(form, inputs):
    total = torch.zeros(1, dtype=torch.float64) if form.bias is None else form.bias
    for term in form.terms:
        x = inputs[term.source]
        if isinstance(term.map, Kernel):
            x = x @ term.map.weight.T
        elif term.map.factor is not None:
            x = x * term.map.factor
        total = total + x
    return total


def test_a_form_with_two_terms_goes_into_one():
    x, y, h = nodes("x", "y", "h")
    inner = Affine((Term(x, matrix(4, 3)), Term(y, matrix(4, 4, 1))), 1, torch.arange(4.0, dtype=torch.float64))
    outer = Affine((Term(h, matrix(2, 4, 2)), Term(y, matrix(2, 4, 3))), 1, torch.ones(2, dtype=torch.float64))
    form, exact = put_into(outer, 0, inner, ())
    inputs = {x: torch.randn(5, 3, dtype=torch.float64), y: torch.randn(5, 4, dtype=torch.float64)}
    torch.testing.assert_close(value(form, inputs), value(outer, inputs | {h: value(inner, inputs)}))
    assert exact
    assert [term.source for term in form.terms] == [x, y], "two matrices of one value are one"
    assert cost(form, 10) == Cost((2 * 3 + 2 * 4) * 10, 3)
    assert cost(form.planned(), 10) == cost(form, 10)


def test_forms_along_different_axes_stay_apart():
    x, h = nodes("x", "h")
    with pytest.raises(InexactError, match="different axes"):
        put_into(Affine((Term(h, matrix(2, 4)),), 2), 0, Affine((Term(x, matrix(4, 4)),), 1), ())
    assert agree(None, 1)
    assert not agree(1, 2)


def test_a_border_is_refused_or_said():
    x, h = nodes("x", "h")
    conv = Kernel(torch.ones(2, 2, 3, 3), (1, 1), (1, 1), (1, 1))
    inner, outer = Affine((Term(x, conv),), 1, torch.ones(2)), Affine((Term(h, conv),), 1)
    with pytest.raises(InexactError, match="wrong at the border"):
        put_into(outer, 0, inner, (8, 8))
    form, exact = put_into(outer, 0, inner, (8, 8), interior=True)
    assert not exact
    assert form.bias is not None
    assert form.bias.shape == (2,)


def test_costs():
    (x,) = nodes("x")
    assert cost(Affine((Term(x, Scale()),), None), 5) == Cost(0, 1), "a copy"
    assert cost(Affine((Term(x, Scale(torch.ones(3))),), 1, torch.ones(3)), 5) == Cost(0, 1), "scale and shift at once"
    assert cost(Affine((Term(x, matrix(3, 3)),), 1, torch.ones(3, 4, 4)), 5) == Cost(45, 2), "a map is added"
    assert Cost(1, 9) < Cost(2, 0)
    assert Cost(1, 2) + Cost(3, 4) == Cost(4, 6)


def test_constants_and_terms_add():
    assert joined(torch.ones(2), torch.ones(2, 3, 3)).tolist() == torch.full((2, 3, 3), 2.0).tolist()
    (x,) = nodes("x")
    assert len(merged([Term(x, Scale()), Term(x, Scale())])) == 2
    wide = [Term(x, Kernel(torch.ones(1, 1, 3, 3), (1, 1), (d, d), (d, d))) for d in (1, 2)]
    assert len(merged(wide)) == 2, "one 5 x 5 kernel would cost more than the two"
