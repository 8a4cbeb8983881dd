"""Early stopping: which epoch is the best so far, and when it is no use to go on."""

from collections.abc import Sequence


def best_epoch(watched: Sequence[float]) -> int:
    """Return the first epoch, counted from 1, that has the largest accuracy; 0 before the first one."""
    return watched.index(max(watched)) + 1 if watched else 0


def is_over(watched: Sequence[float], patience: int) -> bool:
    """Return whether ``patience`` epochs have passed without a better one, or none can be better.

    Args:
        watched: accuracy after each epoch.
        patience: epochs to wait.
    """
    best = best_epoch(watched)
    return best > 0 and (len(watched) - best >= patience or watched[best - 1] == 1.0)
