"""Learning-rate factors at the epochs where they matter."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.fit.schedule import SCHEDULES, rate_factor, warmup_factor


@given(epochs=st.integers(1, 200))
def test_every_schedule_starts_at_one_and_never_rises(epochs):
    for schedule in SCHEDULES:
        factors = [rate_factor(schedule, epoch, epochs) for epoch in range(1, epochs + 1)]
        assert factors[0] == 1.0
        assert all(after <= before for before, after in itertools.pairwise(factors))
        assert factors[-1] > 0


def test_steps_of_tensorflows_resnet():
    factors = [rate_factor("step", epoch, 182) for epoch in range(1, 183)]
    assert factors.index(0.1) == 91
    assert next(n for n, factor in enumerate(factors) if factor < 0.05) == 137
    assert sorted(set(factors)) == [pytest.approx(0.01), 0.1, 1.0]


def test_exponential_and_cosine():
    assert rate_factor("exponential", 11, 100) == pytest.approx(0.95**10)
    assert rate_factor("cosine", 51, 100) == pytest.approx(0.5)
    assert rate_factor("cosine", 101, 100) == pytest.approx(0.0)
    assert rate_factor("constant", 99, 100) == 1.0


def test_a_warm_up_rises_by_equal_steps_to_one():
    factors = [warmup_factor(2, update, 4) for update in range(1, 11)]
    assert factors == [n / 8 for n in range(1, 9)] + [1.0, 1.0]
    assert warmup_factor(0, 1, 4) == 1.0
