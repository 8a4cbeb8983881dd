"""Agreement: do two networks give the same answers, and are they wrong on the same examples?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from netcaliper.stats.kappa import kappa


@dataclass(frozen=True)
class Overlap:
    """Answers of two networks to the same examples, a and b, with right answers y; i runs over examples.

    Attributes:
        same: number of i with ``a_i = b_i``, labeled or not.
        examples: number of i.
        labeled: number of i that have a label; only these are behind the rest.
        both_wrong: ``|both wrong| / |either wrong|``; ``None`` if neither ever is.
        same_wrong: ``|both wrong and a_i = b_i| / |both wrong|``; ``None`` if they never are.
        kappa: Cohen's kappa of being right, the "error consistency" of Geirhos, Meding and Wichmann (2020);
            ``None`` where chance alone makes them agree always: both always right, or both always wrong.
        churn: share of i where one is right and the other wrong; ``None`` without labels.
    """

    same: int
    examples: int
    labeled: int
    both_wrong: float | None = None
    same_wrong: float | None = None
    kappa: float | None = None
    churn: float | None = None


def overlap(
    first: Int[np.ndarray, " examples"],
    second: Int[np.ndarray, " examples"],
    labels: Int[np.ndarray, " examples"] | None = None,
) -> Overlap:
    """Compare the answers of two networks.

    Args:
        first: the class that the first network chose for each example.
        second: the class that the second one chose.
        labels: the right classes; below 0 an example has none.
    """
    alike = first == second
    same, examples = int(np.count_nonzero(alike)), len(alike)
    labeled = np.zeros(examples, dtype=bool) if labels is None else labels >= 0
    if labels is None or not labeled.any():
        return Overlap(same, examples, 0)
    right = [(answers == labels)[labeled] for answers in (first, second)]
    either = np.count_nonzero(~(right[0] & right[1]))
    both = np.count_nonzero(~(right[0] | right[1]))
    churn = (either - both) / int(labeled.sum())
    p, q = (float(one.mean()) for one in right)
    beyond_chance = float(kappa(np.array([1 - churn]), np.array([p * q + (1 - p) * (1 - q)]))[0])
    return Overlap(
        same,
        examples,
        int(labeled.sum()),
        both_wrong=both / either if either else None,
        same_wrong=np.count_nonzero(alike[labeled] & ~right[0]) / both if both else None,
        kappa=None if np.isnan(beyond_chance) else beyond_chance,
        churn=churn,
    )
