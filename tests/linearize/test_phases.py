"""A training has its penalty first and frozen alphas afterwards; a target ends the penalty."""

import torch

from netcaliper.linearize.phases import Phases


def frees(bending):
    return [p.requires_grad for p in bending.parameter_groups()[1]["params"]]


def test_the_penalty_rises_and_then_alphas_are_frozen(bending):
    phases = Phases(bending, 0.5, 2, rise=3.0)
    seen = []
    for epoch in (1, 2, 3):
        phases.begin(epoch)
        seen.append((bending.omega, phases.frozen))
    assert seen == [(0.5, False), (1.5, False), (0.0, True)]
    assert phases.omega == 1.5
    assert frees(bending) == [False, False]


def test_a_training_that_is_gone_on_with_is_in_the_right_phase(bending):
    phases = Phases(bending, 0.5, 2)
    phases.begin(3)
    assert phases.frozen


def test_a_target_that_is_met_freezes_at_once(bending):
    asked = []

    def met():
        asked.append(sum(int(mine.sum()) for mine in bending.active().values()))
        return asked[-1] <= 5

    phases = Phases(bending, 0.5, 9, met=met)
    phases.begin(1)
    optimizer = torch.optim.SGD(phases.parameter_groups(), lr=0.1)
    assert phases.snap(optimizer) == 0
    with torch.no_grad():
        phases.parameter_groups()[1]["params"][0][:3] = 0.995
    assert not phases.frozen
    assert phases.snap(optimizer) == 3
    assert phases.frozen
    assert asked == [7, 4]  # before the epoch, and after the update that made units linear


def test_without_a_penalty_alphas_are_frozen_from_the_start(bending):
    phases = Phases(bending, 0.0, 0)
    phases.begin(1)
    assert phases.frozen
    assert float(phases.penalty()) == 0.0
