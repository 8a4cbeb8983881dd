"""The penalty and its gradient, and the half-thresholding against a grid search."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netcaliper.bending.penalty import EPSILON, half_threshold, root_penalty


def test_value_is_a_sum_over_what_is_not_frozen():
    alphas = [torch.tensor([0.0, 0.75]), torch.tensor([1.0, 3.0, 0.5])]
    frozen = [torch.tensor([False, False]), torch.tensor([True, False, True])]
    expected = 2.0 * sum(math.sqrt(distance + EPSILON) for distance in (1.0, 0.25, 2.0))
    assert root_penalty(alphas, frozen, 2.0).item() == pytest.approx(expected, rel=1e-6)


def test_gradient_is_that_of_the_root_and_zero_where_frozen():
    alpha = torch.tensor([0.0, 0.75, 1.2, 0.4], dtype=torch.float64, requires_grad=True)
    frozen = torch.tensor([False, False, False, True])
    root_penalty([alpha], [frozen], 3.0).backward()
    expected = [-3.0 * 0.5 / math.sqrt(1.0 + EPSILON), -1.5 / math.sqrt(0.25 + EPSILON), 1.5 / math.sqrt(0.2 + EPSILON)]
    assert alpha.grad is not None
    assert alpha.grad.tolist() == pytest.approx([*expected, 0.0])
    other = alpha.detach()[:3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda a: root_penalty([a], [frozen[:3]], 3.0), (other,))


@settings(max_examples=60, deadline=None)
@given(alpha=st.floats(-1e6, 1e6, width=32), frozen=st.booleans())
def test_never_not_a_number_and_the_slope_is_bounded(alpha, frozen):
    values = torch.tensor([alpha, 1.0, 1.0 - 1e-7], requires_grad=True)
    total = root_penalty([values], [torch.tensor([frozen, False, True])], 1.0)
    total.backward()
    assert values.grad is not None
    assert bool(torch.isfinite(total))
    assert bool((values.grad.abs() <= 0.5 / math.sqrt(EPSILON) + 1e-3).all())


def test_frozen_entries_count_nothing_even_when_spoiled():
    spoiled = torch.tensor([float("nan"), 0.0], requires_grad=True)
    total = root_penalty([spoiled], [torch.tensor([True, False])], 1.0)
    total.backward()
    assert total.item() == pytest.approx(math.sqrt(1 + EPSILON))
    assert spoiled.grad is not None
    assert spoiled.grad[0] == 0.0


@settings(max_examples=60, deadline=None)
@given(z=st.floats(-3.0, 3.0), lam=st.floats(1e-4, 5.0))
def test_half_threshold_is_the_minimum_of_a_grid_search(z, lam):
    x = float(half_threshold(torch.tensor([z], dtype=torch.float64), lam))

    def cost(x):
        return (x - z) ** 2 + lam * abs(x) ** 0.5

    grid = torch.cat([torch.linspace(-3.2, 3.2, 20001, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)])
    best = float(((grid - z) ** 2 + lam * grid.abs().sqrt()).min())
    assert cost(x) <= best + 1e-9


def test_half_threshold_without_weight_is_the_identity():
    z = torch.tensor([-1.0, 0.0, 2.0])
    assert torch.equal(half_threshold(z, 0.0), z)
