"""What a model spec stands for.

A model is ``zoo:NAME(argument=value, ...)``, a checkpoint folder, or ``package.module:factory`` (with ``--weights`` a
safetensors file).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from netcaliper.errors import InputError, SpecError
from netcaliper.fit.seeds import seeded
from netcaliper.specs.call import parse_call
from netcaliper.specs.factory import call_factory, find_factory, is_factory
from netcaliper.zoo.checkpoint import is_checkpoint, load_checkpoint
from netcaliper.zoo.models import ZOO, build
from netcaliper.zoo.weights import load_weights

MODEL_SPECS = "`zoo:NAME(argument=value, ...)`, a checkpoint folder, `package.module:factory`"


# Prefixes that read like a module name but mean a source of models.
_FOREIGN = ("timm", "hf", "torch", "torchvision")
_TWIN_SEEDS = 2**31  # torch's CPU generator reads 32 bits of a seed
_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")


@dataclass(frozen=True)
class LoadedModel:
    """A model that a spec stands for.

    Attributes:
        model: in eval mode.
        name: how reports call it.
        example_shape: shape of one float32 example without the batch axis, where the spec tells it.
        twin: builds the same architecture untrained from a seed; ``None`` where the spec cannot say what untrained
            means.
    """

    model: nn.Module
    name: str
    example_shape: tuple[int, ...] | None = None
    twin: Callable[[int], nn.Module] | None = None


def load_model(spec: str, weights: str | Path | None = None, *, seed: int = 0) -> LoadedModel:
    """Build the model that ``spec`` stands for.

    ``zoo:`` without weights is an untrained network (its argument ``seed``, 0 by default, draws the initial weights). A
    factory is called with torch seeded to 0, so that one command gives one reading. Random state is left as it was.

    Args:
        spec: one of the forms at the top of this file.
        weights: safetensors file for a ``zoo:`` or factory model; a checkpoint folder has its own.
        seed: of the initial weights of a ``zoo:`` model whose spec has no ``seed``.

    Raises:
        SpecError: the spec cannot be resolved; the message lists what is supported or the nearest name.
        CorruptReading: a checkpoint folder is damaged.
        NewerSchema: a checkpoint folder was written by a later netcaliper.
    """
    prefix, _, rest = spec.partition(":")
    if prefix == "zoo":
        return _zoo_model(spec, rest, weights, seed)
    if os.path.isdir(spec):  # unlike Path.is_dir, it answers for a spec that can be no path at all
        return _checkpoint_model(Path(spec), weights)
    if spec.endswith(_PICKLES):
        raise SpecError(
            f"`model` = {spec!r} looks like pickled weights, which are never loaded; save them with safetensors "
            "and name the function that builds the model: `package.module:factory --weights FILE.safetensors`."
        )
    if is_factory(spec) and prefix not in _FOREIGN:
        return _factory_model(spec, weights)
    raise SpecError(f"`model` = {spec!r} is not a model spec or an existing folder; supported are {MODEL_SPECS}.")


def _zoo_model(spec: str, call: str, weights: str | Path | None, default_seed: int) -> LoadedModel:
    form = f"a zoo spec reads `zoo:NAME(argument=value, ...)`, NAME one of {', '.join(ZOO)}"
    name, arguments = parse_call(spec, call, form)
    seed = arguments.pop("seed", default_seed)
    if type(seed) is not int or not 0 <= seed < _TWIN_SEEDS:
        raise SpecError(f"{spec!r}: `seed` must be an integer from 0 to 2^31 - 1, got {seed!r}.")
    try:
        model = build(name, arguments, seed=seed)
    except SpecError:
        raise
    except InputError as error:
        raise SpecError(f"{spec!r}: {error}") from error
    if weights is not None:
        load_weights(model, Path(weights))
    return LoadedModel(model.eval(), spec, model.config.example_shape, _zoo_twin(name, arguments))


def _checkpoint_model(folder: Path, weights: str | Path | None) -> LoadedModel:
    if weights is not None:
        raise SpecError(f"`weights`: the checkpoint folder {str(folder)!r} holds its own weights; leave `weights` out.")
    if not is_checkpoint(folder):
        raise SpecError(f"`model` = {str(folder)!r} is a folder but not a checkpoint: it has no config.json.")
    checkpoint = load_checkpoint(folder)
    twin = _zoo_twin(checkpoint.name, checkpoint.arguments)
    return LoadedModel(checkpoint.model, folder.resolve().name, checkpoint.model.config.example_shape, twin)


def _factory_model(spec: str, weights: str | Path | None) -> LoadedModel:
    with seeded(0):  # a module may draw numbers while it is imported
        factory = find_factory(spec)
    if isinstance(factory, nn.Module):
        raise SpecError(f"{spec!r} is a {type(factory).__name__}; name a function or class that builds the model.")

    def fresh(seed: int) -> nn.Module:
        with seeded(seed):
            model = call_factory(factory, spec)
        if not isinstance(model, nn.Module):
            raise SpecError(f"{spec!r}: the factory returned a {type(model).__name__}, not a torch.nn.Module.")
        return model.eval()

    model = fresh(0)
    if weights is None:
        # The factory may have loaded trained weights itself: calling it again need not give an untrained model.
        return LoadedModel(model, spec)
    load_weights(model, Path(weights))
    return LoadedModel(model, spec, twin=fresh)


def _zoo_twin(name: str, arguments: dict[str, Any]) -> Callable[[int], nn.Module]:
    # Twins draw from seeds of their own: twin(0) must not be the very start from which seed 0 was trained.
    return lambda seed: build(name, arguments, seed=_TWIN_SEEDS + seed).eval()
