"""Slow, obvious float64 answers to what block elimination computes cleverly: every candidate fitted from the rows."""

import numpy as np

TIE = 1e-9


def unexplained(rows, weight, owner, gone, *, intercept=True):
    """Return the share of the variance of ``rows @ weight.T`` that a new fit to the columns kept leaves."""
    y = rows @ weight.T
    x = rows[:, ~np.isin(owner, sorted(gone))]
    if intercept:
        x = np.hstack([x, np.ones((len(x), 1))])
    scale = np.linalg.norm(x, axis=0)
    x = x / np.where(scale > 0, scale, 1)
    coefficients, *_ = np.linalg.lstsq(x, y, rcond=1e-12)
    return ((y - x @ coefficients) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()


def greedy(readers, units, tau, stage=None):
    """Remove one unit after another; ``readers`` are tuples (rows, weight, owner, intercept).

    Returns the order and u of every reader after each step.
    """
    stage = np.zeros(units, dtype=int) if stage is None else stage
    gone, path = [], []
    for limit in np.unique(stage):
        while True:
            tried = []
            for unit in [j for j in range(units) if j not in gone and stage[j] <= limit]:
                u = [unexplained(x, w, owner, {*gone, unit}, intercept=free) for x, w, owner, free in readers]
                tried.append((max(u), sum(u), -unit, u))
            if not tried or min(tried)[0] > tau:
                break
            least = min(t[0] for t in tried)
            tried = [t for t in tried if t[0] <= least * (1 + TIE)]
            total = min(t[1] for t in tried)
            best = min((t for t in tried if t[1] <= total * (1 + TIE)), key=lambda t: t[2])
            gone.append(-best[2])
            path.append(best[3])
    return gone, np.array(path).reshape(len(gone), len(readers))
