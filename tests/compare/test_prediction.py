import json

import numpy as np
import pytest
import torch

from netcaliper.compare.prediction import predictions
from netcaliper.errors import DataError, InputError
from netcaliper.stats.intervals import clopper_pearson


def networks(count=4, examples=60, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, examples)
    base = 2 * np.eye(3)[labels] + rng.normal(size=(examples, 3))
    return {f"n{i}": torch.from_numpy(base + rng.normal(size=(examples, 3))) for i in range(count)}, labels


def test_pairs_are_compared_by_definition():
    scores, labels = networks()
    found = predictions(scores, torch.from_numpy(labels))
    assert [(one.first, one.second) for one in found.agreements] == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert found.warnings == ()
    values = [one.numpy() for one in scores.values()]
    for one in found.agreements:
        a, b = values[one.first], values[one.second]
        same = a.argmax(1) == b.argmax(1)
        wrong = [x.argmax(1) != labels for x in (a, b)]
        assert one.agreement.value == pytest.approx(same.mean())
        assert (one.agreement.low, one.agreement.high) == clopper_pearson(int(same.sum()), 60)
        assert one.agreement.sample == 60
        assert one.both_wrong == pytest.approx((wrong[0] & wrong[1]).sum() / (wrong[0] | wrong[1]).sum())
        assert one.same_wrong == pytest.approx((same & wrong[0]).sum() / (wrong[0] & wrong[1]).sum())
        assert one.churn == pytest.approx((wrong[0] != wrong[1]).mean())
        assert one.kappa is not None
        a, b = (x - x.mean(1, keepdims=True) for x in (a, b))
        assert one.logit_distance == pytest.approx(((a - b) ** 2).sum() / ((a**2).sum() + (b**2).sum()))


def test_groups_say_what_seeds_do():
    scores, labels = networks(5)
    labels = labels.copy()
    labels[:7] = -100
    found = predictions(scores, labels, groups={"a": [0, 2, 4], "b": [1, 3]})
    values = torch.stack(list(scores.values()))[[0, 2, 4]]
    right = (values.argmax(-1).numpy() == labels)[:, 7:]
    first = found.groups[0]
    assert (first.name, first.networks) == ("a", (0, 2, 4))
    assert first.accuracy is not None
    assert first.accuracy.value == pytest.approx(right.mean())
    assert first.accuracy.low < right.mean() < first.accuracy.high
    assert first.accuracy.over == "95 % t over 3 networks"
    ensemble = values.softmax(-1).mean(0).argmax(-1).numpy()[7:]
    assert first.ensemble == pytest.approx((ensemble == labels[7:]).mean())
    centered = values - values.mean(-1, keepdim=True)
    assert first.seed_variance == pytest.approx(float(centered.var(0).sum(-1).mean()))
    inside = [one.agreement.value for one in found.agreements if {one.first, one.second} <= {0, 2, 4}]
    assert first.agreement == pytest.approx(np.mean(inside))
    assert found.right["a"][7:] == pytest.approx(right.mean(0))
    assert np.isnan(found.right["a"][:7]).all()
    assert [(one.first, one.second) for one in found.differences] == [("a", "b")]


def test_a_constant_added_to_an_example_or_another_order_of_networks_changes_nothing():
    scores, labels = networks()
    groups = {"a": [0, 1], "b": [2, 3]}
    plain = predictions(scores, labels, groups=groups)
    moved = {name: one + torch.arange(60)[:, None] for name, one in scores.items()}
    for one, other in zip(plain.agreements, predictions(moved, labels, groups=groups).agreements, strict=True):
        assert one.agreement == other.agreement
        assert one.logit_distance == pytest.approx(other.logit_distance)
    swapped = predictions(dict(reversed(scores.items())), labels, groups={"a": [3, 2], "b": [1, 0]})
    for one, other in zip(plain.differences[0].classes, swapped.differences[0].classes, strict=True):
        assert one.name == other.name
        assert (one.p, one.permutation) == pytest.approx((other.p, other.permutation))


def test_identical_networks_agree_wholly_and_what_is_undefined_is_said():
    scores, _ = networks(1)
    one = scores["n0"]
    labels = one.argmax(1).numpy()
    found = predictions(dict.fromkeys("abcd", one), labels, groups={"x": [0, 1], "y": [2, 3]})
    pair = found.agreements[0]
    assert (pair.agreement.value, pair.churn, pair.logit_distance) == (1.0, 0.0, 0.0)
    assert pair.both_wrong is pair.same_wrong is pair.kappa is None
    assert [warning.split(":")[0] for warning in found.warnings] == [
        "no overlap of errors where neither network errs",
        "no share of equal errors where no example is wrong in both networks",
        "no kappa where both networks are always right, or both always wrong",
    ]
    assert "a and b and 5 other pairs" in found.warnings[0]
    assert found.groups[0].seed_variance == 0.0
    assert found.groups[0].accuracy is not None
    assert found.groups[0].accuracy.low == found.groups[0].accuracy.high == 1.0
    assert found.differences[0].equivalence is None


def test_without_labels_agreement_alone_is_said():
    scores, _ = networks()
    found = predictions(scores, groups={"a": [0, 1], "b": [2, 3]})
    assert len(found.agreements) == 6
    assert found.agreements[0].churn is None
    assert found.groups[0].accuracy is found.groups[0].ensemble is None
    assert found.groups[0].agreement is not None
    assert found.right == {}
    assert "without labels" in found.warnings[0]
    assert found.differences[0].reasons


def test_one_network_has_no_noise_floor():
    scores, labels = networks(3)
    found = predictions(scores, labels, groups={"a": [0], "b": [1, 2]})
    alone = found.groups[0]
    assert alone.ensemble is alone.seed_variance is alone.agreement is None
    assert alone.accuracy is not None
    assert alone.accuracy.low is None
    assert alone.accuracy.over == "no interval: one network"
    assert "group a has one network" in found.warnings[0]


def test_tokens_agree_by_example():
    rng = np.random.default_rng(0)
    values = [torch.from_numpy(rng.normal(size=(5, 7, 4))) for _ in range(2)]
    valid = torch.ones(5, 7, dtype=torch.bool)
    valid[0, 2:] = False
    found = predictions(
        {"a": values[0], "b": values[1]}, torch.zeros(5, 7, dtype=torch.int64), task="tokens", valid=valid
    )
    same = (values[0].argmax(-1) == values[1].argmax(-1)).double()
    share = found.agreements[0].agreement
    assert share.value == pytest.approx(float(torch.stack([same[i][valid[i]].mean() for i in range(5)]).mean()))
    assert share.low is not None
    assert share.high is not None
    assert share.low <= share.value <= share.high
    assert share.over == "95 % t over 5 examples, each the share of its tokens"
    assert found.agreements[0].kappa is None
    assert "of tokens only agreement" in found.warnings[0]


def test_a_regression_is_not_compared():
    found = predictions({"a": torch.zeros(5, 1), "b": torch.ones(5, 1)}, task="regression")
    assert found.agreements == ()
    assert "regression" in found.warnings[0]


def test_everything_is_written_and_follows_from_the_seed():
    scores, labels = networks(24)
    groups = {"a": range(12), "b": range(12, 24)}
    found = [predictions(scores, labels, groups=groups, seed=seed) for seed in (0, 0, 1)]
    texts = [[json.loads(one.model_dump_json()) for one in (*x.agreements, *x.groups, *x.differences)] for x in found]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"a": []}, "'a' holds none"),
        ({"a": [0, 4]}, "from 0 to 3, 'a' holds 4"),
        ({"a": [0, 1], "b": [1, 2]}, "1 is in 'a' and 'b'"),
        ({"a": [0, 0]}, "0 is in 'a' and 'a'"),
    ],
)
def test_groups_that_do_not_fit_are_refused(groups, said):
    scores, labels = networks()
    with pytest.raises(InputError, match=said):
        predictions(scores, labels, groups=groups)


def test_unequal_sets_of_classes_are_refused():
    scores, labels = networks(2)
    with pytest.raises(DataError, match="same classes"):
        predictions({"a": scores["n0"], "b": scores["n1"][:, :2]}, labels)
