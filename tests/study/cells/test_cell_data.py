"""Data of a cell: which options change which part."""

import numpy as np
import pytest
import torch

from netcaliper.errors import SpecError, StudyError
from netcaliper.stats.sampling import held
from netcaliper.study.cells.cell_data import cell_data, name_of_test, some_of
from netcaliper.zoo.data import digits
from readings import there


def parts(spec="digits", folders=None, **options):
    found = cell_data({"spec": spec, "options": options}, folders or {}, batch_size=64)
    return found.train, found.test


def labels(batches):
    return there(batches.y)


def test_examples_limit_the_training_part_alone():
    train, test = parts(examples=300)
    assert (len(train.x), len(test.x)) == (300, 450)
    assert train.batch_size == 64
    train, test = parts("digits(examples=100)", examples=300)
    assert (len(train.x), len(test.x)) == (300, 100)


def test_labels_change_in_the_training_part_alone():
    right, _ = parts()
    wrong, test = parts(label_noise=0.5, seed=3)
    assert torch.equal(wrong.x, right.x)
    assert 0.4 < float((wrong.y != right.y).float().mean()) < 0.6
    assert torch.equal(test.y, labels(digits("test")))


def test_classes_choose_from_both_parts():
    train, test = parts(classes=[8, 3])
    whole = digits("test")
    y = labels(whole)
    kept = (y == 8) | (y == 3)
    assert torch.equal(test.x, whole.x[kept])
    assert torch.equal(test.y, (y[kept] == 3).long())
    assert train.y.unique().tolist() == [0, 1]


def test_the_folder_is_filled_in_and_named_nowhere(tmp_path):
    file = tmp_path / "some where.npz"
    np.savez(file, x=np.arange(40.0).reshape(20, 2), y=np.arange(20) % 2)
    spec = "npz:{folder}(seed=4)"
    found = cell_data({"spec": spec, "options": {"examples": 6}}, {spec: str(file)}, batch_size=4)
    assert (len(found.train.x), len(found.test.x)) == (6, 5)
    assert found.name == "npz:{folder}(seed=4) (test)"
    with pytest.raises(StudyError, match="need a folder, and none is given"):
        cell_data({"spec": spec, "options": {}}, {}, batch_size=4)


def test_equal_test_examples_have_equal_names():
    names = {
        name_of_test({"spec": "digits", "options": options})
        for options in ({}, {"examples": 9}, {"label_noise": 0.1}, {"random_labels": True, "examples": 8})
    }
    assert names == {"digits (test)"}
    assert name_of_test({"spec": "digits", "options": {"classes": [1, 2]}}) != "digits (test)"


def test_an_unknown_option_is_named():
    with pytest.raises(SpecError, match="did you mean `label_noise`"):
        parts(label_nois=0.1)


def test_some_of_the_examples():
    whole = digits("test")
    some = some_of(whole, 40, seed=5)
    assert torch.equal(some.x, whole.x[torch.from_numpy(held(450, 40, 5))])
    assert some_of(whole, None, 5) is whole
    assert some_of(whole, 450, 5) is whole
    with pytest.raises(StudyError, match="needs data in memory"):
        some_of([whole.x], 4, 0)
