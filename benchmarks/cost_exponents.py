"""How the cost of every measure grows: CPU seconds against width, depth and examples, with fitted exponents.

Plain networks (fully connected, ReLU) with random weights, one thing varied at a time; one thread. An exponent is the
slope of log seconds against log size over the upper half of the sizes, where fixed costs no longer matter; the tables
hold the ratios to the first size.

    python benchmarks/cost_exponents.py
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import table
import torch

import netcaliper as nc
from netcaliper.zoo.models import build

WIDTH, DEPTH, EXAMPLES, INPUTS = 64, 4, 4096, 32
SWEEPS: dict[str, Sequence[int]] = {
    "width": (64, 128, 256, 512, 1024),
    "depth": (2, 4, 8, 16, 32),
    "examples": (2048, 4096, 8192, 16_384, 32_768),
}
MEASURES = ("unit_states", "redundant", "needed", "prunable")

torch.set_num_threads(1)


def seconds(run: Callable[[], object]) -> float:
    """Return the least CPU time of three runs: what shares the caches can only add to it."""
    times = []
    for _ in range(3):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def costs(width: int, depth: int, examples: int) -> dict[str, float]:
    model = build("mlp", {"inputs": INPUTS, "widths": [width] * depth, "classes": 10}, seed=0).eval()
    data = list(torch.randn(examples, INPUTS, generator=torch.Generator().manual_seed(0)).split(256))
    with torch.no_grad():  # the classes share the predictions: nothing is ablated where one class has them all
        state = model.state_dict()
        state[[name for name in state if name.endswith("bias")][-1]] -= torch.cat([model(x) for x in data]).mean(0)
    found = {"trace": seconds(lambda: nc.trace(model, data[0]))}
    graph = nc.trace(model, data[0])

    def forward() -> None:
        with torch.no_grad():
            for batch in data:
                model(batch)

    found["forward pass"] = seconds(forward)
    for measure in MEASURES:
        found[measure] = seconds(lambda only=measure: nc.measure(graph, data, only=only, twin=False))
    return found


def exponent(sizes: Sequence[int], found: Sequence[float]) -> float:
    half = len(sizes) // 2
    return round(float(np.polyfit(np.log(sizes[half:]), np.log(found[half:]), 1)[0]), 2)


def main() -> None:
    costs(WIDTH, 1, 256)  # torch loads what it needs
    tables: dict[str, Any] = {}
    for what, sizes in SWEEPS.items():
        base = {"width": WIDTH, "depth": DEPTH, "examples": EXAMPLES}
        rows = []
        for size in sizes:
            rows.append(costs(**(base | {what: size})))
            print(what, size, rows[-1], file=sys.stderr, flush=True)
        tables[what] = {
            name: {
                "ratio to the first": [round(row[name] / rows[0][name], 2) for row in rows],
                "exponent": exponent(sizes, [row[name] for row in rows]),
            }
            for name in rows[0]
        } | {
            "sizes": list(sizes),
            "units in all": [(base | {what: s})["width"] * (base | {what: s})["depth"] for s in sizes],
        }
    table.write(
        __file__,
        {
            "network": f"fully connected, {INPUTS} inputs; unless varied {DEPTH} layers of {WIDTH} units, {EXAMPLES:,} "
            "examples",
            "exponents": "fitted over the upper half of the sizes; least CPU time of three runs, one thread, no twin",
            **tables,
        },
    )


if __name__ == "__main__":
    main()
