"""Exact steps of ``nc.shrink``: what the weights prove goes, with the same outputs, and nothing else goes.

45 random networks of each of seven families (float64): MLPs, convolutions with BatchNorm, residual streams, dense
concatenation, depthwise convolutions, gated FFN with RMSNorm and grouped-query attention, shared weights. Dead,
constant, duplicate and unread units are planted in them, and units that only an unread unit reads. The module that is
cut must give the outputs of the given one to 1e-9 of the largest on inputs that nothing was read on, every dimension
must have the size that was planted, and constants that cannot be put into a bias (zeros are put around them, a
normalization counts them, the reader has no bias or shares its weight) must stay and be named with that reason.

    python benchmarks/exact_shrink.py [networks a family]
"""

import sys
from collections import Counter

import table  # first: puts tests on the path
import torch

from planted_slack import FAMILIES, build, check

torch.set_num_threads(1)


def main(seeds: int = 45) -> None:
    planted, counts = Counter(), Counter()
    wrong: list[str] = []
    errors: dict[str, float] = {}
    for family in FAMILIES:
        for seed in range(seeds):
            slack = build(family, seed)
            found = check(slack)
            planted += slack.counts()
            counts += Counter({"networks": 1, "units that went": found.removed})
            errors[family] = max(errors.get(family, 0.0), found.error)
            wrong += [f"{family} {seed}: {words}" for words in found.wrong]
        print(f"{family}: {counts['networks']} networks, {len(wrong)} mismatches", file=sys.stderr)
    stay = planted.pop("stays")
    table.write(
        __file__,
        {
            "families": FAMILIES,
            "seeds": f"0 to {seeds - 1} of each family",
            **counts,
            "planted units that must go": planted,
            "planted constants that must stay and be named": stay,
            "mismatches": len(wrong),
            "mismatching": wrong,
            "largest difference, relative to the largest output": {f: float(f"{e:.2g}") for f, e in errors.items()},
        },
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
