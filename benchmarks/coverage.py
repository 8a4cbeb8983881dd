"""Coverage: what netcaliper reads of one model of every architecture family of timm, and of transformers.

Each model (``coverage_models.py``) has random weights and runs in a process of its own (a fork, so not on Windows), on
one thread. It is traced,
then read with ``only=("unit_states", "redundant", "needed")`` on 32 random examples, beside a twin with random weights
of another seed. For two sites, chosen at random with a seed, unit states, moments, spectrum and removed units are
computed a second time from eager activations (``coverage_check.py``).

*Resolved.* A unit of a site is resolved if the graph names everything that reads it: columns of weights, other sites,
outputs. A normalization on the way leaves the units in place and is named at the consumer. A site with a barrier (an
operation that mixes its units before anything with a weight reads them, such as a softmax over units) is not resolved,
nor is one that is refused. Nonlinearities that are no site because their units were lost or lie along two axes are
*skipped*; their units, as far as the shape tells how many there are, count as not resolved:

    share = units of resolved sites / (units of all sites + units of skipped places)

    python benchmarks/coverage.py [--only NAME ...] [--trace-only] [--limit SECONDS]

What is done stays in ``out/coverage`` and is not done again; delete a file there to do its model again.
"""

import argparse
import json
import math
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import table  # first: puts tests on the path
import torch
from coverage_check import differences, site_values
from coverage_models import ENTRIES, Entry

import netcaliper as nc
from netcaliper.errors import NetcaliperError
from netcaliper.feed.protocol import Plan
from netcaliper.trace.graph import Graph
from netcaliper.trace.site import Site
from timm_models import import_timm, import_transformers

MEASURES = ("unit_states", "redundant", "needed")
EXAMPLES, BATCH = 32, 16
CHECKED = 2
ENOUGH = 0.9
FOLDER = table.ROOT / "out" / "coverage"
LIMIT = 240

Task = Callable[[Entry], dict[str, Any]]


# ---- one model, in a process of its own


def alone(entry: Entry, *, trace_only: bool) -> dict[str, Any]:
    """Trace a model, and read it."""
    torch.manual_seed(1)
    model = entry.build()
    data = [entry.inputs(BATCH) for _ in range(EXAMPLES // BATCH)]
    began = time.perf_counter()
    graph = nc.trace(model, data[0], name=entry.name)
    found = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "options": entry.options,
        "trace seconds": round(time.perf_counter() - began, 1),
        **structure(graph),
    }
    if trace_only:
        return found | {"peak GiB": peak()}
    began = time.perf_counter()
    reading = nc.measure(graph, data, only=MEASURES, twin=entry.build, seed=0)
    found["measure seconds"] = round(time.perf_counter() - began, 1)
    found["judged"] = {
        "redundant": sum(site.redundant is not None for site in reading.sites),
        "needed": sum(site.absorbable is not None for site in reading.sites),
        "needed, twin": sum(site.absorbable is not None for site in reading.twin.sites),
    }
    found["not judged"] = counted(
        (reason_of(part), 1) for s in reading.sites if s.reason for part in s.reason.split("; ")
    )
    found |= checked(model, graph, data, reading, entry.name)
    return found | {"peak GiB": peak()}


def structure(graph: Graph) -> dict[str, Any]:
    """Sum up what the graph says of its sites."""
    units = {site.name: site.units for site in graph.sites}
    skipped = [(name, reason, skipped_units(reason)) for name, reason in graph.skipped]
    whole = [site for site in graph.sites if resolved(site)]
    total = sum(units.values()) + sum(count for _, _, count in skipped)
    return {
        "sites": len(graph.sites),
        "units": total,
        "resolved units": sum(site.units for site in whole),
        "share": round(sum(site.units for site in whole) / total, 4) if total else None,
        "weights that read units": sum(len(site.consumers) for site in graph.sites),
        "refused": counted((reason_of(site.refused), site.units) for site in graph.sites if site.refused),
        "barriers": counted(
            (reason_of(barrier), site.units)
            for site in graph.sites
            if not site.refused
            for barrier in site.barriers[:1]
        ),
        "skipped": counted((reason_of(reason), count) for _, reason, count in skipped),
        "batch": "any" if graph.dynamic_batch else f"{graph.traced_batch}: {reason_of(graph.static_reason or '')}",
    }


def resolved(site: Site) -> bool:
    """Tell whether the graph names everything that reads the units of a site."""
    return site.refused is None and not site.barriers


def skipped_units(reason: str) -> int:
    """Return how many units a skipped place has, as far as its shape tells: the sizes of the axes that they lie along.

    Where no axis is known: the last one of ``[examples, tokens, features]``, the second one of a map.
    """
    stated = re.search(r"\((\d+) units\)", reason)
    if stated:
        return int(stated[1])
    shape = re.search(r"shape \(([\d, ]+)\)", reason)
    if not shape:
        return 0
    sizes = [int(size) for size in shape[1].split(",") if size.strip()]
    axes = re.search(r"axes \(([\d, ]+)\)", reason)
    if axes:
        return math.prod(sizes[int(axis)] for axis in axes[1].split(",") if axis.strip())
    return sizes[1 if len(sizes) >= 4 else -1]


def counted(pairs: Iterable[tuple[str, int]]) -> dict[str, dict[str, int]]:
    """Count places and units by reason."""
    places: Counter[str] = Counter()
    units: Counter[str] = Counter()
    for reason, count in pairs:
        places[reason] += 1
        units[reason] += count
    return {reason: {"places": places[reason], "units": units[reason]} for reason in places}


def reason_of(text: str) -> str:
    """Return a reason without the names, shapes and lines that differ from place to place."""
    for pattern, word in _PLACES:
        text = re.sub(pattern, word, text)
    return re.sub(r"\s+", " ", text).strip(" ;")


_PLACES = (
    (r" \(line \d+ of [^`]*`[^`]*`\)", ""),
    (r"(of|in) shape \([^)]*\)|\(\d+ units\)", ""),
    (r"\S*?([A-Za-z_]+)[\dN]*(#[\dN]+)? mixes the units before .*", r"\1 mixes the units before they are read"),
    (r"(a )?\S+ reads several units with one column", "a weight reads several units with one column"),
    (r"lost at \S+, which", "lost at a layer that"),
    (r"lost at (\S+) at \S+", r"lost at \1"),
    (r"[^:;]+ reads its units before", " something else (a later site, an output) reads its units before"),
    (r"input columns of [^)]+\)", "input columns of a consumer)"),
    (r"(?<!a )consumer \S+", "a consumer"),
    (r"through \S+(, \S+)*, which", "through a normalization, which"),
    (r"[\d,]*\d(\.\d+)?", "N"),
)
"""What differs from place to place, and what stands for it; once put in its place, it stays."""


def checked(model: torch.nn.Module, graph: Graph, data: Sequence[Any], reading: Any, name: str) -> dict[str, Any]:
    """Compare two sites with a computation from eager activations."""
    rng = np.random.default_rng([0, *name.encode()])
    chosen = rng.choice(len(graph.sites), min(CHECKED, len(graph.sites)), replace=False)
    sites = [graph.sites[number] for number in chosen]
    plan = Plan(EXAMPLES, 0)
    values = site_values(model, graph, sites, data, plan)
    wrong: list[str] = []
    for number, site in zip(chosen, sites, strict=True):
        _, value, index = values[site.name]
        wrong += differences(site, int(number), value, index, reading, plan)
    return {"checked": {site.name: values[site.name][0] for site in sites}, "differences": wrong}


def peak() -> float:
    """Return the peak of the resident memory of this process, the libraries included, in GiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return round(next(int(entry.split()[1]) for entry in lines if entry.startswith("VmHWM")) / 2**20, 2)


# ---- all of them


def in_process(task: Task, name: str, file: Path, limit: int) -> None:
    """Answer for one model in a fork of this process (which has loaded the libraries), so that nothing stays behind."""
    child = get_context("fork").Process(target=answer, args=(task, name, file))
    child.start()
    child.join(limit)
    if child.is_alive():
        child.kill()
        child.join()
        file.write_text(json.dumps({"failed": f"longer than {limit} s"}), encoding="utf-8")
    elif child.exitcode:
        file.write_text(json.dumps({"failed": f"ended with exit code {child.exitcode}"}), encoding="utf-8")


def answer(task: Task, name: str, file: Path) -> None:
    """Write the answer for one model; a refusal with its reason is an answer, anything else that is raised a crash."""
    began = time.perf_counter()
    try:
        found = task(ENTRIES[name])
    except NetcaliperError as refusal:
        found = {"refused by name": f"{type(refusal).__name__}: {refusal}"}
    except Exception as failure:
        where = traceback.extract_tb(failure.__traceback__)[-1]
        found = {
            "failed": f"{type(failure).__name__}: {failure}"[:500] + f" ({Path(where.filename).name}, {where.name})"
        }
    file.write_text(json.dumps(found | {"seconds": round(time.perf_counter() - began, 1)}), encoding="utf-8")


def file_of(name: str, *, trace_only: bool) -> Path:
    """Return where the answer for a model is kept."""
    stem = re.sub(r"[^\w.]+", "_", name)
    return FOLDER / ("trace" if trace_only else "read") / f"{stem}.json"


def summary(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up all models that were run."""
    ran = {name: one for name, one in found.items() if "failed" not in one and "refused by name" not in one}
    shares = [one["share"] for one in ran.values() if one["share"] is not None]
    enough = sum(share >= ENOUGH for share in shares)
    compared = [one for one in ran.values() if "checked" in one]
    return {
        "models": {
            library: sum(ENTRIES[name].library == library for name in found) for library in ("timm", "transformers")
        },
        "crashes": {name: one["failed"] for name, one in found.items() if "failed" in one},
        "refused whole": {name: one["refused by name"] for name, one in found.items() if "refused by name" in one},
        "sites": sum(one["sites"] for one in ran.values()),
        "units": sum(one["units"] for one in ran.values()),
        "share of units resolved": round(
            sum(one["resolved units"] for one in ran.values()) / max(sum(one["units"] for one in ran.values()), 1), 4
        ),
        f"models with at least {ENOUGH:.0%} of their units resolved": enough,
        "share of models": round(enough / len(found), 4),
        "models below": {name: one["share"] for name, one in ran.items() if (one["share"] or 0) < ENOUGH},
        **{key: together(one[key] for one in ran.values()) for key in ("refused", "barriers", "skipped")},
        "bound to one batch size": [name for name, one in ran.items() if one["batch"] != "any"],
        "not judged, by reason (sites)": sites_by_reason(one.get("not judged", {}) for one in ran.values()),
        "sites compared with a direct computation": sum(len(one["checked"]) for one in compared),
        "of these from eager activations": sum(
            source == "eager" for one in compared for source in one["checked"].values()
        ),
        "differences": [line for one in compared for line in one["differences"]],
    }


def together(tables: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """Add tables of places and units by reason; count the models too."""
    total: dict[str, dict[str, int]] = {}
    for one in tables:
        for reason, counts in one.items():
            entry = total.setdefault(reason_of(reason), {"models": 0, "places": 0, "units": 0})
            entry["models"] += 1
            for key, count in counts.items():
                entry[key] += count
    return dict(sorted(total.items(), key=lambda item: -item[1]["units"]))


def sites_by_reason(tables: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, int]:
    """Count sites by reason."""
    found = {reason: counts["places"] for reason, counts in together(tables).items()}
    return {reason: count for reason, count in found.items() if not reason.startswith("give more examples")}


def line(name: str, one: Mapping[str, Any]) -> str:
    """Return a model in one line."""
    if "failed" in one or "refused by name" in one:
        return f"{name}: {one.get('failed') or 'refused: ' + one['refused by name']}"
    said = (
        f"{name}: {one['sites']} sites, {one['units']:,} units, {one['share']:.1%} resolved, {one['trace seconds']} s"
    )
    if "measure seconds" in one:
        said += f" + {one['measure seconds']} s, {len(one['differences'])} differences"
    return f"{said}, {one['peak GiB']} GiB"


def main(names: Sequence[str], *, trace_only: bool, limit: int, say: Callable[[str], None]) -> None:
    """Run what is not done yet, and write the table of all that is."""
    for number, name in enumerate(names, 1):
        file = file_of(name, trace_only=trace_only)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            in_process(partial(alone, trace_only=trace_only), name, file, limit)
            say(f"{number} of {len(names)}  {line(name, json.loads(file.read_text(encoding='utf-8')))}")
    done = {name: file_of(name, trace_only=trace_only) for name in ENTRIES}
    found = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in done.items() if file.exists()}
    facts = {
        "seeds": "1 for the weights, 0 for the twin, the split and the choice of the sites that are compared",
        "examples": f"{EXAMPLES}, random",
        "threads": 1,
        "summary": summary(found),
    }
    if trace_only:
        say(json.dumps(facts, indent=2))
        return
    table.write(__file__, facts | {"by model": found})
    sys.exit(bool(facts["summary"]["crashes"] or facts["summary"]["differences"]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(ENTRIES), metavar="NAME")
    parser.add_argument("--trace-only", action="store_true")
    parser.add_argument("--limit", type=int, default=LIMIT, metavar="SECONDS")
    given = parser.parse_args()
    unknown = sorted(set(given.only) - set(ENTRIES))
    if unknown:
        parser.error(f"no model named {', '.join(unknown)}; see benchmarks/coverage_models.py")
    torch.set_num_threads(1)
    import_timm()
    import_transformers()
    main(
        given.only,
        trace_only=given.trace_only,
        limit=given.limit,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
