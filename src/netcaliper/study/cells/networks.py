"""The networks of a study: built from the configuration and a seed, kept as files, read back.

A network of the zoo is kept as a checkpoint folder, which every command reads; of another one the weights are kept
beside a file that says what they belong to. Both hold ``model.safetensors``.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from netcaliper.errors import SpecError
from netcaliper.fit.seeds import seeded
from netcaliper.reading.writing import write_folder
from netcaliper.specs.factory import call_factory, find_factory, is_factory
from netcaliper.specs.loaded import TWIN_SEEDS, LoadedModel
from netcaliper.specs.model import load_model
from netcaliper.specs.models.factory_model import unwrapped
from netcaliper.specs.models.weights_file import fill
from netcaliper.study.cells.spec_call import composed
from netcaliper.zoo.checkpoint import WEIGHTS_FILE, save_checkpoint
from netcaliper.zoo.models import name_of

SPEC_FILE = "model.json"
_SOURCES = ("zoo", "timm", "hf")


def build_network(spec: str, arguments: Mapping[str, Any], *, seed: int) -> LoadedModel:
    """Build a network untrained (unless its arguments name weights), on a GPU if there is one.

    Args:
        spec: as ``load_model`` takes it; a function ``package.module:factory`` is given the arguments, torch seeded.
        arguments: of the network, beside those in the spec.
        seed: of the initial weights. The twin draws from a seed of its own.

    Raises:
        SpecError: the spec or an argument cannot be used.
    """
    if is_factory(spec) and spec.partition(":")[0] not in _SOURCES:
        fresh = _factory(spec, dict(arguments))
        loaded = LoadedModel(fresh(seed), composed(spec, arguments), twin=lambda seed: fresh(TWIN_SEEDS + seed))
    else:
        if spec.startswith("timm:"):
            arguments = {"pretrained": False} | dict(arguments)
        loaded = load_model(composed(spec, arguments), seed=seed)
    loaded.model.to("cuda" if torch.cuda.is_available() else "cpu")
    return loaded


def _factory(spec: str, arguments: dict[str, Any]) -> Callable[[int], nn.Module]:
    with seeded(0):  # a module may draw numbers while it is imported
        factory = find_factory(spec)

    def fresh(seed: int) -> nn.Module:
        with seeded(seed):
            model = call_factory(factory, spec, **arguments)
        if not isinstance(model, nn.Module):
            raise SpecError(f"{spec!r}: the factory returned a {type(model).__name__}, not a torch.nn.Module.")
        return unwrapped(model).eval()

    return fresh


def keep_network(model: nn.Module, folder: Path, spec: str, arguments: Mapping[str, Any]) -> None:
    """Write the weights of a network, whole or not at all; what is there already is the same and stays.

    Raises:
        ReadingError: the disk refused.
    """
    if folder.is_dir():
        return
    if name_of(model) is not None:
        save_checkpoint(model, folder)
        return
    # Tied weights share memory, which safetensors refuses: each name gets a copy of its own.
    copies = {n: t.detach().cpu().clone(memory_format=torch.contiguous_format) for n, t in model.state_dict().items()}
    text = json.dumps({"model": spec, "arguments": dict(arguments)}, indent=1, sort_keys=True)
    write_folder(folder, {WEIGHTS_FILE: save(copies), SPEC_FILE: text.encode()})


def load_network(spec: str, arguments: Mapping[str, Any], folder: Path) -> LoadedModel:
    """Build a network and fill in the weights that ``keep_network`` wrote.

    Raises:
        SpecError: the weights are missing, damaged, or do not fit.
    """
    loaded = build_network(spec, arguments, seed=0)
    fill(loaded.model, folder / WEIGHTS_FILE)
    loaded.model.eval()
    return loaded


class KeptNetworks(Mapping[str, nn.Module]):
    """Networks by name, read anew from their folders at every access, so that one is in memory at a time."""

    def __init__(self, spec: str, arguments: Mapping[str, Any], folders: Mapping[str, Path]) -> None:
        self._spec, self._arguments, self._folders = spec, arguments, dict(folders)

    def __getitem__(self, name: str) -> nn.Module:
        return load_network(self._spec, self._arguments, self._folders[name]).model

    def __iter__(self) -> Iterator[str]:
        return iter(self._folders)

    def __len__(self) -> int:
        return len(self._folders)
