"""What single trainings leave: as many units as they should, and failures that are said."""

import numpy as np
import torch
from torch import nn

import netcaliper as nc
from netcaliper.fit.train import fit
from netcaliper.linearize.trainings import split
from netcaliper.reading.linearization import BentSite
from netcaliper.zoo.batches import Batches


def places(reading, kind):
    return [place for place, point in enumerate(reading.points) if point.kind == kind]


def test_an_array_is_cut_site_by_site():
    sites = [BentSite(name=name, op="relu", kind="activation", units=units) for name, units in (("a", 2), ("b", 3))]
    assert {name: part.tolist() for name, part in split(sites, torch.arange(5)).items()} == {
        "a": [0, 1],
        "b": [2, 3, 4],
    }


def test_the_reference_bends_everywhere_and_nothing_moved_its_alphas(swept):
    reading = swept[0].reading
    point = reading.points[0]
    assert (point.kind, point.share, point.penalized, point.epochs) == ("unbent", 1.0, 0, 7)
    assert not reading.array(0, "alphas").any()
    assert reading.array(0, "curve").tolist() == [1.0] * 7
    assert point.lost is None


def test_baselines_have_as_many_units_as_the_learned_point(swept):
    reading = swept[0].reading
    for kind in ("random", "one_shot"):
        for place in places(reading, kind):
            point = reading.points[place]
            like = reading.points[point.like]
            assert point.active == like.active
            assert point.epochs == like.epochs
            assert np.ptp(reading.array(place, "curve")) == 0
            if kind == "random":
                by_site = [
                    [int(reading.of_site(at, "active", site).sum()) for site in range(len(reading.sites))]
                    for at in (place, point.like)
                ]
                assert by_site[0] == by_site[1]
    for place in places(reading, "layer"):
        point = reading.points[place]
        assert point.active <= reading.points[point.like].active or point.warnings
        for site in range(len(reading.sites)):
            assert len(set(reading.of_site(place, "active", site).tolist())) == 1


def test_a_network_from_scratch_has_the_epochs_of_both_trainings(swept):
    reading = swept[0].reading
    (place,) = places(reading, "shallow")
    point = reading.points[place]
    assert point.epochs == 25 + 7
    assert (point.units, point.share) == (14, 1.0)
    assert point.lengths.normalized == 1.0
    assert reading.array(place, "alphas") is None
    assert point.agreement is not None


def test_frozen_alphas_do_not_move_and_linear_units_are_exactly_linear(swept):
    found = swept[0]
    for place in places(found.reading, "learned"):
        alphas, active = found.reading.array(place, "alphas"), found.reading.array(place, "active")
        assert np.array_equal(alphas != 1, active)
        assert found.reading.points[place].penalized == 5
        curve = found.reading.array(place, "curve")
        assert (np.diff(curve) <= 0).all()
        assert len(set(curve[4:].tolist())) == 1


def test_a_training_that_diverges_keeps_its_last_state_and_the_others_go_on(network, train, tests, tmp_path):
    calls = 0

    def loss(output, batch):
        nonlocal calls
        calls += 1
        value = nn.functional.cross_entropy(output, batch.labels)
        return value * float("nan") if calls == 8 * 4 + 13 else value  # in the second training, epoch 2

    found = nc.linearize(
        network, train, eval_data=tests, omega=(1e-6, 2e-6), epochs=3, finetune=1, loss=loss, baselines="random",
        folder=tmp_path / "work",
    )  # fmt: skip
    status = [point.status for point in found.points]
    assert status == ["ok", "diverged", "ok"]
    point = found.points[1]
    assert point.active is None
    assert "the state after epoch 1 is kept in point-01/state" in str(point.reason)
    assert (tmp_path / "work" / "point-01" / "state" / "state.safetensors").is_file()
    assert any("diverged" in str(left.reason) or "unknown" in left.reason for left in found.reading.left_out)
    assert found.reading.array(1, "alphas") is None


def test_a_penalty_that_collapses_everything_is_said_and_the_last_good_weights_are_kept(tmp_path):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=generator)
    y = (x[:, 0] * x[:, 1] > 0).long()  # no linear network gets this
    data = Batches(x[:300], y[:300], batch_size=30)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 2))
    fit(model, data, epochs=40, learning_rate=0.1, optimizer="sgd")
    found = nc.linearize(
        model, data, eval_data=Batches(x[300:], y[300:], batch_size=50), omega=0.7, alpha_rate=1.0, epochs=8,
        finetune=1, learning_rate=0.05, baselines=(), folder=tmp_path / "work",
    )  # fmt: skip
    point = found.points[1]
    assert (point.active, point.status) == (0, "collapsed")
    assert "is no better than the" in str(point.reason)
    assert point.kept_epoch is not None
    assert (tmp_path / "work" / "point-01" / "last-good.safetensors").is_file()
    assert found.reading.core is not None
    assert found.reading.core.point == 0
    assert any("collapse" in warning or "no better" in warning for warning in found.reading.warnings)
    assert any("take a smaller omega" in warning for warning in found.reading.warnings)
