"""How fast the tangent kernel moves: constant for linear models, from the kernels themselves, per unit of time."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from netcaliper.compare.ntk import ntk
from netcaliper.compare.ntk_velocity import ntk_velocity
from netcaliper.errors import InputError
from netcaliper.fit.train import fit
from netcaliper.stats.kernel_distance import kernel_distance
from netcaliper.zoo.checkpoint import save_checkpoint
from netcaliper.zoo.models import build
from netcaliper.zoo.series import epochs

X = torch.randn(24, 5, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def net(seed, width=8):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, 2))


def series(*numbers):
    return {f"epoch-{number:04d}": net(number) for number in numbers}


def test_it_is_the_distance_of_neighboring_kernels():
    checkpoints = series(0, 2, 3, 7)
    found = ntk_velocity(checkpoints, [X])
    kernels = [ntk(model, [X]).matrix for model in checkpoints.values()]
    distances = [kernel_distance(a, b) for a, b in pairwise(kernels)]
    assert np.array_equal(found.distance, distances)
    assert found.times == (0, 2, 3, 7)
    assert found.velocity is not None
    assert np.array_equal(found.velocity, np.array(distances) / [2, 1, 4])
    assert np.array_equal(found.to_last, [kernel_distance(K, kernels[-1]) for K in kernels])
    assert found.to_last[-1] == 0
    assert found.size == pytest.approx([np.trace(K) / 24 for K in kernels])
    assert (found.checkpoints, found.outputs, found.count, found.examples) == (tuple(checkpoints), "trace", 2, 24)


def test_a_linear_model_never_moves():
    found = ntk_velocity({f"{n}": nn.Linear(5, 3) for n in range(3)}, [X])
    assert found.distance == pytest.approx([0, 0], abs=1e-12)


def test_a_training_moves_the_kernel_early_and_less_later(tmp_path):
    """The finding that the notes repeat, on a network small enough to see it at once."""
    model, data = build("mlp", {"inputs": 5, "classes": 2, "widths": [16, 16]}), [(X, Y)]
    save_checkpoint(model, tmp_path / "epoch-0000", training={})
    for done in (10, 20, 30, 60):
        fit(model, data, epochs=10 if done < 60 else 30, learning_rate=0.02)
        save_checkpoint(model, tmp_path / f"epoch-{done:04d}", training={})
    found = ntk_velocity(epochs(tmp_path), data)
    assert found.times == (0, 10, 20, 30, 60)
    assert found.velocity is not None
    assert found.velocity[0] > 2 * found.velocity[-1] > 0


def test_state_dicts_stand_for_modules_and_nothing_of_the_users_changes():
    modules = series(0, 1, 2)
    before = {name: value.clone() for name, value in modules["epoch-0000"].state_dict().items()}
    mixed = {name: model if name == "epoch-0000" else model.state_dict() for name, model in modules.items()}
    assert np.array_equal(ntk_velocity(mixed, [X]).distance, ntk_velocity(modules, [X]).distance)
    assert all(torch.equal(before[name], value) for name, value in modules["epoch-0000"].state_dict().items())


@pytest.mark.parametrize(
    ("names", "times"),
    [
        (("a", "b"), None),
        (("epoch-1", "step-2"), None),
        (("2", "1"), None),
        (("step 5", "step 25"), (5, 25)),
    ],
)
def test_times_are_read_from_names_that_tell_them(names, times):
    found = ntk_velocity({name: net(n) for n, name in enumerate(names)}, [X])
    assert found.times == times
    assert (found.velocity is None) == (times is None)


def test_times_can_be_given():
    found = ntk_velocity({"a": net(0), "b": net(1)}, [X], times=[0.5, 1.0])
    assert found.velocity == pytest.approx(2 * found.distance)


@pytest.mark.parametrize("times", [[1.0], [1.0, 1.0], [2.0, 1.0], [1.0, float("nan")]])
def test_times_that_do_not_ascend_are_refused(times):
    with pytest.raises(InputError, match="`times` must be 2 ascending numbers"):
        ntk_velocity(series(0, 1), [X], times=times)


@pytest.mark.parametrize(
    ("checkpoints", "words"),
    [
        ({"a": net(0)}, "at least 2"),
        ({"a": net(0).state_dict(), "b": net(1)}, "checkpoint 'a': the first of `checkpoints` must be a module"),
        ({"a": net(0), "b": 3}, "checkpoint 'b': `checkpoints` must hold modules or state dicts, got int"),
        ({"a": net(0), "b": net(1, 9).state_dict()}, "checkpoint 'b': its weights do not fit"),
        ({"a": net(0), "b": net(1, 9)}, "'a' has 2 outputs and 66 parameters, 'b' 2 and 74"),
    ],
)
def test_what_is_no_series_is_refused(checkpoints, words):
    with pytest.raises(InputError, match=words):
        ntk_velocity(checkpoints, [X])
