"""``nc.linearize`` from end to end: on digits, early and late, with targets, interrupted and resumed, and misused."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import netcaliper as nc
from netcaliper.errors import DataError, InputError, OutputExists
from netcaliper.fit.train import accuracy
from netcaliper.linearize.quality import answers
from netcaliper.linearize.trainings import Trainings
from netcaliper.reading.linearization_contradiction import contradiction
from netcaliper.trace.batches import Batch
from netcaliper.zoo.models import build

QUICK: dict[str, Any] = {"omega": (0.05,), "epochs": 2, "finetune": 1, "baselines": ()}


def same(first, second):
    assert first.model_dump(exclude={"origin"}) == second.model_dump(exclude={"origin"})
    assert set(first.arrays) == set(second.arrays)
    for key, array in first.arrays.items():
        assert np.array_equal(array, second.arrays[key], equal_nan=True), key


def test_at_least_half_of_the_units_can_be_linear_within_two_points_of_the_trained_network(swept):
    """Section 4 (ii) of the notes, on digits; whether learned units beat random ones is reported, not demanded."""
    reading = swept[0].reading
    before = reading.original[1].value
    learned = [point for point in reading.points if point.kind == "learned"]
    assert any(point.share <= 0.5 and point.verify.value >= before - 0.02 for point in learned)
    assert reading.core is not None


def test_the_reading_fits_together_and_survives_the_disk(swept, tmp_path):
    reading = swept[0].reading
    assert contradiction(reading) is None
    back = nc.load(reading.save(tmp_path / "reading"))
    same(back, reading)
    assert reading.protocol.select + reading.protocol.verify == 450
    assert reading.original is not None
    assert len({point.name for point in reading.points}) == len(reading.points)


def test_reported_numbers_are_of_the_verify_part_of_the_core_network(swept, tests):
    from netcaliper.linearize.part import parts
    from netcaliper.trace.form import form_of

    found = swept[0]
    core = found.points[found.reading.core.point]
    _, verify = parts(tests, form_of(found.model), 0)
    assert answers(found.model, verify).accuracy() == core.verify
    active = {name: mine.numpy() for name, mine in found.bending.active().items()}
    assert nc.path_length(found.bending.graph, active).normalized == core.lengths.normalized


def test_the_network_is_left_as_it_is_and_the_plan_is_told_first(swept, network):
    _, _, told = swept
    assert told[0][0].startswith("10 trainings (1 unbent, 2 learned, 2 random, 2 layer, 2 one-shot, 1 shallow) of 7")
    assert not any("bend" in name for name in network.state_dict())
    assert not network.training


def test_the_weights_of_every_point_can_be_had(swept):
    found = swept[0]
    weights = found.weights[1]
    frozen = sum(int(tensor.sum()) for name, tensor in weights.items() if "frozen" in name)
    assert frozen == found.points[1].units - found.points[1].active


def test_an_interrupted_run_resumes_to_the_same_reading(network, train, tests, tmp_path, monkeypatch):
    settings: dict[str, Any] = {**QUICK, "omega": (0.02, 0.08), "baselines": ("random",), "learning_rate": 0.02}
    whole = nc.linearize(network, train, eval_data=tests, folder=tmp_path / "whole", **settings)
    original, made = Trainings.train, []

    def interrupted(self, place, planned, done):
        if place == 2:
            told = self.tell

            def stop(phase, batches, total):
                told(phase, batches, total)
                if batches == 20:  # in the third of three epochs of eight batches
                    raise KeyboardInterrupt

            self.tell = stop
        made.append(place)
        return original(self, place, planned, done)

    folder = tmp_path / "cut"
    with monkeypatch.context() as patch:
        patch.setattr(Trainings, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            nc.linearize(network, train, eval_data=tests, folder=folder, **settings)
    assert made == [0, 1, 2]
    with pytest.raises(OutputExists, match="resume what is in it"):
        nc.linearize(network, train, eval_data=tests, folder=folder, **settings)
    longer: dict[str, Any] = settings | {"epochs": 3}
    with pytest.raises(InputError, match="has `epochs` = 2, this one 3"):
        nc.linearize(network, train, eval_data=tests, folder=folder, resume=True, **longer)
    made.clear()

    def counted(self, place, planned, done):
        made.append(place)
        return original(self, place, planned, done)

    monkeypatch.setattr(Trainings, "train", counted)
    resumed = nc.linearize(network, train, eval_data=tests, folder=folder, resume=True, **settings)
    assert made[0] == 2
    same(resumed.reading, whole.reading)


def test_early_trains_plainly_first_and_takes_as_many_epochs_in_all(train, tests):
    untrained = build("mlp", {"widths": [12, 8]})
    settings: dict[str, Any] = QUICK | {"epochs": 7, "finetune": 2, "learning_rate": 0.05}
    found = nc.linearize(untrained, train, eval_data=tests, start_epoch=3, **settings)
    protocol = found.reading.protocol
    assert (protocol.schedule, protocol.start_epoch, protocol.penalized, protocol.finetune) == ("early", 3, 2, 2)
    assert [point.epochs for point in found.points] == [4, 4]
    assert found.reading.original is None
    assert found.points[0].agreement is None
    assert accuracy(found.model, tests) > 0.5
    assert "plain" in found.reading.cost.seconds


def test_a_target_share_is_met_exactly(network, train, tests):
    found = nc.linearize(network, train, eval_data=tests, epochs=4, finetune=1, target_active=0.4, baselines=())
    (point,) = found.points[1:]
    assert point.share is not None
    assert point.share <= 0.4
    assert not point.warnings
    assert point.penalized <= 4


def test_a_target_that_is_out_of_reach_is_said(network, train, tests):
    found = nc.linearize(network, train, eval_data=tests, omega=1e-7, epochs=1, finetune=0, target_path_length=0.5,
                         baselines=())  # fmt: skip
    assert found.points[1].warnings == ("the target is not met: take more epochs, or a larger omega",)


def test_a_measure_and_a_loss_of_the_users_own(network, train, tests):
    seen = set()

    def closeness(model, part):
        index = []
        for batch in part:
            assert isinstance(batch, Batch)
            index += batch.indices.tolist()
        seen.add(tuple(sorted(index)))
        return -float(sum(p.square().sum() for p in model.parameters()))

    def loss(output, batch):
        return nn.functional.cross_entropy(output, batch.labels)

    found = nc.linearize(network, train, eval_data=tests, quality=closeness, loss=loss, margin=1e9, **QUICK)
    assert found.reading.protocol.quality == "closeness"
    assert found.reading.core is not None
    assert found.points[1].lost is None
    assert len(seen) == 2
    assert sorted(index for part in seen for index in part) == list(range(450))


def test_a_default_sweep_needs_sgd_and_a_length(network, train, tests):
    with pytest.raises(InputError, match="'adam' rescales it; give for instance 1e-3"):
        nc.linearize(network, train, eval_data=tests, optimizer="adam")

    class Endless:
        def __iter__(self):
            return iter(train)

    with pytest.raises(InputError, match="`train_data` do not know their length"):
        nc.linearize(network, Endless(), eval_data=tests)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"resume": True}, "`resume` goes on with what is in `folder`, which is None"),
        ({"quality_name": "BLEU"}, "`quality_name` names `quality`, which is None"),
        ({"omega": (0.1, 0.2), "target_active": 0.5}, "`omega` must be one number, to start from"),
        ({"omega": -1.0}, "`omega` must hold positive numbers"),
        ({"device": "nowhere"}, "`device` must be one that torch can use here"),
    ],
)
def test_misuse_is_refused_before_anything_is_trained(network, train, tests, arguments, words):
    with pytest.raises(InputError, match=words):
        nc.linearize(network, train, eval_data=tests, **arguments)


def test_a_network_without_an_activation_is_refused(train, tests):
    with pytest.raises(InputError, match="activation"):
        nc.linearize(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), train, eval_data=tests, **QUICK)


def test_data_without_labels_are_refused(network, train):
    with pytest.raises(DataError, match="no labels"):
        nc.linearize(network, train, eval_data=[x for x, _ in train], **QUICK)


def test_the_callers_random_state_and_mode_stay(network, train, tests):
    model = copy.deepcopy(network).train()
    before = torch.get_rng_state()
    nc.linearize(model, train, eval_data=tests, **QUICK)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
