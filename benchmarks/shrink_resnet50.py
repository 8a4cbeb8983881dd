"""What planning costs on a large network: minutes and peak memory of ``nc.shrink``, against bounds set beforehand (C4).

timm's ResNet-50 at 224 pixels with random weights (trained ones cannot be had here; no branch starts at 0, and
BatchNorm statistics are those of the images) and 128 smooth random images, made smaller to half of its parameters.
Random weights say nothing about what a trained network can lose: only the cost is measured. 64 images calibrate, 32
choose, 32 prove. Layers with too few rows for their columns are refused by name and counted (the 3 x 3 convolutions of
the last stage have 4,608 columns and 64 x 49 rows).

A process of its own with as many threads as ``OMP_NUM_THREADS`` says (2 by default). Told are wall and CPU minutes
until the plan is frozen, and of everything with proof and latency; and the peak of the resident memory, the libraries
and the trace included. Wall minutes are longer if anything else runs on the machine.

    python benchmarks/shrink_resnet50.py [share of the parameters, .5 by default]
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import table
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import netcaliper as nc

IMAGES, BATCH, SIDE, PARAMETERS = 128, 16, 224, 0.5
THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
BOUNDS = {"wall minutes": 20, "peak GiB": 12}


class Images:
    """Smooth random images, the same in every pass."""

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, IMAGES, BATCH):
            small = torch.randn(BATCH, 3, 16, 16, generator=torch.Generator().manual_seed(start))
            yield F.interpolate(small, (SIDE, SIDE), mode="bicubic", align_corners=False)


def resnet50() -> nn.Module:
    """Return timm's ResNet-50 with random weights and BatchNorm statistics that fit them."""
    from timm_models import import_timm

    torch.manual_seed(0)
    model = import_timm().create_model("resnet50", pretrained=False, zero_init_last=False)
    with torch.no_grad():
        for batch in Images():
            model.train()(batch)
    return model.eval()


def measure(share: float) -> dict[str, Any]:
    """Plan, cut and prove; with what that cost."""
    model = resnet50()
    began, planned = clock(), [clock()]

    def tell(phase: str, done: int, total: int) -> None:
        minutes = (time.perf_counter() - began[0]) / 60
        print(f"{minutes:.1f} min: {phase} {done} of {total}", file=sys.stderr, flush=True)
        if phase == "verify" and not done:
            planned.append(clock())

    small = nc.shrink(model, Images(), parameters=share, progress=tell)
    wall, cpu = spent(began, planned[-1])
    all_wall, all_cpu = spent(began, clock())
    plan, proof = small.plan, small.proof
    return {
        "wall minutes": wall,
        "CPU minutes": cpu,
        "wall minutes with the proof": all_wall,
        "CPU minutes with the proof": all_cpu,
        "peak GiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "splits": plan.splits.model_dump(),
        "asked for": share,
        "parameters left": round(proof.parameters_after / proof.parameters_before, 4),
        "multiply-adds left": round(proof.macs_after / proof.macs_before, 4),
        "target met": proof.target_met,
        "why": plan.why,
        "dimensions that lost units": len(plan.removed),
        "blocks dropped": list(plan.dropped),
        "latency": None if proof.latency is None else [proof.latency.ratio, proof.latency.low, proof.latency.high],
        "refused": dict(Counter(refusal.why.split(" (")[0][:120] for refusal in plan.refused)),
        "refused by name": [f"{refusal.what}: {refusal.why}"[:200] for refusal in plan.refused],
    }


def clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def spent(began: tuple[float, float], done: tuple[float, float]) -> tuple[float, float]:
    wall, cpu = (round((b - a) / 60, 2) for a, b in zip(began, done, strict=True))
    return wall, cpu


def main(share: float = PARAMETERS) -> None:
    """Measure in a process of its own, so that the peak is that of the work alone."""
    command = [sys.executable, __file__, "--measure", str(share)]
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found = json.loads(out.stdout.splitlines()[-1])
    holds = {name: found[name] <= bound for name, bound in BOUNDS.items()}
    network = "ResNet-50 of timm at 224 pixels, random weights (seed 0; trained ones cannot be had here)"
    facts = {"network": network, "images": IMAGES, "threads": THREADS, "cores": os.cpu_count(), "bounds": BOUNDS}
    table.write(__file__, facts | {"holds": holds} | found)
    sys.exit(not all(holds.values()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        torch.set_num_threads(THREADS)
        print(json.dumps(measure(float(sys.argv[2]))))
    else:
        main(*map(float, sys.argv[1:]))
