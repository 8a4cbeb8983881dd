"""A file of weights, whatever wrote it: safetensors (also in shards), state dicts, checkpoints of training loops.

Pickled files are read by torch's restricted unpickler, which builds tensors and plain data and runs nothing; a file
that needs more is refused by the name of what it would run, unless its source is trusted.
"""

import json
import pickle
import pickletools
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netcaliper.errors import SpecError
from netcaliper.specs.extra import first_line
from netcaliper.zoo.weights import copy_weights, differences, read_safetensors

INDEX = ".safetensors.index.json"
PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")
FORMS = "`.safetensors`, `.safetensors.index.json`, `.pt`, `.pth`, `.bin`, `.ckpt`"

# Where training loops keep the state dict; the plain weights before their moving average.
_HOLDERS = (
    "state_dict", "model_state_dict", "model", "net", "network", "weights", "module",
    "model_ema", "state_dict_ema", "ema",
)  # fmt: skip


def fill(model: nn.Module, file: str | Path, *, trust_pickle: bool = False) -> None:
    """Copy the weights of a file into ``model`` in place.

    The names in the file may stand under one prefix that the model does not have (``module.`` of DataParallel,
    ``_orig_mod.`` of torch.compile, the attribute of a LightningModule): it is found if exactly one prefix makes every
    name and shape fit.

    Args:
        model: to be filled.
        file: one of ``FORMS``.
        trust_pickle: unpickle without restrictions, which runs whatever code the file holds.

    Raises:
        SpecError: the file cannot be read or is refused, or the weights do not fit; the model is then unchanged.
    """
    file = Path(file)
    tensors = read_weights(file, trust_pickle=trust_pickle)
    prefixes = _prefixes(model, tensors)
    fitting = [prefix for prefix in prefixes if not differences(model, _under(prefix, tensors))]
    if "" not in fitting and len(fitting) > 1:
        raise SpecError(
            f"`weights`: {file.name!r} holds {len(fitting)} sets of weights that fit the model, under the prefixes "
            f"{', '.join(map(repr, fitting))}; save the one that is meant in a file of its own."
        )
    if fitting:
        prefix = "" if "" in fitting else fitting[0]
    else:  # the message is about the part of the file that is most like the model
        prefix = min(prefixes, key=lambda candidate: len(differences(model, _under(candidate, tensors))))
    copy_weights(model, _under(prefix, tensors), file.name)


def read_weights(file: Path, *, trust_pickle: bool = False) -> dict[str, Tensor]:
    """Read the tensors of a file of weights, by name.

    Raises:
        SpecError: the file is missing, of no known kind, damaged, or refused.
    """
    if not file.is_file():
        raise SpecError(f"`weights`: there is no file {str(file)!r}; `weights` takes {FORMS}.")
    name = file.name.lower()
    if name.endswith(INDEX):
        return _read_shards(file)
    if name.endswith(".safetensors"):
        return read_safetensors(file)
    if name.endswith(PICKLED):
        return _state_dict(_unpickled(file, trust_pickle), file)
    raise SpecError(f"`weights`: {file.name!r} has a name of no known kind; `weights` takes {FORMS}.")


def _read_shards(index: Path) -> dict[str, Tensor]:
    """Read the files that an index lists, all of which must lie beside it."""
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        entries = dict(places).items()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpecError(
            f"`weights`: {index.name!r} is not an index of safetensors shards: it needs a `weight_map` from names to "
            "files."
        ) from error
    shards: dict[str, list[str]] = {}
    for name, shard in entries:
        if not isinstance(shard, str) or re.fullmatch(r"[\w.\-]+\.safetensors", shard) is None:
            raise SpecError(
                f"`weights`: {index.name!r} refers to the file {shard!r}; shards must be safetensors files beside the "
                "index, nothing outside its folder is read."
            )
        shards.setdefault(shard, []).append(name)
    tensors: dict[str, Tensor] = {}
    for shard, names in shards.items():
        held = read_safetensors(index.parent / shard)
        missing = next((name for name in names if name not in held), None)
        if missing is not None:
            raise SpecError(f"`weights`: {index.name!r} says that {missing!r} is in {shard!r}, where it is not.")
        tensors |= {name: held[name] for name in names}
    return tensors


def _unpickled(file: Path, trust_pickle: bool) -> Any:
    try:
        with warnings.catch_warnings():  # about pickles that torch did not write, which it then refuses
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=not trust_pickle)
    except Exception as error:  # a damaged pickle may raise anything, a trusted one whatever its code does
        if trust_pickle or not isinstance(error, pickle.UnpicklingError):
            raise SpecError(f"`weights`: {file.name!r} cannot be read: {first_line(error)}.") from error
        wanted = _wanted(file, str(error))
        what = f"would run or build {wanted}" if wanted else f"is no plain file of tensors ({_core(str(error))})"
        raise SpecError(
            f"`weights`: {file.name!r} is refused: it {what}, and a pickle can run any code. Save "
            "`model.state_dict()` with safetensors, or, if you trust where the file comes from, add --trust-pickle "
            "(`trust_pickle=True`)."
        ) from error


def _wanted(file: Path, message: str) -> str:
    """Name what unpickling would import, without importing it."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except Exception:  # older formats: only the first name is known, from the refusal itself
        names = re.findall(r"GLOBAL ([\w.]+)", message)[:1] or _imports(file)
    names = sorted(names, key=lambda name: name.startswith(("torch.", "collections.")))  # the strangest first
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f"`{name}`" for name in names[:3]) + more


def _imports(file: Path) -> list[str]:
    """Name what a pickle that torch did not write would import."""
    strings, names = ["", ""], {}
    try:
        with file.open("rb") as stream:
            for operation, argument, _ in pickletools.genops(stream):
                if operation.name in ("GLOBAL", "INST"):
                    names[str(argument).replace(" ", ".")] = None
                elif operation.name == "STACK_GLOBAL":
                    names[".".join(strings[-2:])] = None
                elif isinstance(argument, str):
                    strings.append(argument)
    except (ValueError, OSError):  # damaged, or no pickle at all
        return []
    return list(names)


def _core(message: str) -> str:
    """Return the line of torch's long refusal that says what is wrong."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    said = (line for line in lines if line.startswith(("WeightsUnpickler", "Trying", "Unsupported", "Cannot")))
    return next(said, lines[0] if lines else "not a pickle")[:200].rstrip(".")


def _state_dict(content: Any, file: Path) -> dict[str, Tensor]:
    """Find the state dict in what a file holds."""
    while isinstance(content, Mapping):
        held = (content[name] for name in _HOLDERS if isinstance(content.get(name), Mapping | nn.Module))
        inside = next(held, None)
        if inside is None:
            break
        content = inside
    if isinstance(content, nn.Module):
        content = content.state_dict()
    if isinstance(content, Mapping):
        tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        if tensors:
            return tensors
        found = f"a dict with {', '.join(map(repr, list(content)[:6])) or 'nothing in it'}"
    else:
        found = f"a {type(content).__name__}"
    raise SpecError(
        f"`weights`: {file.name!r} holds {found}; it must hold a state dict, or one under "
        f"{', '.join(f'`{name}`' for name in _HOLDERS[:4])}."
    )


def _prefixes(model: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """Return what may stand before the model's names in the file, the empty prefix first."""
    own = [name for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)]
    ends = own[:1] + own[-1:]  # two, because a file may leave out one of two tied names
    found = {name.removesuffix(end) for end in ends for name in tensors if name.endswith("." + end)}
    return ["", *sorted(found)]


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
