"""A trained zoo network on disk: a folder with ``config.json`` and ``model.safetensors``.

``config.json`` holds the schema version, the network's name and arguments and, as plain data, how it was trained.
The folder is written aside and moved into place, so that it is either whole or not there.
"""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from netcaliper.errors import CorruptReading, InputError, OutputExists, ReadingError, SpecError
from netcaliper.fit.schema_version import checked_version
from netcaliper.zoo.models import ZOO, Network, build, name_of
from netcaliper.zoo.weights import check_weights, copy_weights, read_safetensors

CHECKPOINT_VERSION = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """A network read back from disk.

    Attributes:
        model: the trained network, in eval mode, on the CPU.
        name: its name in the zoo.
        arguments: the arguments that build it.
        training: how it was trained, as it was given to ``save_checkpoint``.
    """

    model: Network
    name: str
    arguments: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(model: nn.Module, folder: str | Path, *, training: Mapping[str, Any] | None = None) -> Path:
    """Write a zoo network to a new folder.

    Args:
        model: a network of the zoo.
        folder: where; it must not exist yet, its parents are made.
        training: facts about the training (JSON-ready), kept for the record.

    Returns:
        The folder.

    Raises:
        OutputExists: ``folder`` is already there.
        InputError: the network is not the zoo's, or ``training`` is not plain data.
        ReadingError: it cannot be written (for example, the disk is full); nothing is left behind.
    """
    folder = Path(folder)
    name = name_of(model)
    if name is None or not isinstance(model, Network):
        raise InputError(
            f"`model` is a {type(model).__name__}; a checkpoint folder holds networks of the zoo ({', '.join(ZOO)}). "
            "Save other weights with safetensors and name the factory: `package.module:factory --weights FILE`."
        )
    config = {
        "schema_version": CHECKPOINT_VERSION,
        "network": name,
        "arguments": model.config.model_dump(),
        "training": dict(training or {}),
    }
    try:
        text = json.dumps(config, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"`training` must be plain finite JSON data: {error}") from error
    # Tied weights share memory, which safetensors refuses: each name gets a copy of its own.
    copies = {n: t.detach().cpu().clone(memory_format=torch.contiguous_format) for n, t in model.state_dict().items()}
    weights = save(copies)
    _refuse_existing(folder)
    # Not tempfile.mkdtemp, whose folder is for its owner alone: whoever may read what is around it may read this.
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    try:
        aside.mkdir(parents=True)
        (aside / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
        (aside / WEIGHTS_FILE).write_bytes(weights)
        _refuse_existing(folder)
        os.rename(aside, folder)
    except OSError as error:
        raise ReadingError(f"the checkpoint {str(folder)!r} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        CorruptReading: a file is missing or damaged, or the weights do not fit the network that ``config.json``
            describes: the first name that differs is given with both shapes.
        NewerSchema: written by a later netcaliper.
    """
    folder = Path(folder)
    config = _read_config(folder)
    try:
        with torch.device("meta"):  # a config that asks for a giant is found out by its shapes, not by building it
            shapes = build(config["network"], config["arguments"])
    except InputError as error:
        raise CorruptReading(
            f"{str(folder / CONFIG_FILE)!r} does not describe a network of the zoo: {error}"
        ) from error
    try:
        tensors = read_safetensors(folder / WEIGHTS_FILE)
        check_weights(shapes, tensors, WEIGHTS_FILE)
        model = build(config["network"], config["arguments"])
        copy_weights(model, tensors, WEIGHTS_FILE)
    except SpecError as error:
        raise CorruptReading(f"the checkpoint {str(folder)!r} is damaged: {error}") from error
    return Checkpoint(model.eval(), config["network"], config["arguments"], config["training"])


def is_checkpoint(folder: Path) -> bool:
    """Return whether ``folder`` looks like a checkpoint: a folder with a ``config.json``."""
    return (folder / CONFIG_FILE).is_file()


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG_FILE
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CorruptReading(f"{str(folder)!r} is not a checkpoint: it has no {CONFIG_FILE}.") from error
    except (OSError, ValueError) as error:
        raise CorruptReading(f"{str(file)!r} cannot be read: {error}") from error
    checked_version(config, CHECKPOINT_VERSION, file, "netcaliper checkpoint")
    expected = {"network": str, "arguments": dict, "training": dict}
    for key, kind in expected.items():
        if not isinstance(config.get(key), kind):
            raise CorruptReading(
                f"{str(file)!r} is damaged: `{key}` must be a {kind.__name__}, got {config.get(key)!r}."
            )
    return config


def _refuse_existing(folder: Path) -> None:
    if folder.exists():
        raise OutputExists(
            f"{str(folder)!r} already exists and is not overwritten; choose another folder or remove it."
        )
