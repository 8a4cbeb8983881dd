"""Learning-rate schedules: a factor for every epoch, and one for every update of a warm-up."""

import math
from typing import Literal, get_args

Schedule = Literal["constant", "step", "exponential", "cosine"]

SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)


def rate_factor(schedule: Schedule, epoch: int, epochs: int) -> float:
    """Return the factor on the learning rate during ``epoch``.

    With ``t = epoch - 1`` epochs done:

    - ``"constant"``: 1.
    - ``"step"``: 0.1 from ``t >= epochs / 2`` on, 0.01 from ``t >= 3 epochs / 4`` on (91 and 136 of 182 epochs in
      TensorFlow's official ResNet).
    - ``"exponential"``: ``0.95^t`` (Casper et al. 2021).
    - ``"cosine"``: ``(1 + cos(pi t / epochs)) / 2`` (Loshchilov and Hutter 2017, stepped once an epoch as by Nguyen,
      Raghu and Kornblith 2021).

    Args:
        schedule: one of ``SCHEDULES``.
        epoch: the running epoch, from 1.
        epochs: how many there will be.
    """
    done = epoch - 1
    match schedule:
        case "step":
            return 0.1 ** ((2 * done >= epochs) + (4 * done >= 3 * epochs))
        case "exponential":
            return 0.95**done
        case "cosine":
            return (1 + math.cos(math.pi * done / epochs)) / 2
    return 1.0


def warmup_factor(warmup: int, update: int, updates: int) -> float:
    """Return the factor ``min(1, update / (warmup updates))`` of a linear warm-up (Goyal et al. 2017).

    It multiplies ``rate_factor``, whose epochs are counted from the start of the training, warm-up included (as in
    TensorFlow's official ResNet).

    Args:
        warmup: epochs of it; 0 is none.
        update: the update that is about to be made, counted from 1 over all epochs.
        updates: updates an epoch.
    """
    return min(1.0, update / (warmup * updates)) if warmup else 1.0
