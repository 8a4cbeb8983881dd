"""``nc.ntk_velocity``: how fast the tangent kernel moves over training, checkpoint by checkpoint."""

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import nn

from netcaliper.compare.checkpoints import Checkpoint, checkpoint_names, named
from netcaliper.compare.ntk import EXAMPLES, MEMORY, Ntk, Outputs, check_outputs, kernel
from netcaliper.errors import InputError
from netcaliper.feed.one_pass import Tell
from netcaliper.feed.sample import Sample, hold
from netcaliper.stats.kernel_distance import kernel_distance
from netcaliper.trace.export import device_of
from netcaliper.trace.form import form_of
from netcaliper.trace.wrappers import unwrapped

NUMBER = re.compile(r"(.*?)([0-9]+)")


@dataclass(frozen=True)
class NtkVelocity:
    """The tangent kernels ``K_1 .. K_C`` of the checkpoints of one training, each beside the one before.

    Attributes:
        checkpoints: names, in the order of training.
        times: of each, ``None`` where it is not known.
        distance: ``1 - <K_c, K_(c+1)>_F / (|K_c|_F |K_(c+1)|_F)``; see ``netcaliper.stats.kernel_distance``.
        velocity: the distance divided by the time between the two, ``None`` without times.
        to_last: the same distance of each to the last one.
        size: ``trace K / n``, the mean squared norm of an example's gradient.
        outputs: which of the two kernels of ``netcaliper.compare.ntk``.
        count: outputs of an example.
        examples: n.
    """

    checkpoints: tuple[str, ...]
    times: tuple[float, ...] | None
    distance: Float64[np.ndarray, " steps"]
    velocity: Float64[np.ndarray, " steps"] | None
    to_last: Float64[np.ndarray, " checkpoints"]
    size: Float64[np.ndarray, " checkpoints"]
    outputs: Outputs
    count: int
    examples: int


def ntk_velocity(
    checkpoints: Mapping[str, Checkpoint],
    data: Iterable[Any],
    *,
    times: Sequence[float] | None = None,
    outputs: Outputs | None = None,
    examples: int = EXAMPLES,
    seed: int = 0,
    memory: int = MEMORY,
    device: str | torch.device | None = None,
    progress: Tell | None = None,
) -> NtkVelocity:
    """Take the tangent kernel of every checkpoint on the same examples, and tell how far apart they are.

    The mapping may load a checkpoint when it is asked for it (``netcaliper.zoo.series.epochs`` does); one is in memory
    at a time, and of state dicts the module that they are loaded into.

    Args:
        checkpoints: by name, in the order of training: modules or state dicts of one architecture, the first of them a
            module.
        data: any re-iterable of batches. Labels are not read.
        times: of the checkpoints, in epochs or any other unit, ascending. By default the numbers in their names, where
            all have one after the same word (``epoch-0010``).
        outputs: ``"trace"`` or ``"signs"``, as in ``nc.ntk``.
        examples: so many of the data, chosen by (seed, index).
        seed: of the choice.
        memory: bytes of gradients that are held at a time.
        device: where to run.
        progress: called with ``(phase, done, total)``.

    Raises:
        InputError: fewer than two checkpoints, one of another architecture, or an argument that cannot be used.
        DataError: too few examples, or a gradient is not finite.
    """
    names = checkpoint_names(checkpoints)
    check_outputs(outputs)
    when = _times(times, names)
    tell = progress or (lambda phase, done, total: None)
    model = named(names[0], _loaded, checkpoints[names[0]], None, device)
    sample = hold(data, form_of(model), examples=examples, seed=seed, limit=None)
    kernels = kernels_of(checkpoints, model, sample, outputs, memory=memory, tell=tell)
    matrices = [found.matrix for found in kernels]
    distance = moves(kernels)
    return NtkVelocity(
        checkpoints=names,
        times=when,
        distance=distance,
        velocity=None if when is None else distance / np.diff(when),
        to_last=np.array([kernel_distance(own, matrices[-1]) for own in matrices]),
        size=np.array([float(own.trace() / len(own)) for own in matrices]),
        outputs=kernels[-1].outputs,
        count=kernels[-1].count,
        examples=len(matrices[-1]),
    )


def kernels_of(
    checkpoints: Mapping[str, Checkpoint],
    model: nn.Module,
    sample: Sample,
    outputs: Outputs | None = None,
    *,
    memory: int = MEMORY,
    tell: Tell,
) -> list[Ntk]:
    """Take the tangent kernel of every checkpoint on examples that are held.

    Args:
        checkpoints: by name, in the order of training.
        model: of their architecture, on the device where to run; state dicts are loaded into a copy.
        sample: the examples.
        outputs: which kernel.
        memory: bytes of gradients that are held at a time.
        tell: called as every checkpoint advances.

    Raises:
        InputError: a checkpoint is of another architecture, or has no tangent kernel.
        DataError: a gradient is not finite.
    """
    model, kernels, device = deepcopy(model), [], device_of(model)
    for name, checkpoint in checkpoints.items():
        model = named(name, _loaded, checkpoint, model, device)
        kernels.append(named(name, _kernel, model, sample, outputs, memory, _telling(tell, name)))
        _check_alike(kernels, tuple(checkpoints))
    return kernels


def moves(kernels: Sequence[Ntk]) -> Float64[np.ndarray, " steps"]:
    """Return the distance of each kernel to the next one."""
    return np.array([kernel_distance(a.matrix, b.matrix) for a, b in pairwise(kernels)])


def _loaded(checkpoint: Any, model: nn.Module | None, device: str | torch.device | None) -> nn.Module:
    """Return a module of ours with the weights of a checkpoint."""
    if isinstance(checkpoint, nn.Module):
        own = deepcopy(unwrapped(checkpoint))
        return own if device is None else own.to(device)
    if model is None:
        raise InputError("the first of `checkpoints` must be a module, for its architecture, got a state dict.")
    if not isinstance(checkpoint, Mapping):
        raise InputError(f"`checkpoints` must hold modules or state dicts, got {type(checkpoint).__name__}.")
    try:
        model.load_state_dict(checkpoint)
    except RuntimeError as error:
        words = " ".join(str(error).split())
        raise InputError(f"its weights do not fit the module before it: {words}") from None
    return model


def _kernel(model: nn.Module, sample: Sample, outputs: Outputs | None, memory: int, tell: Tell) -> Ntk:
    return kernel(model, sample, outputs, memory=memory, tell=tell)


def _telling(tell: Tell, name: str) -> Tell:
    return lambda phase, done, total: tell(f"{phase} of {name}", done, total)


def _check_alike(kernels: Sequence[Ntk], names: Sequence[str]) -> None:
    first, last = kernels[0], kernels[-1]
    if (first.count, first.parameters) != (last.count, last.parameters):
        raise InputError(
            f"`checkpoints` must all be of one architecture: {names[0]!r} has {first.count} outputs and "
            f"{first.parameters:,} parameters, {names[len(kernels) - 1]!r} {last.count} and {last.parameters:,}; give "
            "checkpoints of one training."
        )


def _times(times: Sequence[float] | None, names: Sequence[str]) -> tuple[float, ...] | None:
    if times is None:
        found = [NUMBER.fullmatch(name) for name in names]
        numbers = [int(match[2]) for match in found if match]
        one_word = len({match[1] for match in found if match}) == 1
        ascending = all(a < b for a, b in pairwise(numbers))
        return tuple(map(float, numbers)) if len(numbers) == len(names) and one_word and ascending else None
    given = tuple(float(time) for time in times)
    if len(given) != len(names) or not all(a < b for a, b in pairwise(given)):
        raise InputError(
            f"`times` must be {len(names)} ascending numbers, one for each of `checkpoints`, got {list(times)}."
        )
    return given
