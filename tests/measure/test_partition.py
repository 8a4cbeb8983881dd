import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netcaliper.measure.partition import counts, partition

MASKS = st.lists(st.tuples(*[st.booleans()] * 5), min_size=1, max_size=30).map(lambda rows: np.array(rows).T)


@given(MASKS)
def test_every_unit_is_counted_once_in_the_first_class_that_holds(masks):
    dead, constant, removed, duplicate, absorbed = masks
    verdict = partition(dead, constant, removed, duplicate, absorbed)
    for unit, code in enumerate(verdict):
        truths = [dead[unit], constant[unit], removed[unit] and duplicate[unit], removed[unit], absorbed[unit], True]
        assert code == truths.index(True)
    found = counts(verdict, absorbed=True)
    assert sum(number or 0 for number in found.values()) == len(dead)
    assert found["absorbable"] == (absorbed & ~(dead | constant | removed)).sum()
    without = counts(partition(dead, constant, removed, duplicate))
    assert without["absorbable"] is None
    assert without["needed"] == (found["needed"] or 0) + (found["absorbable"] or 0)


@given(MASKS)
def test_without_redundancy_the_rest_is_open(masks):
    dead, constant, *_ = masks
    found = counts(partition(dead, constant, None, None))
    assert found["dead"] == dead.sum()
    assert found["constant"] == (constant & ~dead).sum()
    judged = (dead | constant).all()
    assert (found["needed"] is not None) == judged
    assert (found["duplicate"] is not None) == judged
