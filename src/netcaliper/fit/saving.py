"""The state of a training on disk, from which it goes on exactly as if it had never stopped.

One safetensors file holds the tensors (weights, buffers, optimizer state, random state, the best weights so far, the
directions of a principal penalty) and, in its metadata, a JSON text with the rest: position, history, recipe. Nothing
is pickled. The file is written aside and moved into place.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from netcaliper.errors import CorruptReading, InputError, ReadingError
from netcaliper.fit.recipe import Recipe
from netcaliper.fit.schema_version import checked_version
from netcaliper.reading.whole_file import write_whole

STATE_FILE = "state.safetensors"
STATE_VERSION = 3


@dataclass(frozen=True)
class Saving:
    """Where and when the state of a training is saved.

    Attributes:
        folder: holds ``state.safetensors``; it is made if needed, and a state in it is replaced.
        every: epochs between two states.
        every_batches: also after so many batches of an epoch.
        context: plain facts about model and data; a resumed training must give the same ones.
        resume: whether to go on from the state in ``folder``.

    Raises:
        InputError: an interval is not positive.
    """

    folder: Path
    every: int = 1
    every_batches: int | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False

    def __post_init__(self) -> None:
        if self.every < 1 or (self.every_batches is not None and self.every_batches < 1):
            raise InputError(
                f"`every` and `every_batches` must be at least 1, got {self.every} and {self.every_batches}."
            )

    @property
    def file(self) -> Path:
        """Return the file that holds the state."""
        return self.folder / STATE_FILE

    def due(self, where: "Position", *, last: bool = False) -> bool:
        """Return whether a state is saved at this position; after the last epoch always."""
        if where.batch == 0:
            done = where.epoch - 1
            return done > 0 and (done % self.every == 0 or last)
        return self.every_batches is not None and where.batch % self.every_batches == 0


@dataclass(frozen=True)
class Position:
    """How far a training is.

    Attributes:
        epoch: the running epoch, from 1; one more than there were after the last.
        batch: batches of it that are done.
        loss_sum: sum of the loss over the examples of this epoch.
        right: examples of this epoch that were classified right (a share of one where labels are for tokens);
            ``None`` where the loss does not tell.
        examples: examples of this epoch that are done.
        loss: mean loss of each finished epoch.
        accuracy: accuracy of each finished epoch; empty where the loss does not tell what is right.
        watched: accuracy on the watched examples after each epoch, where the training may stop early.
    """

    epoch: int = 1
    batch: int = 0
    loss_sum: float = 0.0
    right: float | None = 0.0
    examples: int = 0
    loss: tuple[float, ...] = ()
    accuracy: tuple[float, ...] = ()
    watched: tuple[float, ...] = ()

    def after_batch(self, size: int, loss: float, right: float | None) -> "Position":
        """Return the position one batch on; ``loss`` is its mean, ``right`` is ``None`` where it is not known."""
        return replace(
            self,
            batch=self.batch + 1,
            loss_sum=self.loss_sum + loss * size,
            right=None if self.right is None or right is None else self.right + right,
            examples=self.examples + size,
        )

    def after_epoch(self) -> "Position":
        """Return the position at the start of the next epoch; the number of examples is kept for the record."""
        return Position(
            epoch=self.epoch + 1,
            examples=self.examples,
            loss=(*self.loss, self.loss_sum / self.examples),
            accuracy=() if self.right is None else (*self.accuracy, self.right / self.examples),
            watched=self.watched,
        )


@dataclass(frozen=True)
class RandomState:
    """Torch's random state: of the CPU, and of the CUDA devices in use."""

    cpu: Tensor
    cuda: tuple[Tensor, ...] = ()

    @classmethod
    def now(cls) -> "RandomState":
        """Return the present state."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else ()
        return cls(torch.get_rng_state(), tuple(cuda))

    def set(self) -> None:
        """Make it the present state."""
        torch.set_rng_state(self.cpu)
        if self.cuda and torch.cuda.is_initialized() and len(self.cuda) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(list(self.cuda))


@dataclass(frozen=True)
class State:
    """What a training knows besides model and optimizer.

    Attributes:
        where: how far it is.
        now: the present random state.
        at_epoch: the random state in which the running epoch began, from which its order of examples follows.
        best: weights and buffers of the best epoch so far, where the training may stop early.
        directions: those of the principal penalty, by layer.
    """

    where: Position
    now: RandomState
    at_epoch: RandomState
    best: Mapping[str, Tensor] = field(default_factory=dict)
    directions: Mapping[str, Tensor] = field(default_factory=dict)


def save_state(saving: Saving, model: nn.Module, descent: torch.optim.Optimizer, recipe: Recipe, state: State) -> None:
    """Write the state of a training.

    Args:
        saving: where.
        model: the network.
        descent: its optimizer.
        recipe: how it is trained.
        state: the rest.

    Raises:
        ReadingError: it cannot be written; the state that was there before is unchanged.
        InputError: the context is not plain data.
    """
    tensors: dict[str, Tensor] = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    for part, held in (("best", state.best), ("directions", state.directions)):
        tensors |= {f"{part}/{name}": tensor for name, tensor in held.items()}
    scalars: dict[str, Any] = {}
    for index, entries in descent.state_dict()["state"].items():
        for key, value in entries.items():
            target: dict[str, Any] = tensors if isinstance(value, Tensor) else scalars
            target[f"optimizer/{index}/{key}"] = value
    for label, random in (("now", state.now), ("epoch", state.at_epoch)):
        tensors[f"random/{label}/cpu"] = random.cpu
        tensors |= {f"random/{label}/cuda/{n}": state for n, state in enumerate(random.cuda)}
    record = {
        "schema_version": STATE_VERSION,
        "position": asdict(state.where),
        "recipe": asdict(recipe),
        "scalars": scalars,
        "context": dict(saving.context),
    }
    try:
        text = json.dumps(record, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"`context` must be plain finite JSON data: {error}") from error
    # Tied tensors share memory, which safetensors refuses: each name gets a copy of its own.
    plain = {n: t.detach().cpu().clone(memory_format=torch.contiguous_format) for n, t in tensors.items()}
    blob = save(plain, metadata={"netcaliper": text})
    try:
        write_whole(saving.file, blob)
    except OSError as error:
        raise ReadingError(
            f"the training state {str(saving.file)!r} cannot be written: {error.strerror or error}; free some space "
            "and resume from the state before it."
        ) from error


def load_state(saving: Saving, model: nn.Module, descent: torch.optim.Optimizer, recipe: Recipe) -> State:
    """Put model and optimizer into the saved state and return the rest of it.

    Raises:
        ReadingError: there is no state.
        CorruptReading: it is damaged, or does not fit the model.
        NewerSchema: a later netcaliper wrote it.
        InputError: it belongs to another recipe or context; the first difference is named.
    """
    record, tensors = _read(saving.file)
    _same("recipe", asdict(recipe), record["recipe"])
    _same("context", json.loads(json.dumps(dict(saving.context))), record["context"])
    own = model.state_dict()
    saved, best, directions = (
        {name.removeprefix(part): tensor for name, tensor in tensors.items() if name.startswith(part)}
        for part in ("model/", "best/", "directions/")
    )
    try:
        position = record["position"]
        where = Position(**(position | {key: tuple(position[key]) for key in ("loss", "accuracy", "watched")}))
        for weights in (saved, best) if where.watched else (saved,):
            _check_fits(weights, own, saving.file)
        with torch.no_grad():
            for name, tensor in saved.items():
                own[name].copy_(tensor)
        _restore(descent, tensors, record["scalars"])
        # A tensor of a file lies at any address, and a product rounds otherwise there than at an aligned one.
        directions = {layer: direction.clone() for layer, direction in directions.items()}
        if recipe.pc_penalty and not directions:
            raise KeyError("directions/")
        return State(where, _random(tensors, "now"), _random(tensors, "epoch"), best, directions)
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise CorruptReading(f"{str(saving.file)!r} is damaged: {type(error).__name__}: {error}") from error


def _restore(descent: torch.optim.Optimizer, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
    parameters = [parameter for group in descent.param_groups for parameter in group["params"]]
    entries = {name: value for name, value in tensors.items() if name.startswith("optimizer/")} | scalars
    for name, value in entries.items():
        _, index, key = name.split("/", 2)
        parameter = parameters[int(index)]
        if isinstance(value, Tensor) and value.shape == parameter.shape and value.dim():
            # In the memory order of the parameter: another one takes another path through the kernels, and rounds
            # otherwise.
            descent.state[parameter][key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        else:
            descent.state[parameter][key] = value


def _random(tensors: dict[str, Tensor], label: str) -> RandomState:
    cuda = [name for name in tensors if name.startswith(f"random/{label}/cuda/")]
    ordered = sorted(cuda, key=lambda name: int(name.rpartition("/")[2]))
    return RandomState(tensors[f"random/{label}/cpu"], tuple(tensors[name] for name in ordered))


def _read(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not file.is_file():
        raise ReadingError(f"there is no training state {str(file)!r} to resume from; start without `resume`.")
    try:
        with safe_open(file, framework="pt") as stream:
            record = json.loads((stream.metadata() or {}).get("netcaliper", "null"))
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (it is no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise CorruptReading(f"{str(file)!r} cannot be read as a training state: {error}") from error
    version = checked_version(record, STATE_VERSION, file, "training state of netcaliper")
    if version < STATE_VERSION:
        raise ReadingError(
            f"{str(file)!r} was written by an earlier netcaliper, and this one cannot go on with it; start anew."
        )
    missing = {"position", "recipe", "scalars", "context"} - record.keys()
    if missing:
        raise CorruptReading(f"{str(file)!r} is damaged: it has no `{min(missing)}`.")
    return record, tensors


def _check_fits(saved: dict[str, Tensor], own: dict[str, Tensor], file: Path) -> None:
    for name in sorted(own.keys() | saved.keys()):
        shapes = [list(side[name].shape) if name in side else None for side in (saved, own)]
        if shapes[0] != shapes[1]:
            raise CorruptReading(
                f"{str(file)!r} does not fit the model: {name!r} has shape {shapes[0]} in the file and {shapes[1]} in "
                "the model; resume with the model that was trained."
            )


def _same(what: str, now: dict[str, Any], then: dict[str, Any]) -> None:
    for key in sorted(now.keys() | then.keys()):
        if now.get(key) != then.get(key):
            raise InputError(
                f"the saved training has `{key}` = {then.get(key)!r} in its {what}, this one {now.get(key)!r}; resume "
                "with what it was started with, or start anew elsewhere."
            )
