"""What *needed* costs on a large network: minutes and memory, against bounds that were set beforehand.

- A ResNet-50 (timm's architecture; its weights are random, since no trained ones can be had here) on 1,000 CIFAR-10
  images brought to 224 pixels (smooth random ones where CIFAR-10 is not there): ``needed`` at all inner sites, that is
  every site outside the residual streams. Then the same with the path of every site going on to u = .5, which is the
  most that ``needed_at_97`` asks of it.
- Elimination of one site of 1,024 units that a 3 x 3 convolution reads (9,216 columns), the covariance given: one that
  leaves a third of the units, so that the path is long.

Each runs in a process of its own with as many threads as ``OMP_NUM_THREADS`` says (2 by default). Told are CPU seconds
of all threads, wall seconds (which other processes on the machine lengthen) and the peak of the resident memory, the
libraries and the trace included.

    python benchmarks/needed_resnet50.py [folder with cifar10/train.parquet]
"""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import table
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.feed.examples import chosen_examples
from netcaliper.feed.protocol import Plan
from netcaliper.measure.needed import NeededStates
from netcaliper.measure.needed_at import REACH
from netcaliper.stats.block_elimination import Reader, eliminate_blocks
from netcaliper.stats.sampling import CALIBRATE

IMAGES, BATCH, SIDE = 1_000, 20, 224
THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
BOUNDS = {"resnet50": {"minutes": 25, "GiB": 12}, "site": {"minutes": 1, "GiB": 4}}


class Images:
    """CIFAR-10 images or smooth random ones, brought to size batch by batch."""

    def __init__(self, folder: Path) -> None:
        self.small = cifar(folder) if (folder / "cifar10" / "train.parquet").exists() else None

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, IMAGES, BATCH):
            if self.small is None:
                small = torch.randn(BATCH, 3, 16, 16, generator=torch.Generator().manual_seed(start))
            else:
                small = self.small[start : start + BATCH]
            yield F.interpolate(small, (SIDE, SIDE), mode="bicubic", align_corners=False)


def cifar(folder: Path) -> Tensor:
    """Return the first images of the data set, normalized."""
    import pyarrow.parquet as pq
    from PIL import Image

    file = pq.ParquetFile(folder / "cifar10" / "train.parquet")
    rows = next(file.iter_batches(IMAGES, columns=["img"])).to_pylist()
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(row["img"]["bytes"]))) for row in rows])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return (images - images.mean((0, 2, 3), keepdim=True)) / images.std((0, 2, 3), keepdim=True)


def resnet50(data: Images) -> nn.Module:
    """Return timm's ResNet-50 with random weights and BatchNorm statistics that fit them."""
    from timm_models import import_timm

    torch.manual_seed(0)
    model = import_timm().create_model("resnet50", pretrained=False, zero_init_last=False)
    with torch.no_grad():
        for _, batch in zip(range(10), data, strict=False):
            model.train()(batch)
    return model.eval()


def network(folder: str, reach: float | None) -> dict[str, Any]:
    """Ask every inner site of the network."""
    data = Images(Path(folder))
    model = resnet50(data)
    graph = nc.trace(model, next(iter(data)))
    inner = [site for site in graph.sites if site.group is None]
    began = clock()
    plan = Plan(IMAGES, 0)
    states = NeededStates(graph, inner, plan, reach=reach)
    for batch in chosen_examples(graph, data, plan.split == CALIBRATE):
        graph.run(batch, taps=states.moments.taps(batch))
    passed = clock()
    answers = [states.judge(site) for site in inner]
    done = clock()
    judged = [answer for answer in answers if answer.upper_bound is not None]
    columns = sorted({source.columns for source in states.inputs.values()})
    return {
        "images": IMAGES if data.small is None else f"{IMAGES:,} of CIFAR-10",
        "calibrate images": plan.sizes["calibrate"],
        "inner sites": len(inner),
        "judged": len(judged),
        "not judged": {answer.site: answer.reason for answer in answers if answer.reason},
        "input columns": f"{columns[0]:,} to {columns[-1]:,}",
        "rows of a site": f"{min(answer.rows for answer in judged):,} to {max(answer.rows for answer in judged):,}",
        "units": sum(answer.units for answer in judged),
        "needed at .01": sum(answer.upper_bound or 0 for answer in judged),
        "removed on the way": sum(len(gone) for a in judged for gone in (a.order, a.later) if gone is not None),
        "pass": spent(began, passed),
        "elimination": spent(passed, done),
        **spent(began, done),
    }


def site() -> dict[str, Any]:
    """Eliminate at one wide site whose columns are combinations of fewer, with a little noise."""
    rng = torch.Generator().manual_seed(0)
    units, columns = 1_024, 9_216
    mix = torch.randn(columns, 3_000, generator=rng, dtype=torch.float64)
    moment = mix @ mix.T / 3_000
    moment.diagonal().add_(1e-3)
    del mix
    weight = torch.randn(256, columns, generator=rng, dtype=torch.float64)
    variance = float(((weight @ moment) * weight).sum())
    owner = np.repeat(np.arange(units), 9)
    reader = Reader(moment.numpy(), weight.numpy(), owner, variance, 20 * columns, "consumer")
    began = clock()
    found = eliminate_blocks([reader], units)
    return {"units": units, "columns": columns, "outputs": 256, "kept at .01": len(found.kept)} | spent(began, clock())


def clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def spent(began: tuple[float, float], done: tuple[float, float]) -> dict[str, float]:
    wall, cpu = (b - a for a, b in zip(began, done, strict=True))
    return {"wall minutes": round(wall / 60, 2), "CPU minutes": round(cpu / 60, 2)}


def alone(part: str, folder: str) -> dict[str, Any]:
    """Run one part in a process of its own."""
    command = [sys.executable, __file__, "--part", part, folder]
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(out.stdout.splitlines()[-1])


def peak() -> float:
    """Return the peak of the resident memory of this process (unlike ``ru_maxrss`` without the parent's), in GiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20, 2)


PARTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "resnet50": lambda folder: network(folder, None),
    "resnet50 to u = .5": lambda folder: network(folder, REACH),
    "site": lambda _: site(),
}


def main(folder: str = "../shared/data") -> None:
    found = {part: alone(part, folder) for part in PARTS}
    results = {
        "network": "ResNet-50 of timm at 224 pixels, random weights (seed 0; trained ones cannot be had here)",
        "threads": THREADS,
        "cores": os.cpu_count(),
        "bounds": BOUNDS,
        **found,
    }
    table.write(__file__, results)
    missed = 0
    for part, bounds in BOUNDS.items():
        for name, key in (("minutes", "wall minutes"), ("GiB", "peak GiB")):
            if found[part][key] > bounds[name]:
                missed += 1
                print(f"bound missed: {part}, {key}", file=sys.stderr)
    sys.exit(missed > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--part"]:
        torch.set_num_threads(THREADS)
        answer = PARTS[sys.argv[2]](sys.argv[3])
        print(json.dumps(answer | {"peak GiB": peak()}))
    else:
        main(*sys.argv[1:])
