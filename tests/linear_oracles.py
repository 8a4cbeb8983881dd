"""Slow, obvious float64 answers to what the linear measures compute cleverly."""

import numpy as np


def centered(rows):
    """Return rows around their mean, in units of their standard deviation where they vary."""
    rows = np.asarray(rows, dtype=np.float64)
    rows = rows - rows.mean(0)
    std = rows.std(0)
    return rows / np.where(std > 0, std, 1)


def unexplained(rows, target, given):
    """Return the share of a unit's variance that a least-squares fit on other units leaves."""
    x = centered(rows)
    if len(given) == 0:
        return 1.0
    coefficients, *_ = np.linalg.lstsq(x[:, given], x[:, target], rcond=1e-11)
    rest = x[:, target] - x[:, given] @ coefficients
    return (rest @ rest) / (x[:, target] @ x[:, target])


def r2_one_by_one(rows):
    """Return R2 of every unit on all others, one regression a unit."""
    units = rows.shape[1]
    return np.array([1 - unexplained(rows, i, [k for k in range(units) if k != i]) for i in range(units)])


def greedy_removal(rows, tolerances):
    """Remove units one by one as long as every removed unit stays explained; each set by refitting from the rows."""
    kept, removed, sets = list(range(rows.shape[1])), [], []
    for tolerance in tolerances:
        refused = set()
        while True:
            tried = [(unexplained(rows, j, [k for k in kept if k != j]), j) for j in kept if j not in refused]
            if not tried or min(tried)[0] > tolerance:
                break
            unit = max(j for share, j in tried if share <= min(tried)[0] * (1 + 1e-8))  # of ties the last
            rest = [k for k in kept if k != unit]
            if all(unexplained(rows, r, rest) <= tolerance for r in removed):
                kept, removed = rest, [*removed, unit]
            else:
                refused.add(unit)
        sets.append(list(removed))
    return sets


def paper_redundancy(rows):
    """Follow the published recipe step by step: smallest eigenvalues until their share of the variance exceeds .05."""
    rows = np.asarray(rows, dtype=np.float64)
    units = rows.shape[1]
    matrix = np.zeros((units, units))
    for i in range(units):
        for j in range(units):
            matrix[i, j] = np.sum((rows[:, i] - rows[:, i].mean()) * (rows[:, j] - rows[:, j].mean())) / (len(rows) - 1)
    matrix[np.isnan(matrix)] = 0
    eigenvalues = sorted(np.linalg.eigh(matrix)[0])
    dropped = counted = 0
    with np.errstate(invalid="ignore"):
        total = np.float64(sum(eigenvalues))
        for eigenvalue in eigenvalues:
            dropped += eigenvalue
            counted += 1
            if not dropped / total <= 0.05:
                break
    return counted / units
