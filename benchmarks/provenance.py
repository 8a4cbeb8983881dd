"""Provenance: the weight columns that the graph says read unit j are those that move when unit j is perturbed.

The oracle (``tests/brute_force.py``) perturbs one unit by its own scale and looks at the inputs of every weight, with
normalization statistics and softmax held at their base values. All units of 30 random networks of each of seven
families, and with random weights in float64 three units (first, middle, last) of up to twelve sites, evenly spaced, of
real architectures.

    python benchmarks/provenance.py [networks a family]
"""

import sys
from collections import Counter

import numpy as np
import table  # first: puts tests on the path
import torch
from provenance_models import MODELS, made

from brute_force import BruteForce, mismatches
from netcaliper.errors import TraceError
from netcaliper.trace.graph import Graph
from netcaliper.trace.site import Site
from netcaliper.trace.trace import trace
from networks import FAMILIES, build

SITES = 12
UNITS = 3

torch.set_num_threads(1)


def compare(graph: Graph, sites: list[Site], units: int | None) -> dict[str, object]:
    """Compare sites of a graph with brute force: all units, or a few of each site."""
    brute = BruteForce(graph)
    wrong: list[str] = []
    checked = readers = 0
    for site in sites:
        few = (
            range(site.units)
            if units is None
            else np.unique(np.linspace(0, site.units - 1, units).astype(int)).tolist()
        )
        wrong += mismatches(graph, site, brute, list(few))
        checked += len(few)
        readers += len(few) * len(site.consumers)
    return {
        "sites": len(sites),
        "units": checked,
        "unit-consumer pairs": readers,
        "mismatches": len(wrong),
        "first": wrong[:3],
    }


def random_networks(seeds: int) -> dict[str, dict[str, object]]:
    results: dict[str, dict[str, object]] = {}
    for family in FAMILIES:
        total: Counter[str] = Counter()
        first: list[str] = []
        for seed in range(seeds):
            graph = trace(*build(family, seed), name=f"{family} {seed}")
            found = compare(graph, list(graph.sites), None)
            first += found.pop("first")  # type: ignore[operator]
            total += Counter(found | {"refused": sum(site.refused is not None for site in graph.sites)})  # type: ignore[arg-type]
        results[family] = {"networks": seeds, "refused": 0, "mismatches": 0, **total, "first": first[:3]}
        print(family, results[family], file=sys.stderr, flush=True)
    return results


def architecture(name: str) -> dict[str, object]:
    model, example = made(name)
    try:
        graph = trace(model, example, name=name)
    except TraceError as refusal:
        return {"not traced": str(refusal)[:200]}
    chosen = np.unique(np.linspace(0, len(graph.sites) - 1, SITES).astype(int))
    found = compare(graph, [graph.sites[i] for i in chosen], UNITS)
    of_all = {
        "sites in all": len(graph.sites),
        "with barriers": sum(bool(site.barriers) for site in graph.sites),
        "refused": sum(site.refused is not None for site in graph.sites),
        "skipped": len(graph.skipped),
    }
    return of_all | found


def main(seeds: int = 30) -> None:
    families = random_networks(seeds)
    models = {}
    for name in MODELS:
        models[name] = architecture(name)
        print(name, models[name], file=sys.stderr, flush=True)
    found = [*families.values(), *models.values()]
    totals = {
        key: sum(int(entry.get(key, 0)) for entry in found)
        for key in ("sites", "units", "unit-consumer pairs", "mismatches")
    }  # type: ignore[call-overload]
    table.write(
        __file__,
        {
            "seeds": f"0 to {seeds - 1} of each family; 0 for the weights of the models",
            "sample on the models": f"{UNITS} units (first, middle, last) of up to {SITES} evenly spaced sites each",
            "networks": seeds * len(FAMILIES),
            **totals,
            "random networks": families,
            "models": models,
        },
    )
    sys.exit(bool(totals["mismatches"]))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
