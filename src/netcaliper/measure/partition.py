"""The partition: every unit counts once, in the first of dead, constant, duplicate, dependent, needed that holds."""

import numpy as np
from jaxtyping import Bool, Int8

DEAD, CONSTANT, DUPLICATE, DEPENDENT, ABSORBABLE, NEEDED = range(6)
NOT_JUDGED = -1


def partition(
    dead: Bool[np.ndarray, " units"],
    constant: Bool[np.ndarray, " units"],
    removed: Bool[np.ndarray, " units"] | None,
    duplicate: Bool[np.ndarray, " units"] | None,
) -> Int8[np.ndarray, " units"]:
    """Give every unit its verdict.

    Args:
        dead: 0 on every row.
        constant: one value on every row.
        removed: in the consistent removable set; ``None`` if redundancy was not judged.
        duplicate: repeats another unit; counts only for removed units.

    Returns:
        The codes of the reading's ``verdict`` array; -1 where redundancy was not judged.
    """
    if removed is None or duplicate is None:
        verdict = np.full(len(dead), NOT_JUDGED, dtype=np.int8)
    else:
        verdict = np.full(len(dead), NEEDED, dtype=np.int8)
        verdict[removed] = DEPENDENT
        verdict[removed & duplicate] = DUPLICATE
    verdict[constant] = CONSTANT
    verdict[dead] = DEAD
    return verdict


def counts(verdict: Int8[np.ndarray, " units"]) -> dict[str, int | None]:
    """Count the partition; what was not judged is ``None``.

    Returns:
        The fields ``dead, constant, duplicate, dependent, absorbable, needed`` of a site's reading. ``absorbable`` is
        not measured here.
    """
    judged = not (verdict == NOT_JUDGED).any()

    def count(code: int) -> int:
        return int(np.count_nonzero(verdict == code))

    return {
        "dead": count(DEAD),
        "constant": count(CONSTANT),
        "duplicate": count(DUPLICATE) if judged else None,
        "dependent": count(DEPENDENT) if judged else None,
        "absorbable": None,
        "needed": count(NEEDED) if judged else None,
    }
