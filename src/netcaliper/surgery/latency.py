"""How long two networks take, side by side."""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import median
from timeit import Timer
from typing import Any

import torch
from scipy.stats import binom
from torch import nn
from torch.utils.benchmark import timer as clock

ROUNDS = 41
FEWEST_ROUNDS = 11
ROUND_SECONDS = 0.01
SECONDS = 10.0
"""Both networks together take no longer, unless the fewest rounds do."""


def latency_ratio(
    original: nn.Module, folded: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, float]:
    """Return the time of one network over that of another, on the same inputs, with the threads that torch has.

    The two run in turn for a hundredth of a second each (one call at least), so that whatever else happens on the
    machine meets both; 41 rounds, or as many as ten seconds hold, but 11. ``ratio`` is the median of the ratios round
    by round, ``low`` and ``high`` its 95 % interval from order statistics, ``lower`` and ``upper`` the quartiles;
    ``rounds`` their number, ``before`` and ``after`` the median seconds of a call.

    Args:
        original: the network in the denominator.
        folded: the network in the numerator.
        args: positional inputs of both.
        kwargs: keyword inputs of both.
    """
    with torch.inference_mode():
        timers = [Timer(partial(model, *args, **kwargs), timer=clock) for model in (original, folded)]
        first = [min(timer.repeat(3, 1)) for timer in timers]
        counts = [max(1, int(ROUND_SECONDS / seconds)) for seconds in first]
        pair = sum(count * seconds for count, seconds in zip(counts, first, strict=True))
        number = min(ROUNDS, max(FEWEST_ROUNDS, int(SECONDS / pair)))
        rounds = [
            [timer.timeit(count) / count for timer, count in zip(timers, counts, strict=True)] for _ in range(number)
        ]
    ratios = sorted(after / before for before, after in rounds)
    rank = int(binom.ppf(0.025, number, 0.5))
    return {
        "ratio": median(ratios),
        "low": ratios[rank - 1],
        "high": ratios[number - rank],
        "lower": ratios[number // 4],
        "upper": ratios[-1 - number // 4],
        "rounds": number,
        "before": median(before for before, _ in rounds),
        "after": median(after for _, after in rounds),
    }
