"""Learning-rate schedules: a factor for every epoch."""

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
