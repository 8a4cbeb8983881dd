"""The notes on a training: what bent after each epoch, and the last weights that were good."""

import torch

from netcaliper.fit.train import Training
from netcaliper.linearize.epoch_log import EpochLog
from netcaliper.linearize.phases import Phases
from netcaliper.linearize.work import EPOCHS, LAST_GOOD, read_epochs, read_weights


def training(accuracy):
    return Training(epochs=9, examples=5, loss=(1.0,), accuracy=accuracy, watched=(), kept_epoch=1)


def run(bending, place, chance, accuracies, linear_from):
    """Note epochs of which the first two have a penalty; from one epoch on nothing bends."""
    log = EpochLog(place, bending, Phases(bending, 0.1, 2), chance)
    for epoch, accuracy in enumerate(accuracies, 1):
        log.before(epoch)
        if epoch == linear_from:
            bending.set_active({name: torch.zeros(len(mine)).bool() for name, mine in bending.active().items()})
        log.after(training((accuracy,)))
    return log


def test_every_epoch_is_noted_on_disk(bending, tmp_path):
    log = run(bending, tmp_path, 0.1, (0.5, 0.6, 0.7), 2)
    assert read_epochs(tmp_path / EPOCHS) == log.epochs
    assert [(epoch["active"], epoch["penalized"], epoch["good"]) for epoch in log.epochs] == [
        (7, True, True),
        (0, True, False),
        (0, False, False),
    ]
    assert [epoch["omega"] for epoch in log.epochs] == [0.1, 0.1, 0.0]


def test_the_last_good_weights_still_bend(bending, tmp_path):
    log = run(bending, tmp_path, 0.1, (0.5, 0.6), 2)
    assert log.kept == 1
    frozen = [tensor for name, tensor in read_weights(tmp_path / LAST_GOOD).items() if "frozen" in name]
    assert frozen
    assert not any(bool(mask.any()) for mask in frozen)


def test_weights_that_learned_no_more_than_chance_are_not_good(bending, tmp_path):
    assert run(bending, tmp_path, 0.5, (0.4, 0.3), 9).kept is None
    assert not (tmp_path / LAST_GOOD).exists()


def test_an_epoch_that_is_repeated_replaces_its_note(bending, tmp_path):
    run(bending, tmp_path, None, (0.5, 0.6), 9)
    log = EpochLog(tmp_path, bending, Phases(bending, 0.1, 2), None)
    assert len(log.epochs) == 2
    log.before(2)
    assert len(log.epochs) == 1
    log.after(training((0.7,)))
    assert len(log.epochs) == 2
