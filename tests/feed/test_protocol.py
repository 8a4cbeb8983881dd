import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.errors import DataError
from netcaliper.feed.protocol import Plan
from netcaliper.stats.sampling import CALIBRATE, SELECT


@given(st.integers(10, 400), st.integers(0, 20), st.integers(1, 30), st.integers(1, 300), st.integers(1, 90))
def test_the_sample_is_capped_distinct_and_free_of_the_batches(examples, seed, units, width, batch):
    plan = Plan(examples, seed)
    for part in (CALIBRATE, SELECT):
        index = np.arange(examples)
        example, position = plan.sample(index, part, units, width)
        assert (plan.split[example] == part).all()
        total = np.count_nonzero(plan.split == part)
        assert len(example) <= plan.row_cap(units) * total // max(plan.sizes["calibrate"], 1)
        if part == CALIBRATE and total:
            assert len(example) > min(plan.row_cap(units), total * width) - total
        whole = list(zip(example.tolist(), position.tolist(), strict=True))
        assert len(set(whole)) == len(whole)
        pieces = []
        for start in range(0, examples, batch):
            e, p = plan.sample(index[start : start + batch], part, units, width)
            pieces += zip((e + start).tolist(), p.tolist(), strict=True)
        assert pieces == whole


def test_row_caps():
    assert Plan(10, 0).row_cap(10) == 4096
    assert Plan(10, 0).row_cap(1000) == 20_000
    assert Plan(10, 0, "paper").row_cap(1000) == 50_000


def test_sizes_add_up():
    plan = Plan(1000, 0)
    assert sum(plan.sizes.values()) == 1000
    plan.check()


@pytest.mark.parametrize("examples", [0, 1, 2])
def test_too_few_examples_are_refused(examples):
    with pytest.raises(DataError, match="`data` must give at least 2 calibrate and 1 select examples"):
        Plan(examples, 0).check()
