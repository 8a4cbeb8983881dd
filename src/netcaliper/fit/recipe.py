"""Everything that determines a training besides the network and the data, as one frozen record."""

import math
from dataclasses import dataclass

from netcaliper.errors import InputError
from netcaliper.fit.augment import AUGMENTATIONS, Augmentation
from netcaliper.fit.optimizers import DECAYED, OPTIMIZERS, Decayed, Optimizer
from netcaliper.fit.precision import PRECISIONS, Precision
from netcaliper.fit.schedule import SCHEDULES, Schedule, rate_factor


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        epochs: passes over the data.
        learning_rate: of the optimizer, before the schedule's factor.
        optimizer: one of ``netcaliper.fit.optimizers.OPTIMIZERS``.
        seed: of the order of the examples, of dropout and of the augmentation.
        momentum: of ``"sgd"``; other optimizers do not use it.
        weight_decay: ``c`` in the penalty ``c/2 ||w||^2`` (decoupled from the gradient with ``"adamw"``).
        decayed: which parameters the penalty sees, one of ``netcaliper.fit.optimizers.DECAYED``.
        schedule: of the learning rate, one of ``netcaliper.fit.schedule.SCHEDULES``.
        warmup: epochs over which the learning rate rises linearly from 0.
        restart: epochs after which the schedule begins anew, for those that are left; ``None`` for one schedule.
        patience: epochs without a better accuracy after which the training stops; the weights of the best epoch are
            kept. ``None`` trains to the end and keeps the last weights.
        augment: what is done to images, one of ``netcaliper.fit.augment.AUGMENTATIONS``.
        precision: of the forward pass, one of ``netcaliper.fit.precision.PRECISIONS``.
        pc_penalty: factor of ``netcaliper.fit.principal_penalty.PrincipalPenalty``; 0 is none.
        pc_threshold: share of variance in a layer's first principal component that it leaves free.

    Raises:
        InputError: a value is not known or out of range.
    """

    epochs: int
    learning_rate: float = 1e-3
    optimizer: Optimizer = "adam"
    seed: int = 0
    momentum: float = 0.9
    weight_decay: float = 0.0
    decayed: Decayed = "all"
    schedule: Schedule = "constant"
    warmup: int = 0
    restart: int | None = None
    patience: int | None = None
    augment: Augmentation = "none"
    precision: Precision = "float32"
    pc_penalty: float = 0.0
    pc_threshold: float = 0.1

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"`epochs` must be at least 1, got {self.epochs}.")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError(f"`learning_rate` must be a positive number, got {self.learning_rate}.")
        if not 0 <= self.momentum < 1:
            raise InputError(f"`momentum` must be at least 0 and below 1, got {self.momentum}.")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise InputError(f"`weight_decay` must be 0 or a positive number, got {self.weight_decay}.")
        if not 0 <= self.warmup <= self.epochs:
            raise InputError(f"`warmup` must be from 0 to `epochs` = {self.epochs}, got {self.warmup}.")
        if self.restart is not None and not 1 <= self.restart <= self.epochs:
            raise InputError(f"`restart` must be from 1 to `epochs` = {self.epochs}, got {self.restart}.")
        if self.patience is not None and self.patience < 1:
            raise InputError(f"`patience` must be at least 1 epoch, got {self.patience}; leave it out to train on.")
        if not (math.isfinite(self.pc_penalty) and self.pc_penalty >= 0):
            raise InputError(f"`pc_penalty` must be 0 or a positive number, got {self.pc_penalty}.")
        if not 0 <= self.pc_threshold <= 1:
            raise InputError(f"`pc_threshold` is a share of variance, from 0 to 1, got {self.pc_threshold}.")
        names = {
            "optimizer": OPTIMIZERS,
            "decayed": DECAYED,
            "schedule": SCHEDULES,
            "augment": AUGMENTATIONS,
            "precision": PRECISIONS,
        }
        for argument, known in names.items():
            value = getattr(self, argument)
            if value not in known:
                raise InputError(f"`{argument}` = {value!r} is not known; use one of: {', '.join(known)}.")

    def rate_factor(self, epoch: int) -> float:
        """Return the schedule's factor on the learning rate in an epoch, counted from 1."""
        first = self.epochs if self.restart is None else self.restart
        if epoch <= first:
            return rate_factor(self.schedule, epoch, first)
        return rate_factor(self.schedule, epoch - first, self.epochs - first)


def scaled_together(learning_rate: float, batch_size: int, factor: float) -> tuple[float, int]:
    """Return learning rate and batch size, both times ``factor`` (Goyal et al. 2017, linear scaling).

    The noise of a gradient step, proportional to their ratio, then stays as it is.

    Raises:
        InputError: ``factor`` is not positive, or leaves no whole number of examples.
    """
    if not (math.isfinite(factor) and factor > 0):
        raise InputError(f"`scale` must be a positive number, got {factor}.")
    size = batch_size * factor
    if size < 1 or size != int(size):
        raise InputError(f"`scale` = {factor:g} times a batch of {batch_size} is {size:g}; it must be a whole number.")
    return learning_rate * factor, int(size)
