"""All trainings start from the same weights, whatever the one before did."""

import copy

import torch

from linearizing import asked, tiny
from netcaliper.linearize.starts import Starts
from netcaliper.trace.batches import as_batch

X = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


def test_what_a_training_did_is_undone():
    model = tiny()
    starts = Starts(model, X, asked())
    starts.set_weights([as_batch(X)])
    bending = starts.fresh()
    first = {name: tensor.clone() for name, tensor in bending.state_dict().items()}
    with torch.no_grad():
        for parameter in bending.model.parameters():
            parameter += 1
    bending.snap()
    bending.freeze()
    again = starts.fresh()
    assert again is bending
    assert all(torch.equal(tensor, first[name]) for name, tensor in again.state_dict().items())
    assert all(alpha.requires_grad for alpha in again.parameter_groups()[1]["params"])
    assert all(bool(mine.all()) for mine in again.active().values())


def test_the_network_itself_is_not_trained_and_may_change_before_the_start():
    model = tiny()
    starts = Starts(model, X, asked())
    with torch.no_grad():
        next(model.parameters()).mul_(2)
    kept = copy.deepcopy(model.state_dict())
    starts.set_weights([as_batch(X)])
    bending = starts.fresh()
    torch.testing.assert_close(bending.model(X), model(X), rtol=0, atol=0)
    with torch.no_grad():
        next(bending.model.parameters()).zero_()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.state_dict().items())


def test_either_granularity_is_traced_once_and_has_the_rate_that_is_asked():
    starts = Starts(tiny(), X, asked(alpha_rate=4.0))
    starts.set_weights([as_batch(X)])
    layer = starts.fresh("layer")
    assert layer.granularity == "layer"
    assert starts.fresh("layer") is layer
    assert starts.fresh() is starts.own
    assert starts.own.parameter_groups()[1]["rate_factor"] == 4.0
