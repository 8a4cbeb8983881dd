"""A shrunk network on disk: its plan and its weights, from which the user's own constructor makes it again.

No code is stored, only JSON and safetensors: the constructor builds the network of full size, the cuts of the plan make
it smaller, and the weights are loaded into it.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import safetensors
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from netcaliper.errors import CorruptReading, InputError, OutputExists
from netcaliper.reading.shrinking_folder import PLAN
from netcaliper.reading.writing import read_file, read_json, write_folder
from netcaliper.surgery.cuts import Cuts, apply_cuts
from netcaliper.trace.wrappers import unwrapped

WEIGHTS = "weights.safetensors"
_FACTS = "netcaliper"
_NONE: Mapping[str, bytes] = MappingProxyType({})


def save_shrunk(
    folder: str | PathLike[str], model: nn.Module, plan_json: str, beside: Mapping[str, bytes] = _NONE
) -> Path:
    """Write a shrunk network to a new folder, all or nothing.

    Tied weights are written once; the metadata of ``weights.safetensors`` names their other names, and has the SHA-256
    of the plan that they belong to.

    Args:
        folder: where; it must not exist, its parents are made.
        model: the shrunk network.
        plan_json: the plan, with the network's ``Cuts`` as JSON under ``surgery``.
        beside: other files of the folder, by name.

    Returns:
        The folder.

    Raises:
        OutputExists: the folder is there already.
        InputError: the plan is no JSON object with ``surgery``, or the model's state dict holds something else than
            tensors.
        ReadingError: the disk refused; nothing is left behind.
    """
    target = Path(folder)
    if target.exists():
        raise OutputExists(
            f"{str(target)!r} already exists and is not overwritten; choose another folder or remove it."
        )
    try:
        Cuts.from_json(json.loads(plan_json).get("surgery"))
    except (ValueError, AttributeError, CorruptReading) as error:
        raise InputError(f"`plan_json` must be a JSON object with the cuts under `surgery`: {error}") from error
    plan = plan_json.encode()
    written: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    first: dict[Any, str] = {}
    for name, tensor in unwrapped(model).state_dict().items():
        if not isinstance(tensor, Tensor):
            raise InputError(
                f"`model` must have tensors only in its state dict, got a {type(tensor).__name__} `{name}` (extra "
                "state of a module); remove it from the module"
            )
        key = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype) if tensor.numel() else name
        if key in first:
            tied[name] = first[key]
        else:
            first[key] = name
            written[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    facts = {"tied": tied, "plan_sha256": hashlib.sha256(plan).hexdigest()}
    # one key: the format does not keep the order of several, and equal networks should be equal bytes
    metadata = {_FACTS: json.dumps(facts, sort_keys=True)}
    return write_folder(target, {**beside, PLAN: plan, WEIGHTS: save(written, metadata)})


def load_shrunk(constructor: Callable[[], nn.Module], folder: str | PathLike[str]) -> nn.Module:
    """Build a shrunk network from what ``save_shrunk`` wrote.

    Neither data nor tracing is needed, and no code is read from the folder.

    Args:
        constructor: builds the network of full size, as it was before it was shrunk; its weights are not used.
        folder: what was written.

    Returns:
        The shrunk network, in eval mode.

    Raises:
        CorruptReading: a file is missing, damaged, or belongs to another plan.
        InputError: the constructor builds another architecture; the message names the first tensor that does not fit,
            with both shapes.
    """
    source = Path(folder)
    cuts = Cuts.from_json(read_json(source, PLAN).get("surgery"))
    content = read_file(source, WEIGHTS)
    try:
        tensors = load(content)
        metadata = _metadata(content)
        tied = dict(metadata["tied"])
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CorruptReading(f"{str(source / WEIGHTS)!r} is damaged: {error}") from error
    if metadata.get("plan_sha256") != hashlib.sha256(read_file(source, PLAN)).hexdigest():
        raise CorruptReading(
            f"{str(source / WEIGHTS)!r} belongs to another {PLAN} (its SHA-256 differs); copy both files together"
        )
    module = unwrapped(constructor())
    apply_cuts(module, cuts)
    state = {**tensors, **{name: tensors[of] for name, of in tied.items() if of in tensors}}
    _check(module, state)
    module.load_state_dict(state, strict=True)
    return module.eval()


def _metadata(content: bytes) -> dict[str, Any]:
    size = int.from_bytes(content[:8], "little")
    return json.loads(json.loads(content[8 : 8 + size])["__metadata__"][_FACTS])


def _check(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    own = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    stored = {name: tuple(value.shape) for name, value in state.items()}
    for name in [*own, *stored]:
        if own.get(name) != stored.get(name):
            has = f"shape {own[name]}" if name in own else "nothing of that name"
            holds = f"shape {stored[name]}" if name in stored else "nothing"
            raise InputError(
                f"`{name}` must have {holds} as in {WEIGHTS}, the constructor's network has {has} after the cuts; pass "
                "the constructor of the network that was shrunk"
            )
