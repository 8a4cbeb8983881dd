"""The default penalty is the one that an update-by-update simulation needs."""

import pytest
import torch

from netcaliper.errors import InputError
from netcaliper.linearize.sizing import checked_omegas, unopposed


def updates_until_linear(omega, rates, updates, momentum):
    """Descend alone on ``omega |1 - alpha|^(1/2)`` with torch's SGD; return the updates, or None."""
    alpha = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.SGD([alpha], lr=rates[0], momentum=momentum)
    done = 0
    for rate in rates:
        descent.param_groups[0]["lr"] = rate
        for _ in range(updates):
            descent.zero_grad()
            (omega * ((1 - alpha).abs() + 1e-4).sqrt()).sum().backward()
            descent.step()
            done += 1
            if float(alpha.detach()) > 0.99:
                return done
    return None


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_unit_without_a_task_becomes_linear_just_at_the_end(momentum):
    rates, updates = [0.1, 0.08, 0.05, 0.02], 300
    omega = unopposed(rates, updates, momentum)
    found = updates_until_linear(1.05 * omega, rates, updates, momentum)
    assert found is not None
    assert found > 750
    assert updates_until_linear(0.93 * omega, rates, updates, momentum) is None


def test_penalties_are_sorted_and_each_once():
    assert checked_omegas((0.1, 0.01, 0.1)) == (0.01, 0.1)
    assert checked_omegas(1.0) == (1.0,)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf"), (0.1, 0.0)])
def test_what_is_no_penalty_is_refused(wrong):
    with pytest.raises(InputError, match="`omega` must hold positive numbers"):
        checked_omegas(wrong)


def test_no_penalty_at_all_is_refused():
    with pytest.raises(InputError, match="`omega` must hold at least one positive number"):
        checked_omegas(())
