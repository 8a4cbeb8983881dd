"""The one training loop: cross-entropy (or another loss) on batches, repeatable from a seed, resumable from disk."""

from collections.abc import Callable, Iterable, Sized
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from netcaliper.errors import InputError
from netcaliper.fit.augment import Augmentation
from netcaliper.fit.bends import Bends
from netcaliper.fit.epoch import Loss, Run, Step, examples_right, labelled_logits
from netcaliper.fit.optimizers import Decayed, Optimizer, make_optimizer
from netcaliper.fit.precision import Precision, laid_out, settled
from netcaliper.fit.principal_penalty import PrincipalPenalty
from netcaliper.fit.recipe import Recipe
from netcaliper.fit.saving import Position, Saving, State
from netcaliper.fit.schedule import Schedule
from netcaliper.fit.seeds import seeded
from netcaliper.fit.stopping import best_epoch, is_over
from netcaliper.trace.batches import batches, check_reiterable


@dataclass(frozen=True, kw_only=True)
class Training(Recipe):
    """What a training did: its recipe (with the precision that was used) and what came of it.

    Attributes:
        examples: examples an epoch.
        loss: mean loss of each epoch (cross-entropy by default), without penalties, every batch before its own update.
        accuracy: share of training examples classified right, counted in the same way; empty with another loss.
        watched: with ``patience``, accuracy in eval mode on the watched examples after each epoch.
        kept_epoch: the epoch after which the model had the weights that it has now.
    """

    examples: int
    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    watched: tuple[float, ...]
    kept_epoch: int

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
    warmup: int = 0,
    restart: int | None = None,
    patience: int | None = None,
    watch: Iterable[Any] | None = None,
    augment: Augmentation = "none",
    precision: Precision = "float32",
    pc_penalty: float = 0.0,
    pc_threshold: float = 0.1,
    bending: Bends | None = None,
    loss: Loss | None = None,
    seed: int = 0,
    saving: Saving | None = None,
    progress: Callable[[Step], None] | None = None,
    before_epoch: Callable[[int], None] | None = None,
    after_epoch: Callable[[Training], None] | None = None,
) -> Training:
    """Train ``model`` in place, on cross-entropy by default, and leave it in eval mode.

    Two runs from equal weights, data and seed give equal weights (on a device whose kernels are deterministic, with
    the same number of threads), and so does a run that was interrupted and resumed from a saved state. The random
    state of the caller is left as it was.

    Args:
        model: maps inputs to logits ``[batch, classes]``, or ``[batch, tokens, classes]``.
        data: re-iterable of ``(inputs, labels)`` batches, labels ``[batch]`` or ``[batch, tokens]`` (-100: none);
            data with a method ``epoch`` are reshuffled in every epoch, others are read in their own order.
        epochs: passes over the data.
        learning_rate: of the optimizer, before the schedule's factor.
        optimizer: one of ``netcaliper.fit.optimizers.OPTIMIZERS``.
        momentum: of ``"sgd"``.
        weight_decay: ``c`` in the penalty ``c/2 ||w||^2``.
        decayed: which parameters it sees, one of ``netcaliper.fit.optimizers.DECAYED``.
        schedule: one of ``netcaliper.fit.schedule.SCHEDULES``.
        warmup: epochs over which the learning rate rises linearly, update by update, to what the schedule says.
        restart: epochs after which the schedule begins anew, for those that are left.
        patience: stop after so many epochs without a better accuracy on ``watch``, or when all of it is right, and
            keep the weights of the (first) best epoch.
        watch: labelled batches that are not trained on; by default the accuracy on ``data`` decides, as for random
            labels, where nothing else can be learned.
        augment: one of ``netcaliper.fit.augment.AUGMENTATIONS``.
        precision: ``"float32"``; ``"bf16"``, the forward pass in bfloat16 with weights in float32; or ``"auto"``.
        pc_penalty: factor of a penalty on layers whose outputs lie along one direction, 10 in its paper; 0 is none. See
            ``netcaliper.fit.principal_penalty.PrincipalPenalty``.
        pc_threshold: share of variance in a layer's first principal component that is not penalized.
        bending: makes activations linear by degrees (``nc.Bending``, whose ``model`` this is): its penalty is added to
            the loss, it snaps after every update, and its parameter groups are trained.
        loss: ``(output, batch) -> mean loss``, a scalar tensor, for models whose output is no logits; the batch is a
            ``netcaliper.trace.batches.Batch`` on the model's device, with the ``labels`` of the data.
        seed: of the order of the examples, of dropout and of the augmentation.
        saving: where and when the state is saved, and whether to resume from it.
        progress: called after every batch.
        before_epoch: called with the number of every epoch, from 1, before it begins or is gone on with.
        after_epoch: called after every epoch, before its state is saved, with what the training did so far; the model
            has the weights of this epoch then. It is called again for epochs that a resumed training repeats.

    Raises:
        InputError: an argument is out of range, or the model has no parameter to train (or no activation module for
            ``pc_penalty``) or does not return logits, or the saved state belongs to another training.
        DataError: the data have no labels, labels that are out of range, or a batch too small for BatchNorm.
        Diverged: the loss is no longer finite (a ``DataError``, in ``netcaliper.fit.epoch``).
        ReadingError: the state cannot be written or read.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError("`model` has no parameter that requires a gradient; there is nothing to train.")
    recipe = Recipe(
        epochs=epochs,
        learning_rate=learning_rate,
        optimizer=optimizer,
        seed=seed,
        momentum=momentum,
        weight_decay=weight_decay,
        decayed=decayed,
        schedule=schedule,
        warmup=warmup,
        restart=restart,
        patience=patience,
        augment=augment,
        precision=precision,
        pc_penalty=pc_penalty,
        pc_threshold=pc_threshold,
    )
    recipe = replace(recipe, precision=settled(model, precision))
    check_reiterable(data)
    if watch is not None:
        check_reiterable(watch)
        if patience is None:
            raise InputError("`watch` is read for `patience` alone, which is None; give both or neither.")
    length = _length(data)
    if warmup and length is None:
        raise InputError(f"`warmup` = {warmup} needs to know the batches of an epoch; give `data` with a `len`.")
    if loss is not None and patience is not None:
        raise InputError("`patience` watches the accuracy, which another `loss` does not have; leave one of them out.")
    if bending is not None and decayed != "all":
        raise InputError(
            f"`decayed` must be 'all' where `bending` names the parameters, got {decayed!r}; leave it out."
        )
    penalty = PrincipalPenalty(model, pc_penalty, pc_threshold, seed) if pc_penalty else None
    try:
        with seeded(seed), laid_out(model, recipe.precision):
            descent = make_optimizer(
                model,
                optimizer,
                learning_rate=learning_rate,
                momentum=momentum,
                weight_decay=weight_decay,
                decayed=decayed,
                groups=None if bending is None else bending.parameter_groups(weight_decay),
            )
            run = Run(model, data, recipe, descent, penalty, bending, loss, length, saving, progress)
            state = run.start()
            while not _done(state.where, recipe):
                if before_epoch is not None:
                    with seeded(seed):
                        before_epoch(state.where.epoch)
                state = run.epoch(state)
                with seeded(seed):  # data or a callback that draw must not change how the training goes on
                    if patience is not None:
                        state = _judged(model, data if watch is None else watch, state)
                    if after_epoch is not None:
                        after_epoch(_record(recipe, state.where, kept_epoch=state.where.epoch - 1))
                run.save_between(state, last=_done(state.where, recipe))
            if state.best:
                with torch.no_grad():
                    for name, tensor in model.state_dict().items():
                        tensor.copy_(state.best[name])
    finally:
        model.eval()
    return _record(recipe, state.where, kept_epoch=best_epoch(state.where.watched) or state.where.epoch - 1)


@torch.no_grad()
def accuracy(model: nn.Module, data: Iterable[Any]) -> float:
    """Return the share of examples whose largest logit is at their label, in eval mode; the model's modes are kept.

    With labels for tokens it is the share of tokens right in a batch, averaged with its examples as weight.

    Raises:
        DataError: the data are empty or have no usable labels.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        right, examples = 0.0, 0
        for batch in batches(data):
            logits, labels = labelled_logits(model, batch)
            right += examples_right(logits, labels, batch)
            examples += batch.size
        return right / examples
    finally:
        for module, training in modes.items():
            module.training = training


def _done(where: Position, recipe: Recipe) -> bool:
    """Return whether a training that is between two epochs ends here."""
    early = recipe.patience is not None and is_over(where.watched, recipe.patience)
    return early or where.epoch > recipe.epochs


def _judged(model: nn.Module, watch: Iterable[Any], state: State) -> State:
    """Return the state with the accuracy on the watched examples, and with the present weights if they are the best."""
    watched = (*state.where.watched, accuracy(model, watch))
    best = state.best
    if best_epoch(watched) == len(watched):
        best = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    return replace(state, where=replace(state.where, watched=watched), best=best)


def _record(recipe: Recipe, where: Position, *, kept_epoch: int) -> Training:
    return Training(
        **asdict(recipe),
        examples=where.examples,
        loss=where.loss,
        accuracy=where.accuracy,
        watched=where.watched,
        kept_epoch=kept_epoch,
    )


def _length(data: Iterable[Any]) -> int | None:
    try:
        return len(data) if isinstance(data, Sized) else None
    except TypeError:  # a DataLoader over an IterableDataset has the method but no answer
        return None
