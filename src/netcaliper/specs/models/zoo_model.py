"""``zoo:NAME(argument=value, ...)`` and checkpoint folders: networks of the zoo."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from netcaliper.errors import InputError, SpecError
from netcaliper.specs.call import parse_call
from netcaliper.specs.loaded import TWIN_SEEDS, LoadedModel
from netcaliper.specs.models.weights_file import fill
from netcaliper.zoo.checkpoint import CONFIG_FILE, is_checkpoint, load_checkpoint
from netcaliper.zoo.models import ZOO, build


def zoo_model(spec: str, weights: str | Path | None, *, trust_pickle: bool, seed: int) -> LoadedModel:
    """Build ``zoo:NAME(argument=value, ...)``, untrained unless ``weights`` are given.

    Raises:
        SpecError: no such network, or an argument or the weights do not fit.
    """
    form = f"a zoo spec reads `zoo:NAME(argument=value, ...)`, NAME one of {', '.join(ZOO)}"
    name, arguments = parse_call(spec, spec.partition(":")[2], form)
    seed = arguments.pop("seed", seed)
    if type(seed) is not int or not 0 <= seed < TWIN_SEEDS:
        raise SpecError(f"{spec!r}: `seed` must be an integer from 0 to 2^31 - 1, got {seed!r}.")
    try:
        model = build(name, arguments, seed=seed)
    except SpecError:
        raise
    except InputError as error:
        raise SpecError(f"{spec!r}: {error}") from error
    if weights is not None:
        fill(model, weights, trust_pickle=trust_pickle)
    config = model.config
    return LoadedModel(model.eval(), spec, config.example_shape, _twin(name, arguments), config.example_inputs)


def checkpoint_model(folder: Path, weights: str | Path | None) -> LoadedModel:
    """Read a checkpoint folder of ours.

    Raises:
        SpecError: the folder is none of ours, or weights are given beside it.
        CorruptReading: it is damaged.
        NewerSchema: it was written by a later netcaliper.
    """
    if _is_transformers(folder):
        raise SpecError(f"`model` = {str(folder)!r} holds a transformers model; did you mean `hf:{folder}`?")
    if not is_checkpoint(folder):
        raise SpecError(f"`model` = {str(folder)!r} is a folder but not a checkpoint: it has no {CONFIG_FILE}.")
    if weights is not None:
        raise SpecError(f"`weights`: the checkpoint folder {str(folder)!r} holds its own weights; leave `weights` out.")
    checkpoint = load_checkpoint(folder)
    twin = _twin(checkpoint.name, checkpoint.arguments)
    config = checkpoint.model.config
    return LoadedModel(checkpoint.model, folder.resolve().name, config.example_shape, twin, config.example_inputs)


def _is_transformers(folder: Path) -> bool:
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "model_type" in config and "network" not in config


def _twin(name: str, arguments: dict[str, Any]) -> Callable[[int], nn.Module]:
    return lambda seed: build(name, arguments, seed=TWIN_SEEDS + seed).eval()
