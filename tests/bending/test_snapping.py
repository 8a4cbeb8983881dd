"""Snapping: what freezes, what an optimizer still remembers, and optimizers that would undo it."""

import pytest
import torch
from torch import nn

import netcaliper as nc
from netcaliper.bending.penalty import half_threshold
from netcaliper.bending.snapping import snap
from netcaliper.errors import InputError

X = torch.linspace(-1.0, 1.0, 12).reshape(3, 4)

OPTIMIZERS = {
    "adam": lambda groups: torch.optim.Adam(groups, lr=0.01),
    "adamw_amsgrad": lambda groups: torch.optim.AdamW(groups, lr=0.01, amsgrad=True),
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.02, momentum=0.9, nesterov=True),
    "rmsprop": lambda groups: torch.optim.RMSprop(groups, lr=0.003, momentum=0.9, centered=True),
}


def make(**settings):
    torch.manual_seed(0)
    return nc.Bending(
        nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 2)), X, **settings
    )


def test_the_band_and_what_hopped_over():
    bend = make()
    alpha = bend.model[1].bend_alpha
    with torch.no_grad():
        alpha.copy_(torch.tensor([0.0, 0.98, 0.9901, 0.9999, 1.0, 1.02, 7.0, -0.5]))
    assert bend.snap() == 5
    assert alpha.tolist() == pytest.approx([0.0, 0.98, 1.0, 1.0, 1.0, 1.0, 1.0, -0.5])
    assert bend.active()["1"].tolist() == [True, True, False, False, False, False, False, True]
    assert bend.snap() == 0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_frozen_alphas_stay_exactly_1_for_200_steps(name):
    bend = make(omega=0.05)
    optimizer = OPTIMIZERS[name](bend.parameter_groups())
    frozen_at, count = {}, 0
    for step in range(200):
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
        loss = (bend.model(x) - x[:, :2].abs()).square().mean() + bend.penalty()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        count += bend.snap(optimizer)
        for site, alpha in bend.alphas().items():
            for unit in (alpha == 1.0).nonzero().flatten().tolist():
                frozen_at.setdefault((site, unit), step)
        for slot in (bend.model[1], bend.model[3]):
            raw, frozen = slot.bend_alpha, slot.bend_frozen
            assert bool((raw[frozen] == 1.0).all())
            assert bool((raw.grad[frozen & (raw.grad != 0)] != 0).all())
    assert count == len(frozen_at)
    assert min(frozen_at.values()) < 150, "some must have been frozen for long"
    assert all(not bend.active()[site][unit] for site, unit in frozen_at)


def test_what_the_optimizer_remembers_is_cleared_where_frozen_only():
    bend = make(omega=1.0)
    optimizer = OPTIMIZERS["adam"](bend.parameter_groups())
    (bend.model(X).sum() + bend.penalty()).backward()
    optimizer.step()
    alpha = bend.model[1].bend_alpha
    with torch.no_grad():
        alpha[3] = 0.995
    assert bend.snap(optimizer) == 1
    state = optimizer.state[alpha]
    assert state["exp_avg"][3] == 0.0
    assert state["exp_avg_sq"][3] == 0.0
    assert bool((state["exp_avg"][:3] != 0).all())
    assert state["step"] == 1.0


def test_an_optimizer_without_snap_cannot_move_what_the_forward_uses():
    bend = make()
    bend.set_active({"1": torch.zeros(8, dtype=torch.bool)})
    before = bend.model(X)
    with torch.no_grad():
        bend.model[1].bend_alpha.fill_(0.3)
    assert torch.equal(bend.model(X), before)
    bend.snap()
    assert bool((bend.model[1].bend_alpha == 1.0).all())


def test_weight_decay_on_alphas_is_refused_with_the_remedy():
    bend = make()
    optimizer = torch.optim.SGD(bend.model.parameters(), lr=0.1, weight_decay=5e-4)
    with pytest.raises(InputError, match=r"weight_decay 0 .* got 0\.0005.*parameter_groups"):
        bend.snap(optimizer)
    bend.snap(torch.optim.SGD(bend.parameter_groups(5e-4), lr=0.1))


def test_an_optimizer_without_the_alphas_is_refused():
    bend = make()
    with pytest.raises(InputError, match=r"without those of `1`.*parameter_groups"):
        bend.snap(torch.optim.SGD(bend.parameter_groups()[:1], lr=0.1))


def test_the_proximal_step_is_half_thresholding_with_the_rate_of_the_group():
    bend = make(omega=0.1, proximal=True)
    weights, alphas = bend.parameter_groups()
    optimizer = torch.optim.SGD([weights, {**alphas, "lr": 0.5}], lr=0.01)
    with torch.no_grad():
        bend.model[1].bend_alpha.copy_(torch.linspace(0.0, 0.96, 8))
    expected = 1.0 - half_threshold(1.0 - torch.linspace(0.0, 0.96, 8), 2 * 0.5 * 0.1)
    expected = torch.where(expected > 0.99, 1.0, expected)
    assert not bend.penalty().requires_grad
    assert bend.snap(optimizer) == int((expected == 1.0).sum()) > 0
    torch.testing.assert_close(bend.alphas()["1"], expected)
    with pytest.raises(InputError, match="proximal"):
        bend.snap()


def test_nothing_to_snap():
    assert snap([], None, omega=None) == 0
    bend = make()
    bend.freeze()
    assert bend.snap(torch.optim.SGD(bend.parameter_groups()[:1], lr=0.1)) == 0
