"""What planning costs: minutes and peak memory of ``nc.shrink``, against bounds set beforehand (C4).

- *ResNet-20* on CIFAR-10 at 32 pixels, trained on 3,000 images for a few epochs: as small as it gets with 99 % of its
  answers, planned on 4,096 other images of the train part, proved on the test part.
- *ResNet-50* of timm at 224 pixels with random weights (trained ones cannot be had here; no branch starts at 0, and
  BatchNorm statistics are those of the images) and 128 smooth random images, to half of its parameters. Random weights
  say nothing about what a trained network can lose: only the cost is measured. 64 images calibrate, 32 choose, 32
  prove. Layers with too few rows for their columns are refused by name and counted (the 3 x 3 convolutions of the last
  stage have 4,608 columns and 64 x 49 rows).

Each in a process of its own with as many threads as ``OMP_NUM_THREADS`` says (2 by default). Told are wall and CPU
minutes until the plan is frozen, and of everything with proof and latency; and the peak of the resident memory, the
libraries, the trace and (ResNet-20) the training included. Wall minutes are longer beside other work.

    python benchmarks/shrink_cost.py [--data ../shared/data/cifar10] [--only resnet20 resnet50]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import table
import torch
import torch.nn.functional as F
from shrink_train import EXAMPLES, images
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.fit.train import fit
from netcaliper.zoo.batches import Batches
from netcaliper.zoo.models import build

THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
EPOCHS, POOL = 12, 4096
SMOOTH, BATCH, SIDE, PARAMETERS = 128, 16, 224, 0.5
BOUNDS: dict[str, dict[str, float]] = {
    "resnet20": {"wall minutes": 3},
    "resnet50": {"wall minutes": 20, "peak GiB": 12},
}

Case = tuple[nn.Module, Any, dict[str, Any]]
"""A network, the data to plan on, and what else ``nc.shrink`` is told."""


def resnet20(data: str) -> Case:
    """Return a trained ResNet-20, images that it has not seen, and how many of its answers are to stay."""
    x, y = images(data, "train", None, 32)
    model = build("resnet", {"depth": 20, "size": 32})
    seen = Batches(x[:EXAMPLES], y[:EXAMPLES], batch_size=64)
    fit(
        model, seen, epochs=EPOCHS, optimizer="sgd", learning_rate=0.05, momentum=0.9, weight_decay=5e-4,
        decayed="weights", schedule="cosine", augment="crop_flip_reflect",
    )  # fmt: skip
    new = slice(EXAMPLES, EXAMPLES + POOL)
    x_test, y_test = images(data, "test", None, 32)
    verification = Batches(x_test, y_test, batch_size=250)
    return model, Batches(x[new], y[new], batch_size=128), {"agreement": 0.99, "verification": verification}


class Smooth:
    """Smooth random images, the same in every pass."""

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, SMOOTH, BATCH):
            small = torch.randn(BATCH, 3, 16, 16, generator=torch.Generator().manual_seed(start))
            yield F.interpolate(small, (SIDE, SIDE), mode="bicubic", align_corners=False)


def resnet50(data: str) -> Case:
    """Return timm's ResNet-50 with random weights and BatchNorm statistics that fit smooth images."""
    from timm_models import import_timm

    torch.manual_seed(0)
    model = import_timm().create_model("resnet50", pretrained=False, zero_init_last=False)
    with torch.no_grad():
        for batch in Smooth():
            model.train()(batch)
    return model.eval(), Smooth(), {"parameters": PARAMETERS}


CASES: dict[str, Callable[[str], Case]] = {"resnet20": resnet20, "resnet50": resnet50}


def measure(name: str, data: str) -> dict[str, Any]:
    """Plan, cut and prove; with what that cost."""
    model, examples, asked = CASES[name](data)
    began, planned = clock(), [clock()]

    def tell(phase: str, done: int, total: int) -> None:
        minutes = (time.perf_counter() - began[0]) / 60
        print(f"{minutes:.1f} min: {phase} {done} of {total}", file=sys.stderr, flush=True)
        if phase == "verify" and not done:
            planned.append(clock())

    small = nc.shrink(model, examples, progress=tell, **asked)
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
        "asked for": {key: value for key, value in asked.items() if isinstance(value, float)},
        "parameters left": round(proof.parameters_after / proof.parameters_before, 4),
        "multiply-adds left": round(proof.macs_after / proof.macs_before, 4),
        "agreement": [proof.agreement, proof.agreement_low],
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


def main() -> None:
    """Measure each in a process of its own, so that the peak is that of the work alone."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="../shared/data/cifar10", help="folder of train.parquet and test.parquet")
    parser.add_argument("--only", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--measure", choices=list(CASES), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        torch.set_num_threads(THREADS)
        print(json.dumps(measure(given.measure, given.data)))
        return
    found = table.read(__file__).get("networks", {})
    for name in given.only:
        command = [sys.executable, __file__, "--measure", name, "--data", given.data]
        environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        one = json.loads(out.stdout.splitlines()[-1])
        holds = {what: one[what] <= bound for what, bound in BOUNDS[name].items()}
        found[name] = {"bounds": BOUNDS[name], "holds": holds} | one
    table.write(__file__, {"threads": THREADS, "cores": os.cpu_count(), "networks": found})
    sys.exit(not all(all(found[name]["holds"].values()) for name in given.only))


if __name__ == "__main__":
    main()
