"""Teacher data: Gaussian inputs, labels of one fixed random network."""

import pytest
import torch

from netcaliper.errors import InputError
from netcaliper.fit.train import accuracy, fit
from netcaliper.zoo.models import build
from netcaliper.zoo.teacher import TeacherOptions, teacher


def test_inputs_are_standard_normal():
    x = teacher("train", options=TeacherOptions(inputs=20, examples=5000)).x
    assert x.shape == (5000, 20)
    assert x.mean().abs() < 0.02
    torch.testing.assert_close(x.T @ x / len(x), torch.eye(20), atol=0.08, rtol=0)


@pytest.mark.parametrize("inputs", [10, 10_000])
def test_splits_and_sizes_share_one_teacher(inputs):
    small, large = TeacherOptions(inputs=inputs, examples=50), TeacherOptions(inputs=inputs, examples=80)
    train, test, everything = (teacher(split, options=small) for split in ("train", "test", "all"))
    assert (len(train.x), len(test.x), len(everything.x)) == (50, 1000, 1050)
    assert train.y is not None
    assert test.y is not None
    assert torch.equal(everything.x, torch.cat([train.x, test.x]))
    assert torch.equal(everything.y, torch.cat([train.y, test.y]))  # pyright: ignore[reportArgumentType]
    assert torch.equal(teacher("test", options=large).x, test.x)
    assert torch.equal(teacher("test", options=large).y, test.y)  # pyright: ignore[reportArgumentType]
    assert set(test.y.tolist()) == {0, 1}


def test_more_test_examples_leave_the_training_part_alone():
    few, many = TeacherOptions(examples=50), TeacherOptions(examples=50, test_examples=3000)
    train, test = teacher("train", options=many), teacher("test", options=many)
    assert torch.equal(train.x, teacher("train", options=few).x)
    assert len(test.x) == 3000
    assert torch.equal(teacher("all", options=many).x, torch.cat([train.x, test.x]))


def test_labels_follow_the_direction_of_an_input_only():
    """The teacher has no bias: it is positively homogeneous, and labels are no matter of length."""
    from netcaliper.zoo import teacher as module

    options = TeacherOptions(classes=4)
    x = torch.randn(200, 10)
    labels = [module._labels(factor * x, options, module._generator(options, 0)) for factor in (1.0, 50.0)]
    assert torch.equal(*labels)


def test_a_student_learns_it():
    options = TeacherOptions(examples=1000)
    model = build("mlp", {"inputs": 10, "widths": [64], "classes": 2})
    fit(model, teacher("train", options=options), epochs=15, learning_rate=1e-2)
    assert accuracy(model, teacher("test", options=options)) > 0.9


def test_seed_and_random_labels():
    plain, other = teacher("all"), teacher("all", options=TeacherOptions(seed=1))
    assert not torch.equal(plain.x, other.x)
    wrong = teacher("all", options=TeacherOptions(random_labels=True))
    assert plain.y is not None
    assert wrong.y is not None
    assert torch.equal(plain.x, wrong.x)
    agree = plain.y == wrong.y
    assert agree[1000:].all()
    assert 0.4 < agree[:1000].float().mean() < 0.6


def test_the_random_state_stays():
    state = torch.get_rng_state()
    teacher()
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 1}, "`classes` = 1"),
        ({"inputs": 0}, "`inputs` = 0"),
        ({"inputs": 10**6, "examples": 10**6}, "are held in memory; ask for fewer"),
        ({"input": 3}, "did you mean `inputs`"),
    ],
)
def test_bad_options(arguments, message):
    with pytest.raises(InputError, match=message):
        TeacherOptions(**arguments)
