"""The one training loop: cross-entropy on labelled batches, repeatable from a seed, resumable from a saved state."""

import math
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from netcaliper.errors import DataError, InputError
from netcaliper.fit.augment import Augmentation, augmented
from netcaliper.fit.optimizers import Decayed, Optimizer, make_optimizer
from netcaliper.fit.precision import Precision, as_computed, autocast, laid_out, settled
from netcaliper.fit.recipe import Recipe
from netcaliper.fit.saving import Position, RandomState, Saving, load_state, save_state
from netcaliper.fit.schedule import Schedule, rate_factor
from netcaliper.fit.seeds import seeded
from netcaliper.trace.batches import Batch, batches, check_reiterable


@runtime_checkable
class Reshuffled(Protocol):
    """Data that can be asked for the order of one epoch, as ``netcaliper.zoo.batches.Batches`` can."""

    def epoch(self, number: int, seed: int) -> Iterable[Any]:
        """Return the examples in an order that depends on ``(seed, number)`` only."""
        ...


@dataclass(frozen=True)
class Step:
    """Where the training is, for a progress bar.

    Attributes:
        epoch: the running epoch, from 1.
        epochs: how many there will be.
        batch: batches done in this epoch.
        batches: batches an epoch, ``None`` if the data do not know.
        loss: mean loss of this epoch so far.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int | None
    loss: float


@dataclass(frozen=True, kw_only=True)
class Training(Recipe):
    """What a training did: its recipe (with the precision that was used) and what came of it.

    Attributes:
        examples: examples an epoch.
        loss: mean cross-entropy of each epoch, every batch before its own update.
        accuracy: share of training examples classified right, counted in the same way.
    """

    examples: int
    loss: tuple[float, ...]
    accuracy: tuple[float, ...]

    def facts(self) -> dict[str, Any]:
        """Return the record as plain data for JSON."""
        return asdict(self)


def fit(
    model: nn.Module,
    data: Iterable[Any],
    *,
    epochs: int,
    learning_rate: float = 1e-3,
    optimizer: Optimizer = "adam",
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    decayed: Decayed = "all",
    schedule: Schedule = "constant",
    augment: Augmentation = "none",
    precision: Precision = "float32",
    seed: int = 0,
    saving: Saving | None = None,
    progress: Callable[[Step], None] | None = None,
) -> Training:
    """Train ``model`` in place on cross-entropy and leave it in eval mode.

    Two runs from equal weights, data and seed give equal weights (on a device whose kernels are deterministic, with
    the same number of threads), and so does a run that was interrupted and resumed from a saved state. The random
    state of the caller is left as it was.

    Args:
        model: maps inputs to logits ``[batch, classes]``.
        data: re-iterable of ``(inputs, labels)`` batches; one with a method ``epoch`` is reshuffled in every epoch,
            another one is read in its own order.
        epochs: passes over the data.
        learning_rate: of the optimizer, before the schedule's factor.
        optimizer: one of ``netcaliper.fit.optimizers.OPTIMIZERS``.
        momentum: of ``"sgd"``.
        weight_decay: ``c`` in the penalty ``c/2 ||w||^2``.
        decayed: which parameters it sees, one of ``netcaliper.fit.optimizers.DECAYED``.
        schedule: one of ``netcaliper.fit.schedule.SCHEDULES``.
        augment: one of ``netcaliper.fit.augment.AUGMENTATIONS``.
        precision: ``"float32"``; ``"bf16"``, the forward pass in bfloat16 with weights in float32; or ``"auto"``.
        seed: of the order of the examples, of dropout and of the augmentation.
        saving: where and when the state is saved, and whether to resume from it.
        progress: called after every batch.

    Raises:
        InputError: an argument is out of range, or the model has no parameter to train or does not return logits, or
            the saved state belongs to another training.
        DataError: the data have no labels, labels that are out of range, or a batch too small for BatchNorm; or the
            loss is no longer finite.
        ReadingError: the state cannot be written or read.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError("`model` has no parameter that requires a gradient; there is nothing to train.")
    recipe = Recipe(
        epochs, learning_rate, optimizer, seed, momentum, weight_decay, decayed, schedule, augment, precision
    )
    recipe = replace(recipe, precision=settled(model, precision))
    check_reiterable(data)
    length = _length(data)
    try:
        with seeded(seed), laid_out(model, recipe.precision):
            descent = make_optimizer(
                model,
                optimizer,
                learning_rate=learning_rate,
                momentum=momentum,
                weight_decay=weight_decay,
                decayed=decayed,
            )
            where, now = Position(), RandomState.now()
            at_epoch = now
            if saving is not None and saving.resume:
                where, now, at_epoch = load_state(saving, model, descent, recipe)
                now.set()
            for number in range(where.epoch, epochs + 1):
                rate = learning_rate * rate_factor(schedule, number, epochs)
                for group in descent.param_groups:
                    group["lr"] = rate
                model.train()
                skip = where.batch
                if skip:
                    at_epoch.set()  # a loader that shuffles by itself must find the order of this epoch again
                else:
                    at_epoch, where = RandomState.now(), replace(where, examples=0)
                ordered = data.epoch(number, seed) if isinstance(data, Reshuffled) else data
                stream = batches(ordered)
                if skip:
                    _skip(stream, skip)
                    now.set()
                for batch in stream:
                    loss, hits = _update(model, batch, descent, number, recipe)
                    where = where.after_batch(batch.size, loss, hits)
                    if saving is not None and saving.due(where, epochs):
                        save_state(saving, model, descent, recipe, where, at_epoch)
                    if progress is not None:
                        progress(Step(number, epochs, where.batch, length, where.loss_sum / where.examples))
                where = where.after_epoch()
                if saving is not None and saving.due(where, epochs):
                    save_state(saving, model, descent, recipe, where, RandomState.now())
    finally:
        model.eval()
    return Training(**asdict(recipe), examples=where.examples, loss=where.loss, accuracy=where.accuracy)


@torch.no_grad()
def accuracy(model: nn.Module, data: Iterable[Any]) -> float:
    """Return the share of examples whose largest logit is at their label, in eval mode; the model's modes are kept.

    Raises:
        DataError: the data are empty or have no usable labels.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        right = examples = 0
        for batch in batches(data):
            logits, labels = _logits(model, batch)
            right += int((logits.argmax(1) == labels).sum())
            examples += batch.size
        return right / examples
    finally:
        for module, training in modes.items():
            module.training = training


def _update(
    model: nn.Module, batch: Batch, descent: torch.optim.Optimizer, epoch: int, recipe: Recipe
) -> tuple[float, int]:
    if batch.size == 1 and any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        raise DataError(
            f"the batch at example {batch.start} holds 1 example and BatchNorm needs at least 2 to train; "
            "choose a batch size that leaves none alone, or drop the last batch."
        )
    logits, labels = _logits(model, _changed(batch, recipe), recipe.precision)
    loss = cross_entropy(logits, labels)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DataError(
            f"the loss is {value} in epoch {epoch}, at example {batch.start}: training diverged with `learning_rate` = "
            f"{recipe.learning_rate:g}; lower it, or scale the inputs."
        )
    descent.zero_grad(set_to_none=True)
    loss.backward()
    descent.step()
    return value, int((logits.detach().argmax(1) == labels).sum())


def _changed(batch: Batch, recipe: Recipe) -> Batch:
    """Return the batch augmented and in the memory order in which it is computed."""
    if recipe.augment != "none" and (len(batch.args) != 1 or batch.kwargs):
        raise InputError(f"`augment` = {recipe.augment!r} needs batches of one tensor of images; use 'none'.")

    def change(value: Any) -> Any:
        return as_computed(augmented(value, recipe.augment), recipe.precision) if isinstance(value, Tensor) else value

    return replace(batch, args=tuple(change(value) for value in batch.args))


def _skip(stream: Iterator[Batch], count: int) -> None:
    if sum(1 for _ in islice(stream, count)) < count:
        raise DataError(
            f"the saved training had read {count} batches of its epoch, `data` has fewer; resume with the data it was "
            "started with."
        )


def _logits(
    model: nn.Module, batch: Batch, precision: Precision = "float32"
) -> tuple[Float[Tensor, "batch classes"], Int[Tensor, " batch"]]:
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    batch = batch.to(device)
    if not isinstance(batch.labels, Tensor):
        raise DataError("`data` has no labels; yield `(inputs, labels)` batches.")
    labels = batch.labels.to(device)
    if labels.shape != (batch.size,) or labels.is_floating_point() or labels.dtype is torch.bool:
        raise DataError(
            f"labels must be integers of shape [{batch.size}], one for each example, got {labels.dtype} of shape "
            f"{list(labels.shape)} in the batch at example {batch.start}."
        )
    labels = labels.long()
    try:
        with autocast(device, precision):
            logits = model(*batch.args, **batch.kwargs)
    except RuntimeError as error:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in batch.tensors())
        reason = (str(error).splitlines() or ["unknown"])[0]
        raise InputError(f"`model` fails on a batch of shape {shapes}: {reason}; do model and data fit?") from error
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"`model` must return logits of shape [batch, classes], got {found}; wrap it so that it does.")
    logits = logits if logits.dtype is torch.float64 else logits.float()
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= logits.shape[1]:
        raise DataError(
            f"labels must lie in 0 .. {logits.shape[1] - 1} because the model has {logits.shape[1]} outputs, got "
            f"{low if low < 0 else high} in the batch at example {batch.start}; renumber the labels or "
            "give the model more classes."
        )
    return logits, labels


def _length(data: Iterable[Any]) -> int | None:
    try:
        return len(data) if isinstance(data, Sized) else None
    except TypeError:  # a DataLoader over an IterableDataset has the method but no answer
        return None
