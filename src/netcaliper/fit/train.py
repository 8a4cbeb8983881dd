"""The one training loop: cross-entropy on labelled batches, repeatable from a seed."""

import math
from collections.abc import Callable, Iterable, Sized
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from netcaliper.errors import DataError, InputError
from netcaliper.fit.seeds import seeded
from netcaliper.trace.batches import Batch, batches, check_reiterable

Optimizer = Literal["adam", "sgd"]

_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9),
}


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


@dataclass(frozen=True)
class Training:
    """What a training did.

    Attributes:
        epochs: passes over the data.
        learning_rate: of the optimizer, constant.
        optimizer: ``"adam"``, or ``"sgd"`` with momentum 0.9.
        seed: of the order of the examples and of any dropout.
        examples: examples an epoch.
        loss: mean cross-entropy of each epoch, every batch before its own update.
        accuracy: share of training examples classified right, counted in the same way.
    """

    epochs: int
    learning_rate: float
    optimizer: str
    seed: int
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
    seed: int = 0,
    progress: Callable[[Step], None] | None = None,
) -> Training:
    """Train ``model`` in place on cross-entropy and leave it in eval mode.

    Two runs from equal weights, data and seed give equal weights (on a device whose kernels are deterministic). The
    random state of the caller is left as it was.

    Args:
        model: maps inputs to logits ``[batch, classes]``.
        data: re-iterable of ``(inputs, labels)`` batches; one with a method ``epoch`` is reshuffled in every epoch,
            another one is read in its own order.
        epochs: passes over the data.
        learning_rate: constant.
        optimizer: ``"adam"`` or ``"sgd"`` (momentum 0.9).
        seed: of the order of the examples and of any dropout.
        progress: called after every batch.

    Raises:
        InputError: an argument is out of range, or the model has no parameter to train or does not return logits.
        DataError: the data have no labels, labels that are out of range, or a batch too small for BatchNorm; or the
            loss is no longer finite.
    """
    _check_arguments(model, epochs, learning_rate, optimizer)
    check_reiterable(data)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    descent = _OPTIMIZERS[optimizer](parameters, lr=learning_rate)
    losses, accuracies, examples = [], [], 0
    length = _length(data)
    try:
        with seeded(seed):
            for number in range(1, epochs + 1):
                model.train()
                loss_sum, right, examples = 0.0, 0, 0
                ordered = data.epoch(number, seed) if isinstance(data, Reshuffled) else data
                for count, batch in enumerate(batches(ordered), start=1):
                    loss, hits = _update(model, batch, descent, number, learning_rate)
                    loss_sum, right, examples = loss_sum + loss * batch.size, right + hits, examples + batch.size
                    if progress is not None:
                        progress(Step(number, epochs, count, length, loss_sum / examples))
                losses.append(loss_sum / examples)
                accuracies.append(right / examples)
    finally:
        model.eval()
    return Training(epochs, learning_rate, optimizer, seed, examples, tuple(losses), tuple(accuracies))


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
    model: nn.Module, batch: Batch, descent: torch.optim.Optimizer, epoch: int, learning_rate: float
) -> tuple[float, int]:
    if batch.size == 1 and any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        raise DataError(
            f"the batch at example {batch.start} holds 1 example and BatchNorm needs at least 2 to train; "
            "choose a batch size that leaves none alone, or drop the last batch."
        )
    logits, labels = _logits(model, batch)
    loss = cross_entropy(logits, labels)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DataError(
            f"the loss is {value} in epoch {epoch}, at example {batch.start}: training diverged with `learning_rate` = "
            f"{learning_rate:g}; lower it, or scale the inputs."
        )
    descent.zero_grad(set_to_none=True)
    loss.backward()
    descent.step()
    return value, int((logits.detach().argmax(1) == labels).sum())


def _logits(model: nn.Module, batch: Batch) -> tuple[Float[Tensor, "batch classes"], Int[Tensor, " batch"]]:
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
    logits = model(*batch.args, **batch.kwargs)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"`model` must return logits of shape [batch, classes], got {found}; wrap it so that it does.")
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


def _check_arguments(model: nn.Module, epochs: int, learning_rate: float, optimizer: str) -> None:
    if epochs < 1:
        raise InputError(f"`epochs` must be at least 1, got {epochs}.")
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise InputError(f"`learning_rate` must be a positive number, got {learning_rate}.")
    if optimizer not in _OPTIMIZERS:
        raise InputError(f"`optimizer` = {optimizer!r} is not known; use one of: {', '.join(_OPTIMIZERS)}.")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError("`model` has no parameter that requires a gradient; there is nothing to train.")
