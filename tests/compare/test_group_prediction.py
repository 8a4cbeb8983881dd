import json

import numpy as np
import pytest
from scipy.stats import ttest_ind

from netcaliper.compare.answers import answers
from netcaliper.compare.group_prediction import difference, named_classes
from netcaliper.errors import InputError
from netcaliper.reading.layers import Group
from netcaliper.stats.example_spread import example_spread


def drawn(p, networks, seed):
    """Return logits of networks that get example i right with probability ``p[i]``, and the labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(len(p)) % 4
    right = rng.random((networks, len(p))) < p
    chosen = np.where(right, labels, (labels + rng.integers(1, 4, right.shape)) % 4)
    return np.eye(4)[chosen], labels


def compared(first, second, labels, *, names=None, superclasses=None, seed=0):
    found = answers({str(i): one for i, one in enumerate([*first, *second])}, labels)
    deep = Group(name="deep", networks=tuple(range(len(first))))
    wide = Group(name="wide", networks=tuple(range(len(first), len(first) + len(second))))
    return difference(found, deep, wide, named_classes(4, names, superclasses), seed=seed)


def two(p, q, sizes=(10, 10), **options):
    (first, labels), (second, _) = drawn(p, sizes[0], 0), drawn(q, sizes[1], 1)
    return compared(first, second, labels, **options)


def test_numbers_are_those_of_the_networks():
    (first, labels), (second, _) = drawn(np.full(400, 0.8), 7, 0), drawn(np.full(400, 0.7), 9, 1)
    found = compared(first, second, labels, names="abcd", superclasses={"a": "odd", "c": "odd", "b": "even"})
    right = [one.argmax(-1) == labels for one in (first, second)]
    assert found.sizes == (7, 9)
    assert found.equivalence is not None
    assert found.equivalence.difference == pytest.approx(100 * (right[0].mean() - right[1].mean()))
    assert found.equivalence.margin == 1.0
    assert not found.equivalence.equivalent
    spread = example_spread(*right, seed=0)
    assert found.spread is not None
    assert found.spread.systematic == spread.systematic
    assert found.spread.split_half == {"deep": spread.split_half[0], "wide": spread.split_half[1]}
    assert sorted(one.name for one in found.classes) == list("abcd")
    assert [one.p for one in found.classes] == sorted(one.p for one in found.classes)
    pooled = {"odd": (0, 2), "even": (1,)}
    for one in (*found.classes, *found.superclasses):
        members = pooled.get(one.name) or ("abcd".index(one.name),)
        mine = np.isin(labels, members)
        accuracies = [side[:, mine].mean(1) for side in right]
        assert (one.classes, one.examples) == (len(members), mine.sum())
        assert (one.first, one.second) == pytest.approx([side.mean() for side in accuracies])
        assert one.difference == pytest.approx(one.first - one.second)
        assert one.p == pytest.approx(ttest_ind(accuracies[0], accuracies[1], equal_var=False)[1])
        assert one.p <= one.fdr <= one.holm
    assert "in no superclass: d" in found.reasons


def test_equal_accuracy_hides_a_planted_difference_of_classes_and_examples():
    p = np.full(3200, 0.7)
    shift = np.array([0.1, -0.1, 0.0, 0.0])[np.arange(3200) % 4]
    found = two(p + shift, p - shift, (20, 20))
    assert found.equivalence is not None
    assert found.equivalence.equivalent
    assert {one.name for one in found.classes if one.holm < 0.01} == {"0", "1"}
    assert {one.name for one in found.classes[:2]} == {"0", "1"}
    assert found.spread is not None
    assert found.spread.low < 2 * shift.std() < found.spread.high
    assert found.spread.systematic == pytest.approx(2 * shift.std(), rel=0.1)


def test_seeds_of_one_kind_show_nothing():
    p = np.random.default_rng(5).beta(4, 1, 400)
    found = two(p, p, (12, 12))
    assert found.spread is not None
    assert found.spread.low < 0 < found.spread.high
    assert min(one.holm for one in found.classes) > 0.01


def test_few_seeds_are_said():
    p = np.full(40, 0.6)
    alone = two(p, p, (1, 5))
    assert alone.equivalence is alone.spread is None
    assert alone.classes == ()
    assert "at least 2 networks in either group, deep has 1" in alone.reasons[0]
    few = two(p, p, (3, 3))
    assert few.spread is not None
    assert np.isnan(few.spread.low)
    assert any("at least 5" in reason for reason in few.reasons)
    assert any("20 relabelings, so that p is at least 0.05" in reason for reason in few.reasons)
    assert two(p, p, (10, 10)).reasons == ()


def test_without_labels_nothing_is_said():
    first, _ = drawn(np.full(40, 0.6), 3, 0)
    found = compared(first, first, None)
    assert found.classes == ()
    assert found.reasons == ("no labels: who is right is not known",)


def test_groups_without_any_spread_have_no_silent_gaps():
    one, labels = drawn(np.full(40, 0.6), 1, 0)
    same = compared(np.repeat(one, 6, 0), np.repeat(one, 6, 0), labels)
    assert same.equivalence is None
    assert any("no scale to judge +0.00 points" in reason for reason in same.reasons)
    assert {x.p for x in same.classes} == {1.0}
    assert {x.permutation for x in same.classes} == {0.5}  # all relabelings tie
    other = one.copy()
    wrong = np.flatnonzero((one[0].argmax(1) == labels) & (labels == 2))[:3]
    other[0, wrong] = np.eye(4)[3]
    found = compared(np.repeat(one, 6, 0), np.repeat(other, 6, 0), labels)
    first = found.classes[0]
    assert first.name == "2"
    assert np.isnan([first.p, first.holm, first.fdr]).all()
    assert first.permutation == pytest.approx(1 / 924)  # two tie, counted half
    assert any(reason.startswith("no Welch test") and ": 2;" in reason for reason in found.reasons)
    assert json.loads(found.model_dump_json())["classes"][0]["name"] == "2"


def test_a_class_without_examples_is_named():
    (first, labels), (second, _) = drawn(np.full(40, 0.6), 6, 0), drawn(np.full(40, 0.6), 6, 1)
    found = compared(first, second, np.where(labels == 3, -100, labels), superclasses={"3": "three", "0": "rest"})
    assert sorted(one.name for one in found.classes) == ["0", "1", "2"]
    assert [one.name for one in found.superclasses] == ["rest"]
    assert "without labeled examples, and not tested: 3" in found.reasons
    assert "without labeled examples, and not tested: three" in found.reasons


@pytest.mark.parametrize(
    ("names", "superclasses", "said"),
    [
        ("abc", None, "each of the 4 classes.*got 3 names"),
        (None, {"cat": "animal"}, "'cat' is no class.*'0', '1'"),
        ("aabc", {"a": "animal"}, "'a' are 2 classes"),
    ],
)
def test_names_that_do_not_fit_are_refused(names, superclasses, said):
    with pytest.raises(InputError, match=said):
        named_classes(4, names, superclasses)
