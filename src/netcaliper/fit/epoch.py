"""One epoch of a training: examples in their order, augmented and prepared, update by update."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from netcaliper.errors import DataError, Diverged, InputError
from netcaliper.fit.augment import WINDOW, augmented
from netcaliper.fit.bends import Bends
from netcaliper.fit.precision import Precision, as_computed, autocast
from netcaliper.fit.principal_penalty import PrincipalPenalty
from netcaliper.fit.recipe import Recipe
from netcaliper.fit.saving import Position, RandomState, Saving, State, load_state, save_state
from netcaliper.fit.schedule import warmup_factor
from netcaliper.trace.batches import IGNORED, Batch, batches, labels_are_inputs

Loss = Callable[[Any, Batch], Tensor]
"""From a model's output, and the batch on the model's device, to a mean loss over its examples (a scalar)."""


@runtime_checkable
class Reshuffled(Protocol):
    """Data that can be asked for the order of one epoch, as ``netcaliper.zoo.batches.Batches`` can."""

    def epoch(self, number: int, seed: int) -> Iterable[Any]:
        """Return the examples in an order that depends on ``(seed, number)`` only."""
        ...


@runtime_checkable
class Staged(Protocol):
    """Data that prepare their inputs as a step of its own, as ``netcaliper.zoo.batches.Batches`` do.

    Images are augmented as they were taken, with pixels in [0, 1], and standardized afterwards. Inputs of other data
    are augmented as they come.
    """

    prepare: Callable[[Tensor], Tensor]

    def unprepared(self) -> Iterable[Any]:
        """Return the examples as they come before ``prepare``."""
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
class Run:
    """What does not change while a training runs, and one epoch of it.

    Attributes:
        model: the network.
        data: labelled batches.
        recipe: how it is trained.
        descent: its optimizer.
        penalty: on the outputs of its layers, added to the loss.
        bending: takes part in every update, where activations become linear by degrees.
        loss: in place of cross-entropy.
        length: batches an epoch, ``None`` if the data do not know.
        saving: where and when the state is saved, and whether to resume from it.
        progress: called after every batch.
    """

    model: nn.Module
    data: Iterable[Any]
    recipe: Recipe
    descent: torch.optim.Optimizer
    penalty: PrincipalPenalty | None
    bending: Bends | None
    loss: Loss | None
    length: int | None
    saving: Saving | None
    progress: Callable[[Step], None] | None

    def start(self) -> State:
        """Return the state to go on from: the saved one, or that of a new training."""
        if self.saving is not None and self.saving.resume:
            state = load_state(self.saving, self.model, self.descent, self.recipe)
            state.now.set()
            if self.penalty is not None:
                self.penalty.directions = dict(state.directions)
            return state
        now = RandomState.now()
        return State(Position(), now, now)

    def save_between(self, state: State, *, last: bool) -> None:
        """Save the state between two epochs, or after the last one, if it is time to."""
        if self.saving is not None and self.saving.due(state.where, last=last):
            save_state(self.saving, self.model, self.descent, self.recipe, state)

    def epoch(self, state: State) -> State:
        """Train for an epoch, or for what is left of the one in which the state was saved."""
        where, skip = state.where, state.where.batch
        self.model.train()
        if skip:
            at_epoch = state.at_epoch
            at_epoch.set()  # a loader that shuffles by itself must find the order of this epoch again
        else:
            at_epoch, where = RandomState.now(), replace(where, examples=0)
        data = self.data.epoch(where.epoch, self.recipe.seed) if isinstance(self.data, Reshuffled) else self.data
        plain, prepare = (data.unprepared(), data.prepare) if isinstance(data, Staged) else (data, _as_it_is)
        stream = batches(plain)
        if skip:
            _skip(stream, skip)
            state.now.set()
        for batch in stream:
            self._set_rate(where)
            changed = _changed(batch, self.recipe, prepare)
            loss, hits = _update(self, changed, where.epoch)
            where = where.after_batch(batch.size, loss, hits)
            if self.saving is not None and self.saving.due(where):
                now = State(where, RandomState.now(), at_epoch, state.best, self._directions())
                save_state(self.saving, self.model, self.descent, self.recipe, now)
            if self.progress is not None:
                mean = where.loss_sum / where.examples
                self.progress(Step(where.epoch, self.recipe.epochs, where.batch, self.length, mean))
        now = RandomState.now()
        return State(where.after_epoch(), now, now, state.best, self._directions())

    def _directions(self) -> dict[str, Tensor]:
        return {} if self.penalty is None else dict(self.penalty.directions)

    def _set_rate(self, where: Position) -> None:
        """Set the learning rate of the next update."""
        rate = self.recipe.learning_rate * self.recipe.rate_factor(where.epoch)
        if self.length is not None:
            update = (where.epoch - 1) * self.length + where.batch + 1
            rate *= warmup_factor(self.recipe.warmup, update, self.length)
        for group in self.descent.param_groups:
            group["lr"] = rate * group.get("rate_factor", 1.0)


def _update(run: Run, batch: Batch, epoch: int) -> tuple[float, float | None]:
    """Make one update; return the loss without penalties, and how many examples were right (``None``: not known)."""
    model = run.model
    if batch.size == 1 and any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        raise DataError(
            f"the batch at example {batch.start} holds 1 example and BatchNorm needs at least 2 to train; "
            "choose a batch size that leaves none alone, or drop the last batch."
        )
    with nullcontext({}) if run.penalty is None else run.penalty.watching() as shares:
        loss, hits = _judged(run, batch)
    whole = loss if run.penalty is None else loss + run.penalty.of(shares)
    if run.bending is not None:
        whole = whole + run.bending.penalty()
    value = float(whole.detach())
    if not math.isfinite(value):
        raise Diverged(
            f"the loss is {value} in epoch {epoch}, at example {batch.start}: training diverged with "
            f"`learning_rate` = {run.recipe.learning_rate:g}; lower it, or scale the inputs."
        )
    run.descent.zero_grad(set_to_none=True)
    whole.backward()
    run.descent.step()
    if run.bending is not None:
        run.bending.snap(run.descent)
    return float(loss.detach()), hits


def _judged(run: Run, batch: Batch) -> tuple[Float[Tensor, ""], float | None]:
    if run.loss is None:
        logits, labels = labelled_logits(run.model, batch, run.recipe.precision)
        return cross_entropy(logits, labels), examples_right(logits, labels, batch)
    loss = run.loss(*output_of(run.model, batch, run.recipe.precision))
    if not isinstance(loss, Tensor) or loss.dim():
        got = f"a tensor of shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise InputError(f"`loss` must return a scalar tensor, got {got}; take the mean over the examples.")
    return loss.float(), None


def _changed(batch: Batch, recipe: Recipe, prepare: Callable[[Tensor], Tensor]) -> Batch:
    """Return the batch augmented, prepared and in the memory order in which it is computed."""
    if recipe.augment != "none" and (len(batch.args) != 1 or batch.kwargs):
        raise InputError(f"`augment` = {recipe.augment!r} needs batches of one tensor of images; use 'none'.")

    def change(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        changed = prepare(augmented(value, recipe.augment))
        if recipe.augment != "none" and changed.shape[1:] != (plain := prepare(value[:1])).shape[1:]:
            raise InputError(
                f"`augment` = {recipe.augment!r} makes examples of shape {list(changed.shape[1:])}, without it `data` "
                f"give {list(plain.shape[1:])}; give data that are cropped alike, as cifar10:FOLDER(crop={WINDOW})."
            )
        return as_computed(changed, recipe.precision)

    return replace(batch, args=tuple(change(value) for value in batch.args))


def _as_it_is(value: Tensor) -> Tensor:
    return value


def _skip(stream: Iterator[Batch], count: int) -> None:
    if sum(1 for _ in islice(stream, count)) < count:
        raise DataError(
            f"the saved training had read {count} batches of its epoch, `data` has fewer; resume with the data it was "
            "started with."
        )


def examples_right(logits: Float[Tensor, "labels classes"], labels: Int[Tensor, " labels"], batch: Batch) -> float:
    """Return how many examples of a batch are right; with labels for tokens, their share times the examples."""
    return int((logits.detach().argmax(1) == labels).sum()) * batch.size / len(labels)


def labelled_logits(
    model: nn.Module, batch: Batch, precision: Precision = "float32"
) -> tuple[Float[Tensor, "labels classes"], Int[Tensor, " labels"]]:
    """Return the logits of a batch, in float32 at least, and its labels, both on the device of the model.

    There is one label an example, for logits ``[batch, classes]``, or one a token, for logits ``[batch, tokens,
    classes]``: the label of a token stands where its logits stand, and the tokens with label -100 are left out.

    Raises:
        DataError: there are no labels, or they are no classes of the model, or they are not shifted.
        InputError: the model fails on the batch, or does not return logits.
    """
    if not isinstance(batch.labels, Tensor):
        raise DataError("`data` has no labels; yield `(inputs, labels)` batches.")
    labels = batch.labels
    per_token = labels.ndim == 2
    whole = not labels.is_floating_point() and labels.dtype is not torch.bool
    if not whole or labels.ndim not in (1, 2) or len(labels) != batch.size:
        raise DataError(
            f"labels must be integers of shape [{batch.size}], one for each example, or [{batch.size}, tokens], got "
            f"{labels.dtype} of shape {list(labels.shape)} in the batch at example {batch.start}."
        )
    logits, batch = output_of(model, batch, precision)
    assert isinstance(batch.labels, Tensor)
    labels = batch.labels.long()
    if not isinstance(logits, Tensor) or logits.ndim != 2 + per_token:
        found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        wanted = "[batch, tokens, classes]" if per_token else "[batch, classes]"
        raise InputError(f"`model` must return logits of shape {wanted}, got {found}; wrap it so that it does.")
    if per_token:
        logits, labels = _of_tokens(logits, labels, batch)
    logits = logits if logits.dtype is torch.float64 else logits.float()
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= logits.shape[1]:
        raise DataError(
            f"labels must lie in 0 .. {logits.shape[1] - 1} because the model has {logits.shape[1]} outputs, got "
            f"{low if low < 0 else high} in the batch at example {batch.start}; renumber the labels or "
            "give the model more classes."
        )
    return logits, labels


def output_of(model: nn.Module, batch: Batch, precision: Precision = "float32") -> tuple[Any, Batch]:
    """Return what the model makes of a batch, and the batch with its labels on the device of the model.

    Raises:
        InputError: the model fails on the batch.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    batch = batch.to(device)
    if isinstance(batch.labels, Tensor):
        batch = replace(batch, labels=batch.labels.to(device))
    try:
        with autocast(device, precision):
            return model(*batch.args, **batch.kwargs), batch
    except RuntimeError as error:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in batch.tensors())
        reason = (str(error).splitlines() or ["unknown"])[0]
        raise InputError(f"`model` fails on a batch of shape {shapes}: {reason}; do model and data fit?") from error


def _of_tokens(
    logits: Float[Tensor, "batch tokens classes"], labels: Int[Tensor, "batch _"], batch: Batch
) -> tuple[Float[Tensor, "labels classes"], Int[Tensor, " labels"]]:
    """Return logits and label of every token that has one."""
    if logits.shape[:2] != labels.shape:
        raise DataError(
            f"labels must have shape {list(logits.shape[:2])}, one for each token that the model returns logits for, "
            f"got {list(labels.shape)} in the batch at example {batch.start}."
        )
    kept = labels != IGNORED
    if not bool(kept.any()):
        raise DataError(f"all labels are {IGNORED} in the batch at example {batch.start}; leave such batches out.")
    if labels_are_inputs(batch, labels):
        raise DataError(
            f"labels equal the input tokens in the batch at example {batch.start}, which leaves nothing to predict: a "
            "label stands at the token whose logits predict it; shift them: labels[:, t] = input_ids[:, t + 1], "
            f"{IGNORED} at the end."
        )
    return logits[kept], labels[kept]
