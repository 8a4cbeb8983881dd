"""Data sets: right values, fixed splits, and messages that say what is wrong with a file or a factory."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from netcaliper.errors import DataError, InputError, SpecError
from netcaliper.zoo.batches import Batches
from netcaliper.zoo.data import Options, digits, npz


def test_digits_are_the_images_of_scikit_learn():
    data = digits()
    images, labels = load_digits(return_X_y=True)
    assert data.x.dtype == torch.float32
    np.testing.assert_array_equal(data.x.flatten(1).numpy() * 16, images)
    assert data.y is not None
    np.testing.assert_array_equal(data.y.numpy(), labels)
    assert float(data.x.min()) == 0
    assert float(data.x.max()) == 1


def test_digits_split_is_a_stratified_partition():
    whole, train, test = digits("all"), digits("train"), digits("test")
    assert (len(train.x), len(test.x), len(whole.x)) == (1347, 450, 1797)
    rows = {tuple(image.flatten().tolist()) for image in whole.x}
    parts = [{tuple(image.flatten().tolist()) for image in part.x} for part in (train, test)]
    assert parts[0] | parts[1] == rows
    assert not parts[0] & parts[1]
    assert whole.y is not None
    assert test.y is not None
    expected = torch.bincount(whole.y) / 4
    assert (torch.bincount(test.y) - expected).abs().max() <= 1


def test_split_never_changes():
    assert torch.equal(digits("test").x, digits("test").x)


@pytest.fixture
def saved(tmp_path):
    def write(**arrays):
        file = tmp_path / "data.npz"
        np.savez(file, **arrays)
        return file

    return write


def test_npz_with_and_without_labels(saved):
    x, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 4
    labelled = npz(saved(x=x, y=y), batch_size=8)
    assert isinstance(labelled, Batches)
    assert len(labelled) == 3
    np.testing.assert_array_equal(labelled.x.numpy(), x.astype(np.float32))
    assert labelled.y is not None
    np.testing.assert_array_equal(labelled.y.numpy(), y)
    assert npz(saved(x=x)).y is None


def test_npz_split_is_a_partition_in_order(saved):
    file = saved(x=np.arange(40.0)[:, None], y=np.arange(40) % 2)
    train, test = npz(file, "train").x[:, 0], npz(file, "test").x[:, 0]
    assert (len(train), len(test)) == (30, 10)
    assert torch.equal(torch.cat([train, test]).sort().values, torch.arange(40.0))
    assert torch.equal(train, train.sort().values)


def test_npz_split_without_a_possible_stratification(saved):
    file = saved(x=np.arange(8.0)[:, None], y=np.arange(8))
    assert len(npz(file, "test").x) == 2


def test_tokens_stay_integers(saved):
    assert npz(saved(x=np.arange(12, dtype=np.int32).reshape(3, 4))).x.dtype == torch.int64


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((3, 2))}, "no array `x`, it has: images"),
        ({"x": np.zeros(3)}, r"`x` must have shape \[examples, ...\], got \[3\]"),
        ({"x": np.zeros((0, 3))}, "`x` holds no example"),
        ({"x": np.array([[0.0, 1.0], [np.nan, 1.0]])}, "`x` is not finite, first in example 1"),
        ({"x": np.array([[0.0, np.inf]])}, "`x` is not finite, first in example 0"),
        ({"x": np.zeros((3, 2), dtype=np.uint8)}, "`x` is uint8; store images as float32"),
        ({"x": np.zeros((3, 2), dtype=complex)}, "`x` is complex128"),
        ({"x": np.zeros((3, 2)), "y": np.zeros(2, dtype=int)}, r"`y` must have shape \[3\].*got \[2\]"),
        ({"x": np.zeros((3, 2)), "y": np.zeros(3)}, "`y` is float64; labels must be integers"),
        ({"x": np.zeros((3, 2)), "y": np.array([0, -1, 1])}, "`y` holds the label -1"),
    ],
)
def test_npz_says_what_is_wrong(saved, arrays, message):
    with pytest.raises(DataError, match=message):
        npz(saved(**arrays))


def test_npz_files_that_are_none(tmp_path, saved):
    with pytest.raises(SpecError, match="there is no file"):
        npz(tmp_path / "nothing.npz")
    text = tmp_path / "text.npz"
    text.write_text("not an archive")
    with pytest.raises(SpecError, match="cannot be read as an npz file without pickles"):
        npz(text)
    cut = tmp_path / "cut.npz"
    cut.write_bytes(saved(x=np.zeros((50, 50))).read_bytes()[:200])
    with pytest.raises(SpecError, match="cannot be read as an npz file"):
        npz(cut)
    single = tmp_path / "single.npz"
    with single.open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(SpecError, match="single array"):
        npz(single)


class Bomb:
    """Unpickling this raises: a loader that lets it through would be noticed."""

    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_npz_never_unpickles(saved):
    with pytest.raises(SpecError, match="without pickles"):
        npz(saved(x=np.array([Bomb()], dtype=object)))


def test_one_example_cannot_be_split(saved):
    with pytest.raises(DataError, match="at least 2 examples, there is 1"):
        npz(saved(x=np.zeros((1, 2))), "train")


def labels_of(batches):
    return torch.cat([y for _, y in batches])


def test_subsets_are_stratified_within_their_split():
    whole, part = digits("test"), digits("test", options=Options(examples=45))
    share = labels_of(whole).bincount() * 45 / 450
    assert (labels_of(part).bincount() - share).abs().max() < 1
    rows = {tuple(x.flatten().tolist()) for x in whole.x}
    assert all(tuple(x.flatten().tolist()) in rows for x in part.x)
    with pytest.raises(DataError, match="`examples` = 451 are asked for, the split 'test' has 450"):
        digits("test", options=Options(examples=451))


def test_random_labels_replace_those_of_the_training_part_only():
    options = Options(random_labels=True)
    wrong, right = digits("train", options=options), digits("train")
    assert torch.equal(wrong.x, right.x)
    assert 0.05 < (labels_of(wrong) == labels_of(right)).float().mean() < 0.15
    assert torch.equal(labels_of(digits("test", options=options)), labels_of(digits("test")))
    changed = labels_of(digits("all", options=options)) != labels_of(digits("all"))
    assert int(changed.sum()) == int((labels_of(wrong) != labels_of(right)).sum())
    # An example keeps its random label in a smaller subset.
    few = digits("train", options=Options(random_labels=True, examples=50))
    table = {tuple(x.flatten().tolist()): int(y) for x, y in zip(wrong.x, labels_of(wrong), strict=True)}
    assert all(table[tuple(x.flatten().tolist())] == int(y) for x, y in zip(few.x, labels_of(few), strict=True))


def test_options_without_labels(saved):
    file = saved(x=np.arange(12.0).reshape(6, 2))
    assert len(npz(file, options=Options(examples=4)).x) == 4
    for name, options in (
        ("random_labels", Options(random_labels=True)),
        ("label_noise", Options(label_noise=0.1)),
        ("classes", Options(classes=(0, 1))),
    ):
        with pytest.raises(DataError, match=f"`{name}` needs labels, the data have none"):
            npz(file, options=options)


@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_chosen_classes_are_renumbered_in_both_parts(split):
    whole, part = digits(split), digits(split, options=Options(classes=(7, 2)))
    y = labels_of(whole)
    kept = (y == 7) | (y == 2)
    assert torch.equal(part.x, whole.x[kept])
    assert torch.equal(labels_of(part), (y[kept] == 2).long())


def test_classes_come_before_the_subset_and_random_labels():
    few = digits("train", options=Options(classes=(0, 1, 4), examples=30))
    assert labels_of(few).bincount().tolist() == [10, 10, 10]
    wrong = digits("train", options=Options(classes=(0, 1, 4), random_labels=True))
    assert labels_of(wrong).unique().tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="the split 'test' has"):
        digits("test", options=Options(classes=(0, 1), examples=100))


def test_noise_changes_training_labels_to_others_with_the_stated_chance():
    right = labels_of(digits("train"))
    little, much = (labels_of(digits("train", options=Options(label_noise=share))) for share in (0.1, 0.4))
    changed = {share: labels != right for share, labels in ((0.1, little), (0.4, much))}
    for share, marks in changed.items():
        assert abs(float(marks.float().mean()) - share) < 3 * (share * (1 - share) / len(right)) ** 0.5
    assert (changed[0.4] | ~changed[0.1]).all()
    assert torch.equal(little[changed[0.1]], much[changed[0.1]])
    steps = ((much - right) % 10)[changed[0.4]].bincount(minlength=10)
    assert steps[0] == 0
    assert (abs(steps[1:] / changed[0.4].sum() - 1 / 9) < 0.05).all()
    assert torch.equal(labels_of(digits("test", options=Options(label_noise=0.4))), labels_of(digits("test")))
    # All other labels, and the same ones in a subset and beside the test part.
    all_wrong = labels_of(digits("train", options=Options(label_noise=1.0)))
    assert (all_wrong != right).all()
    whole = digits("all", options=Options(label_noise=0.4))
    assert int((labels_of(whole) != labels_of(digits("all"))).sum()) == int(changed[0.4].sum())
    table = {tuple(x.flatten().tolist()): int(y) for x, y in zip(whole.x, labels_of(whole), strict=True)}
    few = digits("train", options=Options(label_noise=0.4, examples=50))
    assert all(table[tuple(x.flatten().tolist())] == int(y) for x, y in zip(few.x, labels_of(few), strict=True))
    other = labels_of(digits("train", options=Options(label_noise=0.4, seed=1)))
    assert not torch.equal(other, much)


def test_noise_stays_among_the_chosen_classes():
    right = labels_of(digits("train", options=Options(classes=(3, 8))))
    flipped = labels_of(digits("train", options=Options(classes=(3, 8), label_noise=1.0)))
    assert torch.equal(flipped, 1 - right)


def test_options_of_labels_that_cannot_be_used(saved):
    with pytest.raises(InputError, match="`classes` must differ"):
        Options(classes=(1, 1))
    with pytest.raises(InputError, match="`random_labels` replace all labels already; leave `label_noise` out"):
        Options(random_labels=True, label_noise=0.1)
    with pytest.raises(InputError, match="`label_noise` = 1.5"):
        Options(label_noise=1.5)
    with pytest.raises(DataError, match="`classes` names 10, but the split 'train' has labels 0 to 9"):
        digits("train", options=Options(classes=(0, 10)))
    with pytest.raises(DataError, match="`label_noise` needs two classes"):
        digits("train", options=Options(classes=(3,), label_noise=0.1))
