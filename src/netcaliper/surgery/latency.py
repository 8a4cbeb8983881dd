"""How long two networks take, side by side."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import torch
from scipy.stats import binom
from torch import nn
from torch.utils.benchmark import Timer

ROUNDS = 41
ROUND_SECONDS = 0.01


def latency_ratio(
    original: nn.Module, folded: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, float]:
    """Return the time of one network over that of another, on the same inputs, with the threads that torch has.

    The two run in turn for a hundredth of a second each (one call at least), so that whatever else happens on the
    machine meets both. ``ratio`` is the median of the ratios round by round, ``low`` and ``high`` its 95 % interval
    from order statistics, ``lower`` and ``upper`` the quartiles; ``rounds`` their number, ``before`` and ``after`` the
    median seconds of a call.

    Args:
        original: the network in the denominator.
        folded: the network in the numerator.
        args: positional inputs of both.
        kwargs: keyword inputs of both.
    """
    with torch.inference_mode():
        timers = [
            Timer("model(*args, **kwargs)", globals={"model": model, "args": args, "kwargs": kwargs},
                  num_threads=torch.get_num_threads())
            for model in (original, folded)
        ]  # fmt: skip
        counts = [max(1, int(ROUND_SECONDS / timer.timeit(3).mean)) for timer in timers]
        rounds = [
            [timer.timeit(count).mean for timer, count in zip(timers, counts, strict=True)] for _ in range(ROUNDS)
        ]
    ratios = sorted(after / before for before, after in rounds)
    rank = int(binom.ppf(0.025, ROUNDS, 0.5))
    return {
        "ratio": median(ratios),
        "low": ratios[rank - 1],
        "high": ratios[ROUNDS - rank],
        "lower": ratios[ROUNDS // 4],
        "upper": ratios[-1 - ROUNDS // 4],
        "rounds": ROUNDS,
        "before": median(before for before, _ in rounds),
        "after": median(after for _, after in rounds),
    }
