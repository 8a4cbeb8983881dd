"""Planted truth: what ``nc.measure`` counts is what was planted, and what it calls removable can be removed.

30 random networks of each of seven families (float64) get dead, constant, duplicated and dependent units planted at
random sites. At every site the counts must equal those of an independent rank oracle on the same rows, and every unit
called removable must be a combination of the needed ones to 1e-9 of its scale.

    python benchmarks/planted_truth.py [networks a family]
"""

import sys
from collections import Counter

import table  # first: puts tests on the path
import torch

from networks import FAMILIES
from planted_truth_check import KINDS, check
from planting import plant

torch.set_num_threads(1)


def main(seeds: int = 30) -> None:
    counts, planted, found, unclear = Counter(), Counter(), Counter(), Counter()
    wrong: list[str] = []
    error = unclear_error = 0.0
    for family in FAMILIES:
        for seed in range(seeds):
            network = plant(family, seed)
            planted += network.counts()
            counts["networks"] += 1
            for site in check(network):
                counts["sites"] += 1
                counts["units"] += site.found.units
                wrong += [f"{site.name}: {words}" for words in site.missed]
                if site.unclear:
                    unclear[site.unclear] += 1
                    unclear_error = max(unclear_error, site.error)
                    continue
                found += Counter({kind: getattr(site.found, kind) for kind in KINDS})
                error = max(error, site.error)
                if not site.agrees:
                    wrong.append(f"{site.name}: {[getattr(site.found, kind) for kind in KINDS]} but {site.expected}")
                if site.error > 1e-9:
                    wrong.append(f"{site.name}: removable units are off by {site.error:.1e}")
        print(f"{family}: {counts['networks']} networks, {len(wrong)} mismatches", file=sys.stderr)
    table.write(
        __file__,
        {
            "families": FAMILIES,
            "seeds": f"0 to {seeds - 1} of each family",
            **counts,
            "planted": planted,
            "found at clear-cut sites": found,
            "mismatches": len(wrong),
            "mismatching": wrong,
            "largest reconstruction error, relative to scale": float(f"{error:.2g}"),
            "sites without a clear-cut rank, by the oracle alone, left out": unclear,
            "largest reconstruction error there": float(f"{unclear_error:.2g}"),
        },
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
