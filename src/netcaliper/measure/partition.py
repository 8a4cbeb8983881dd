"""The partition: each unit counts once, in the first of dead, constant, duplicate, dependent, absorbable, needed."""

import numpy as np
from jaxtyping import Bool, Int8

DEAD, CONSTANT, DUPLICATE, DEPENDENT, ABSORBABLE, NEEDED = range(6)
NOT_JUDGED = -1


def partition(
    dead: Bool[np.ndarray, " units"],
    constant: Bool[np.ndarray, " units"],
    removed: Bool[np.ndarray, " units"] | None,
    duplicate: Bool[np.ndarray, " units"] | None,
    absorbed: Bool[np.ndarray, " units"] | None = None,
) -> Int8[np.ndarray, " units"]:
    """Give every unit its verdict.

    Args:
        dead: 0 on every row.
        constant: one value on every row.
        removed: in the consistent removable set; ``None`` if redundancy was not judged.
        duplicate: repeats another unit; counts only for removed units.
        absorbed: the consumers can do without it at tau, together with all others of these; ``None`` if not judged.

    Returns:
        The codes of the reading's ``verdict`` array; -1 where redundancy was not judged.
    """
    if removed is None or duplicate is None:
        verdict = np.full(len(dead), NOT_JUDGED, dtype=np.int8)
    else:
        verdict = np.full(len(dead), NEEDED, dtype=np.int8)
        if absorbed is not None:
            verdict[absorbed] = ABSORBABLE
        verdict[removed] = DEPENDENT
        verdict[removed & duplicate] = DUPLICATE
    verdict[constant] = CONSTANT
    verdict[dead] = DEAD
    return verdict


def counts(verdict: Int8[np.ndarray, " units"], *, absorbed: bool = False) -> dict[str, int | None]:
    """Count the partition; what was not judged is ``None``.

    Args:
        verdict: codes of the units.
        absorbed: whether absorbable units were looked for.

    Returns:
        The fields ``dead, constant, duplicate, dependent, absorbable, needed`` of a site's reading.
    """
    judged = not (verdict == NOT_JUDGED).any()

    def count(code: int) -> int:
        return int(np.count_nonzero(verdict == code))

    return {
        "dead": count(DEAD),
        "constant": count(CONSTANT),
        "duplicate": count(DUPLICATE) if judged else None,
        "dependent": count(DEPENDENT) if judged else None,
        "absorbable": count(ABSORBABLE) if judged and absorbed else None,
        "needed": count(NEEDED) if judged else None,
    }
