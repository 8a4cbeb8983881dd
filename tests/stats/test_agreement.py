import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from netcaliper.stats.agreement import overlap

ROWS = st.lists(st.tuples(*[st.integers(0, 2)] * 2, st.integers(-1, 2)), min_size=1, max_size=30)


@given(ROWS)
def test_it_equals_counting_one_by_one(rows):
    a, b, y = np.array(rows).T
    found = overlap(a, b, y)
    known = [row for row in rows if row[2] >= 0]
    both = [(p, q) for p, q, r in known if r not in (p, q)]
    either = [(p, q) for p, q, r in known if p != r or q != r]
    assert (found.same, found.examples, found.labeled) == (sum(p == q for p, q, _ in rows), len(rows), len(known))
    assert found.both_wrong == (len(both) / len(either) if either else None)
    assert found.same_wrong == (sum(p == q for p, q in both) / len(both) if both else None)
    if not known:
        assert found.churn is None
        assert found.kappa is None
        return
    right = [[row[i] == row[2] for row in known] for i in (0, 1)]
    assert found.churn == pytest.approx(sum(p != q for p, q in zip(*right, strict=True)) / len(known))
    if len({*right[0], *right[1]}) == 1:
        assert found.kappa is None
    else:
        assert found.kappa == pytest.approx(cohen_kappa_score(*right), abs=1e-12)


def test_without_labels_there_is_agreement_alone():
    found = overlap(np.array([0, 1, 1]), np.array([0, 1, 2]))
    assert (found.same, found.examples, found.labeled) == (2, 3, 0)
    assert found.both_wrong is found.same_wrong is found.kappa is found.churn is None


def test_a_network_with_itself():
    answers, labels = np.array([0, 1, 2, 0]), np.array([0, 1, 1, 2])
    found = overlap(answers, answers, labels)
    assert (found.same, found.both_wrong, found.same_wrong, found.churn) == (4, 1.0, 1.0, 0.0)
    assert found.kappa == pytest.approx(1.0)


def test_unrelated_errors_have_no_kappa_but_overlap():
    rng = np.random.default_rng(0)
    labels = np.zeros(200_000, dtype=int)
    a, b = ((rng.random(len(labels)) < 0.4).astype(int) for _ in range(2))
    found = overlap(a, b, labels)
    assert found.kappa == pytest.approx(0, abs=0.01)
    assert found.both_wrong == pytest.approx(0.16 / 0.64, abs=0.01)
