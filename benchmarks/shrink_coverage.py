"""Coverage of shrinking: every architecture of the coverage table, cut, shrunk, proved, loaded again.

Each model (``coverage_models.py``) has random weights and runs in a process of its own, on one thread. Of each:

1. *Cutting.* Every dimension of its structure loses three in ten of the units that can go, drawn at random, by itself:
   ``cut_checked`` compares the small module with the masked network, in float64 where the model's code allows it. It
   either agrees or is refused by name.
2. *Shrinking.* ``nc.shrink`` to 80 % of the parameters on 96 random examples (48 to fit on, so that wide layers have
   too few rows, which is said by name), the plan run again by ``nc.apply_plan``, the folder loaded by
   ``nc.load_shrunk``: the weights of both must be those of the small network, bit for bit.

    python benchmarks/shrink_coverage.py [--only NAME ...] [--shard I/N] [--limit SECONDS]

What is done stays in ``out/shrink_coverage`` and in the table, and is not done again: the whole takes hours of a core,
and may be made in several sittings. ``--again`` does it again. Several processes make a shard each; the last to end has
all models in its table.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import table  # first: puts tests on the path
import torch
from coverage import counted, in_process, peak, reason_of, together
from coverage_models import ENTRIES, Entry

import netcaliper as nc
from netcaliper.errors import CutRefused
from netcaliper.study.run import read_shard
from netcaliper.surgery.cut import cut_checked
from netcaliper.surgery.masking import masked
from netcaliper.trace.graph import Graph
from timm_models import import_timm, import_transformers

EXAMPLES, BATCH = 96, 16
SHARE, LEFT = 0.3, 0.8
FOLDER = table.ROOT / "out" / "shrink_coverage"
LIMIT = 5000


def alone(entry: Entry) -> dict[str, Any]:
    """Cut and shrink one model."""
    torch.manual_seed(1)
    model = entry.build().eval()
    data = [entry.inputs(BATCH) for _ in range(EXAMPLES // BATCH)]
    began = time.perf_counter()
    graph = nc.trace(model, data[0], name=entry.name)
    found = cutting(graph, entry.name)
    found["cut seconds"] = round(time.perf_counter() - began, 1)
    began = time.perf_counter()
    found["shrunk"] = shrinking(graph, entry, data)
    found["shrink seconds"] = round(time.perf_counter() - began, 1)
    return found | {"peak GiB": peak()}


def cutting(graph: Graph, name: str) -> dict[str, Any]:
    """Cut every dimension by itself."""
    structure, tensors = graph.structure, graph.program.tensors
    rng = np.random.default_rng([0, *name.encode()])
    cut, worst, refused = 0, 0.0, []
    for dimension in structure.dimensions:
        free = np.flatnonzero(~dimension.frozen)
        gone = np.zeros(dimension.units, dtype=bool)
        count = min(max(1, round(SHARE * len(free))), dimension.units - 1)
        gone[rng.permutation(free)[:count]] = True
        removed = {dimension.name: gone}
        try:
            result = cut_checked(graph, removed, masked(tensors, structure, removed))
        except CutRefused as problem:
            refused.append((dimension.name, str(problem)))
        else:
            cut += 1
            worst = max(worst, result.differences.get("float64", 0.0))
    units = {d.name: d.units for d in structure.dimensions}
    return {
        "dimensions": len(structure.dimensions),
        "kinds": {kind: sum(d.kind == kind for d in structure.dimensions) for kind in ("inner", "stream", "heads")},
        "units": sum(units.values()),
        "units that can go": int(sum(np.count_nonzero(~d.frozen) for d in structure.dimensions)),
        "cut": cut,
        "largest difference in float64": worst,
        "not cut": counted((reason_of(why), units[dimension]) for dimension, why in refused),
        "no dimension": counted((reason_of(why), 1) for _, why in structure.refused),
    }


def shrinking(graph: Graph, entry: Entry, data: list[Any]) -> dict[str, Any]:
    """Shrink, run the plan again, load what was saved."""
    shrunk = nc.shrink(graph, data, parameters=LEFT, name=entry.name)
    again = nc.apply_plan(graph, data, shrunk.plan, name=entry.name)
    state = shrunk.model.state_dict()
    with tempfile.TemporaryDirectory() as folder:
        shrunk.save(Path(folder) / "small")
        loaded = nc.load_shrunk(entry.build, Path(folder) / "small").state_dict()
    proof = shrunk.proof
    return {
        "parameters left": round(proof.parameters_after / proof.parameters_before, 4),
        "target met": proof.target_met,
        "agreement": round(proof.agreement, 4),
        "time left": None if proof.latency is None else round(proof.latency.ratio, 3),
        "exported": shrunk.exported is not None,
        "applied again": same(state, again.model.state_dict()),
        "loaded again": same(state, loaded),
        "refused": counted((reason_of(item.why), 1) for item in shrunk.plan.refused),
    }


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two state dicts are equal bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def summary(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up all models that were run."""
    ran = {name: one for name, one in found.items() if "failed" not in one and "refused by name" not in one}
    shrunk = [one["shrunk"] for one in ran.values()]
    return {
        "models": len(found),
        "crashes": {name: one["failed"] for name, one in found.items() if "failed" in one},
        "refused whole": {name: one["refused by name"] for name, one in found.items() if "refused by name" in one},
        "dimensions": sum(one["dimensions"] for one in ran.values()),
        "dimensions cut": sum(one["cut"] for one in ran.values()),
        "largest difference in float64": max((one["largest difference in float64"] for one in ran.values()), default=0),
        "not cut": together(one["not cut"] for one in ran.values()),
        "target met": sum(one["target met"] for one in shrunk),
        "plans applied again, bit for bit": sum(one["applied again"] for one in shrunk),
        "folders loaded again, bit for bit": sum(one["loaded again"] for one in shrunk),
        "exported again": sum(one["exported"] for one in shrunk),
        "stays, by reason": together(one["refused"] for one in shrunk),
    }


def file_of(name: str) -> Path:
    """Return where the answer for a model is kept."""
    stem = re.sub(r"[^\w.]+", "_", name)
    return FOLDER / f"{stem}.json"


def main() -> None:
    """Run what is not done yet, and write the table of all that is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(ENTRIES), metavar="NAME")
    parser.add_argument("--shard", default="1/1", metavar="I/N")
    parser.add_argument("--limit", type=int, default=LIMIT, metavar="SECONDS")
    parser.add_argument("--again", action="store_true")
    given = parser.parse_args()
    part, of = read_shard(given.shard)
    before = table.read(__file__).get("by model", {})
    torch.set_num_threads(1)
    import_timm()
    import_transformers()
    for number, name in enumerate(given.only, 1):
        file = file_of(name)
        if number % of == part % of and (given.again or not (name in before or file.exists())):
            file.parent.mkdir(parents=True, exist_ok=True)
            in_process(alone, name, file, given.limit)
            one = json.loads(file.read_text(encoding="utf-8"))
            said = one.get("failed") or one.get("refused by name") or f"{one['cut']} of {one['dimensions']} dimensions"
            print(f"{number} of {len(given.only)}  {name}: {said}", file=sys.stderr, flush=True)
    files = {name: file_of(name) for name in ENTRIES}
    found = {n: json.loads(f.read_text(encoding="utf-8")) if f.exists() else before[n]
             for n, f in files.items() if f.exists() or n in before}  # fmt: skip
    facts = {"examples": f"{EXAMPLES}, random", "threads": 1, "summary": summary(found)}
    table.write(__file__, facts | {"by model": found})
    sys.exit(bool(facts["summary"]["crashes"]))


if __name__ == "__main__":
    main()
