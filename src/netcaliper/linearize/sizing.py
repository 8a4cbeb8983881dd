"""How strong a penalty must be to make anything linear in so many updates."""

import math
from collections.abc import Sequence

from netcaliper.errors import InputError

FACTORS = (1.1, 1.25, 1.5, 2.0, 4.0)
"""Default penalties, as multiples of ``unopposed``."""

RISE = 64.0
"""By this factor the penalty rises over the epochs that it has to meet a target."""


def unopposed(rates: Sequence[float], updates: int, momentum: float) -> float:
    """Return the penalty at which a unit without a task gradient becomes exactly linear just at the end.

    With r = 1 - alpha, an update of SGD with learning rate ``lr`` and momentum m moves r by ``-omega lr r^(-1/2) / 2``,
    in all ``1 / (1 - m)`` times as far. Over the training ``d(r^(3/2)) = -3/4 omega lr / (1 - m)`` an update, from 1 to
    0, so that ``omega = 4 (1 - m) / (3 sum lr)``. A unit that the task wants to bend takes more.

    Args:
        rates: learning rate of the alphas in every epoch with the penalty.
        updates: updates an epoch.
        momentum: m.
    """
    return 4 * (1 - momentum) / (3 * updates * sum(rates))


def checked_omegas(omega: float | Sequence[float]) -> tuple[float, ...]:
    """Return the penalties of a sweep in ascending order, each once.

    Raises:
        InputError: there is none, or one is not a positive number.
    """
    given = (omega,) if isinstance(omega, int | float) else tuple(omega)
    for one in given:
        if isinstance(one, bool) or not isinstance(one, int | float) or not math.isfinite(one) or one <= 0:
            raise InputError(
                f"`omega` must hold positive numbers, got {one!r}; the unbent reference (0) is always trained."
            )
    if not given:
        raise InputError("`omega` must hold at least one positive number, got none; leave it out for a default sweep.")
    return tuple(sorted(set(map(float, given))))
