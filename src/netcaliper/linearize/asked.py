"""What one linearization was asked, checked: everything that its trainings have in common."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from netcaliper.errors import InputError
from netcaliper.fit.augment import Augmentation
from netcaliper.fit.optimizers import Optimizer
from netcaliper.fit.precision import Precision
from netcaliper.fit.schedule import Schedule

Baseline = Literal["random", "layer", "one_shot", "shallow"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
Granularity = Literal["channel", "layer"]
ALPHA_RATE = 50.0
"""Alphas learn so many times as fast as weights."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """See ``netcaliper.linearize.linearize.linearize`` for each of them.

    Raises:
        InputError: a value is unknown or out of range, or two exclude each other.
    """

    epochs: int
    finetune: int
    start_epoch: int | None
    trained_epochs: int
    granularity: Granularity
    proximal: bool
    alpha_rate: float
    target_active: float | None
    target_path_length: float | None
    baselines: tuple[str, ...]
    margin: float
    optimizer: Optimizer
    learning_rate: float
    momentum: float
    weight_decay: float
    schedule: Schedule
    augment: Augmentation
    precision: Precision
    seed: int

    def __post_init__(self) -> None:
        if self.finetune < 0 or self.trained_epochs < 0:
            raise InputError(
                f"`finetune` and `trained_epochs` must be at least 0, got {self.finetune} and {self.trained_epochs}."
            )
        if self.start_epoch is not None and self.start_epoch < 0:
            raise InputError(f"`start_epoch` must be at least 0, got {self.start_epoch}.")
        if self.penalized < 1:
            raise InputError(
                f"`epochs` = {self.epochs} must leave at least one epoch for the penalty beside `start_epoch` = "
                f"{self.start_epoch} and `finetune` = {self.finetune}, it leaves {self.penalized}; take more epochs."
            )
        if self.granularity not in get_args(Granularity):
            raise InputError(f"`granularity` must be 'channel' or 'layer', got {self.granularity!r}.")
        for unknown in set(self.baselines) - set(BASELINES):
            raise InputError(f"`baselines` must be among {', '.join(BASELINES)}, got {unknown!r}; choose from these.")
        if not (math.isfinite(self.alpha_rate) and self.alpha_rate > 0):
            raise InputError(
                f"`alpha_rate` must be a positive number, got {self.alpha_rate}; 1 is that of the weights."
            )
        if self.target_active is not None and self.target_path_length is not None:
            raise InputError("`target_active` and `target_path_length` exclude each other; give one of them.")
        if self.target_active is not None and not 0 <= self.target_active < 1:
            raise InputError(f"`target_active` is a share of units, at least 0 and below 1, got {self.target_active}.")
        if self.target_path_length is not None and not self.target_path_length >= 0:
            raise InputError(f"`target_path_length` must be at least 0, got {self.target_path_length}.")
        if not (math.isfinite(self.margin) and self.margin >= 0):
            raise InputError(f"`margin` must be 0 or a positive number, got {self.margin}.")

    @property
    def has_target(self) -> bool:
        """Whether the penalty rises until a target is met."""
        return self.target_active is not None or self.target_path_length is not None

    @property
    def penalized(self) -> int:
        """Epochs that the penalty may have."""
        return self.epochs if self.start_epoch is None else self.epochs - self.start_epoch - self.finetune

    @property
    def trained(self) -> int:
        """Epochs of every training that starts from the common weights."""
        return self.penalized + self.finetune

    @property
    def from_scratch(self) -> int:
        """Epochs of a training from scratch, so that it costs as many as the others did in all."""
        before = self.trained_epochs if self.start_epoch is None else self.start_epoch
        return before + self.trained


def listed(baselines: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of baselines in the order in which they are trained; unknown ones stand last."""
    given = [baselines] if isinstance(baselines, str) else list(baselines)
    known = [name for name in BASELINES if name in given]
    return (*known, *(name for name in given if name not in BASELINES))
