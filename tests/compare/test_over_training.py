"""Checkpoints against the final network."""

import weakref
from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from netcaliper.compare import checkpoints as file
from netcaliper.compare.cka import cka
from netcaliper.compare.ntk_velocity import ntk_velocity
from netcaliper.compare.over_training import over_training
from netcaliper.errors import DataError, InputError
from netcaliper.stats.blocks import indices

N, FEATURES = 240, 12


def net(seed: int, activation: type[nn.Module] = nn.ReLU, width: int = 24) -> nn.Sequential:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(FEATURES, width), activation(), nn.Linear(width, width), activation(), nn.Linear(width, 3)
    )
    model.eval()
    return model


@cache
def examples() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(N, FEATURES, generator=generator)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def data(size: int = 80) -> list:
    x, y = examples()
    return list(zip(x.split(size), y.split(size), strict=True))


def between(first: nn.Module, last: nn.Module, t: float) -> dict[str, torch.Tensor]:
    ends = first.state_dict(), last.state_dict()
    return {name: (1 - t) * ends[0][name] + t * ends[1][name] for name in ends[0]}


def read(checkpoints, given=None, batch: int = 60, passes: int = 1, **more):
    return over_training(checkpoints, data() if given is None else given, batch=batch, passes=passes, **more)


def test_tangent_kernels_are_those_of_the_velocity_and_on_request():
    checkpoints = {"a": net(0), "b": net(1).state_dict(), "c": net(2)}
    assert "training/ntk" not in read(checkpoints).arrays
    found = read(checkpoints, ntk=N).arrays["training/ntk"]
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], ntk_velocity(checkpoints, data(), examples=N).distance, rtol=1e-6)


@pytest.mark.parametrize("ntk", [-1, 3, 5000])
def test_too_few_or_too_many_examples_for_tangent_kernels_are_refused(ntk):
    with pytest.raises(InputError, match=f"`ntk` must be 0, or from 4 to `examples` = 2048, got {ntk}"):
        read({"a": net(0), "b": net(1)}, ntk=ntk)


@cache
def trained() -> nn.Sequential:
    """Scale the first features up: what the final network says is not what a random one says."""
    torch.manual_seed(3)
    model = net(0)
    x, y = examples()
    step = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(150):
        step.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        step.step()
    return model


def debiased(x: np.ndarray, y: np.ndarray) -> float:
    """U-centered CKA on one batch, written out (Szekely and Rizzo 2014)."""

    def centered(features: np.ndarray) -> np.ndarray:
        k = features @ features.T
        n = len(k)
        np.fill_diagonal(k, 0)
        row = k.sum(1) / (n - 2)
        u = k - row[:, None] - row[None] + k.sum() / ((n - 1) * (n - 2))
        np.fill_diagonal(u, 0)
        return u

    a, b = centered(x), centered(y)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def test_equals_the_oracle_on_one_batch():
    first, last = net(1), trained()
    reading = read({"start": first, "end": last}, batch=N, passes=1)
    x = examples()[0].double()
    values = [[model[: k + 1].double()(x).detach().numpy() for k in range(5)] for model in (net(1), _copy(last))]
    expected = [1.0, *(debiased(a, b) for a, b in zip(*values, strict=True))]
    np.testing.assert_allclose(reading.arrays["training/cka"][0], expected, atol=2e-5)
    assert np.isnan(reading.arrays["training/cka_error"]).all()  # one batch


def _copy(model: nn.Module) -> nn.Sequential:
    copy = net(0)
    copy.load_state_dict(model.state_dict())
    return copy


def test_the_final_network_again_is_one_and_a_random_one_is_less():
    last = trained()
    path = {f"{t:g}": between(net(1), last, t) for t in (0, 0.3, 0.7)}
    reading = read(path | {"again": _copy(last), "final": last}, batch=30, passes=2)
    found = reading.arrays["training/cka"]
    np.testing.assert_allclose(found[-2:], 1.0, atol=1e-6)
    assert (reading.arrays["training/dominant"][-2:] == 1).all()
    assert reading.arrays["training/map_difference"][-2] < 1e-6
    assert reading.arrays["training/map_difference"][0] > 0.02
    hidden = found[:, 3:]  # the first layer is nearly an embedding of the input, whatever its weights
    assert (hidden[0] < 0.8).all()
    assert (np.diff(hidden[:3], axis=0) > 0).all()
    trajectory = reading.trajectory
    assert trajectory is not None
    assert trajectory.checkpoints == ("0", "0.3", "0.7", "again", "final")
    assert trajectory.final == 4
    assert trajectory.settled[0] == 0
    assert all(at is not None and at in (2, 3) for at in trajectory.settled[3:])
    before, *_, again, final = (value or 0.0 for value in trajectory.accuracy)
    assert again == final > 0.9 > before
    assert np.isfinite(reading.arrays["training/cka_error"][:-1, 1:]).all()
    assert "again" in trajectory.sentence
    assert "0.3" not in trajectory.sentence.split(":")[0]


class Amplified(nn.Module):
    """Make one feature large."""

    def __init__(self, which: int) -> None:
        super().__init__()
        weight = torch.eye(FEATURES)
        weight[which, which] = 30.0
        self.linear = nn.Linear(FEATURES, FEATURES, bias=False)
        self.linear.weight = nn.Parameter(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.linear(x)) + self.linear(x)


def test_planted_drift_of_dominant_examples():
    x = 0.1 * examples()[0].clone()
    first, last = torch.tensor([3, 50, 120, 233]), torch.tensor([7, 77, 177, 199])
    x[first, 0] = 5.0
    x[last, 1] = 5.0
    x[torch.cat([first[:2], last[:2]]), 2] = 5.0
    nets = {"first": Amplified(0), "between": Amplified(2), "last": Amplified(1)}
    reading = read({name: model.eval() for name, model in nets.items()}, list(x.split(80)), layers=["linear*"])
    assert reading.trajectory is not None
    assert reading.trajectory.chance < 0.01
    assert reading.networks[0].dominant is not None
    assert sorted(reading.networks[0].dominant.examples) == last.tolist()
    np.testing.assert_allclose(reading.arrays["training/dominant"][:, 0], [0, 1 / 3, 1])
    assert (reading.arrays["training/pc_share"][:, 0] > 0.5).all()
    assert any("1 % of the examples carry" in warning for warning in reading.warnings)
    assert reading.trajectory.accuracy == (None, None, None)


def stack(identical: bool) -> nn.Module:
    """Make a network of which the last layers repeat one value, or do not."""
    torch.manual_seed(2)
    layers: list[nn.Module] = []
    for k in range(9):
        linear = nn.Linear(FEATURES, FEATURES, bias=False)
        with torch.no_grad():
            linear.weight.mul_(16.0)
            if identical and k > 4:
                linear.weight.copy_(torch.eye(FEATURES))
        layers += [linear, nn.Hardtanh(-1, 1)]
    return nn.Sequential(*layers).eval()


def test_blocks_of_a_checkpoint_are_those_of_its_own_matrix():
    block = stack(True)
    reading = read({"block": block, "plain": stack(False)})
    own = indices(cka(block, data(), batch=60, passes=1).blocks)
    assert own.excess is not None
    assert own.fraction > 0.4
    np.testing.assert_allclose(reading.arrays["training/blocks"], [own.fraction, 0])
    np.testing.assert_allclose(reading.arrays["training/excess"], [own.excess, np.nan])
    assert reading.networks[0].blocks == ()


def test_modules_state_dicts_and_other_batches_give_the_same(monkeypatch):
    first, last = net(1), trained()
    traces = []
    plain = file.traced
    monkeypatch.setattr(file, "traced", lambda *given: traces.append(given) or plain(*given))
    one = read({"a": first, "b": last})
    assert len(traces) == 1
    other = read({"a": first, "b": last.state_dict()}, data(33))
    third = read({"a": first.state_dict(), "b": last}, data(240))
    for reading in (other, third):
        assert reading.trajectory == one.trajectory
        assert reading.networks[0].fingerprint == one.networks[0].fingerprint
        for key in ("cka", "dominant", "pc_share", "cka_error"):
            np.testing.assert_array_equal(reading.arrays[f"training/{key}"], one.arrays[f"training/{key}"])


def test_another_one_may_be_final():
    reading = read({"a": net(1), "b": trained(), "c": net(2)}, final="b")
    assert reading.trajectory is not None
    assert reading.trajectory.final == 1
    assert max(at for at in reading.trajectory.settled if at is not None) == 1
    np.testing.assert_array_equal(reading.arrays["training/cka"][1], 1)
    assert (reading.arrays["training/cka"][2, 2:] < 0.9).all()


class Loading(Mapping):
    """Makes a network when it is asked for it, and knows how many are alive then."""

    def __init__(self, seeds: range) -> None:
        self.seeds, self.alive, self.most = seeds, weakref.WeakSet(), 0

    def __getitem__(self, name: str) -> nn.Module:
        self.most = max(self.most, len(self.alive))
        model = net(int(name))
        self.alive.add(model)
        return model

    def __iter__(self):
        return iter(map(str, self.seeds))

    def __len__(self) -> int:
        return len(self.seeds)


def test_one_checkpoint_at_a_time():
    checkpoints = Loading(range(5))
    reading = read(checkpoints)
    assert checkpoints.most == 1  # the final one, while each of the others is made
    assert reading.arrays["training/cka"].shape == (5, 6)


def test_a_layer_that_is_dead_at_a_checkpoint_is_a_named_gap():
    dead = _copy(trained())
    with torch.no_grad():
        dead.get_parameter("0.bias").fill_(-1e3)
    reading = read({"dead": dead, "alive": trained()})
    assert np.isnan(reading.arrays["training/cka"][0, 2:]).all()
    assert np.isnan(reading.arrays["training/dominant"][0, 2:]).all()
    assert reading.trajectory is not None
    assert reading.trajectory.settled[2:] == (1, 1, 1, 1)
    assert any("`1` at dead" in warning for warning in reading.warnings)


def test_state_dicts_alone_are_refused():
    with pytest.raises(InputError, match="at least one module"):
        read({"a": net(0).state_dict(), "b": net(1).state_dict()})


def test_a_final_network_in_train_mode_is_refused():
    with pytest.raises(InputError, match="checkpoint 'b': .*train mode"):
        read({"a": net(0), "b": net(1).train()})


def test_values_that_overflow_name_the_checkpoint():
    huge = {name: 1e30 * value for name, value in net(0).state_dict().items()}
    with pytest.raises(DataError, match="checkpoint 'huge'"):
        read({"huge": huge, "b": net(1)})


def test_refused_final_and_memory():
    with pytest.raises(InputError, match="`final` must name one of the checkpoints \\(a, b\\), got 'c'"):
        read({"a": net(0), "b": net(1)}, final="c")
    with pytest.raises(InputError, match="comparing 12 layers"):
        read({"a": net(0), "b": net(1)}, memory=60_000)
