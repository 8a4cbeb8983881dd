"""``package.module:factory``: a model that the user's own function builds."""

from pathlib import Path

import torch
from torch import nn

from netcaliper.errors import SpecError
from netcaliper.fit.seeds import seeded
from netcaliper.specs.factory import call_factory, find_factory
from netcaliper.specs.loaded import LoadedModel
from netcaliper.specs.models.weights_file import fill


def factory_model(spec: str, weights: str | Path | None, *, trust_pickle: bool) -> LoadedModel:
    """Call the factory with torch seeded to 0, so that one command gives one model, and fill in the weights.

    A model inside DataParallel, DistributedDataParallel or torch.compile is taken out of it.

    Raises:
        SpecError: there is no such factory, it fails or returns no module, or the weights do not fit.
    """
    with seeded(0):  # a module may draw numbers while it is imported
        factory = find_factory(spec)
    if isinstance(factory, nn.Module):
        raise SpecError(f"{spec!r} is a {type(factory).__name__}; name a function or class that builds the model.")

    def fresh(seed: int) -> nn.Module:
        with seeded(seed):
            model = call_factory(factory, spec)
        if not isinstance(model, nn.Module):
            raise SpecError(f"{spec!r}: the factory returned a {type(model).__name__}, not a torch.nn.Module.")
        return unwrapped(model).eval()

    model = fresh(0)
    if weights is None:
        # The factory may have loaded trained weights itself: calling it again need not give an untrained model.
        return LoadedModel(model, spec)
    fill(model, weights, trust_pickle=trust_pickle)
    return LoadedModel(model, spec, twin=fresh)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside wrappers for several devices and for compilation."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(model, torch._dynamo.eval_frame.OptimizedModule):
            model = model._orig_mod
        else:
            return model
