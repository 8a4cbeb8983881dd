"""What the static measures cost, in plain forward passes of the same run: ratios, with everything interleaved.

A CIFAR ResNet-20 (width 16, random weights), images of 32 x 32 in batches of 128, one thread, CPU time (so that other
processes on the machine count little):

- time of unit states and redundancy (one pass) on the traced network over that of plain forward passes of the 2,000
  images' calibrate and select examples, which are the ones that it runs, and over passes of all 2,000;
- peak memory for 20,000 examples over that for 2,000, each in a process of its own (Linux's ``VmHWM``), on images that
  are made batch by batch, so that no data set lies in memory. The C allocator is told to hand freed blocks back at
  once, so that the peak is that of live memory and not of its caches;
- R2 of 1,024 units against least squares in numpy;
- a fork at every site over as many full passes, by time and by the number of operations run.

    python benchmarks/static_cost.py [folder with cifar10/train.parquet]
"""

import gc
import io
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import table
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.reading.reading import Reading
from netcaliper.stats.covariance import Covariance
from netcaliper.stats.regression import r2_on_others
from netcaliper.trace.graph import Graph

BATCH, IMAGES, MANY = 128, 2_000, 20_000
REPEATS = 5
BOUNDS = {"measure": 3.0, "memory": 1.05, "r2": 1e-8, "forks": 0.6}


torch.set_num_threads(1)


class Block(nn.Module):
    """A basic block; a wider stage strides its shortcut and pads it with zeros, as He et al. (2016) do on CIFAR."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.more = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        return F.relu(x + y)


def resnet20(width: int = 16) -> nn.Module:
    """Return a ResNet-20 with random weights and BatchNorm statistics that fit them."""
    torch.manual_seed(0)
    widths = [width] * 4 + [2 * width] * 3 + [4 * width] * 3
    blocks = [Block(a, b) for a, b in pairwise(widths)]
    stem = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    model = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10))
    with torch.no_grad():
        for batch in RandomImages(4 * BATCH):
            model(batch)
    return model.eval()


class RandomImages:
    """Smooth random images, made anew on every pass: nothing is kept."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, self.count, BATCH):
            generator = torch.Generator().manual_seed(start)
            coarse = torch.randn(min(BATCH, self.count - start), 3, 8, 8, generator=generator)
            yield F.interpolate(coarse, scale_factor=4, mode="bilinear")


def cifar(folder: Path) -> list[Tensor]:
    """Return the first images of the data set, normalized, in batches."""
    import pyarrow.parquet as pq
    from PIL import Image

    rows = next(pq.ParquetFile(folder / "cifar10" / "train.parquet").iter_batches(IMAGES, columns=["img"])).to_pylist()
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(row["img"]["bytes"]))) for row in rows])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().contiguous() / 255
    return list(((images - images.mean((0, 2, 3), keepdim=True)) / images.std((0, 2, 3), keepdim=True)).split(BATCH))


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def interleaved(*runs: Callable[[], object]) -> list[list[float]]:
    """Time runs in turn, after one round that does not count."""
    for run in runs:
        run()
    rounds = [[seconds(run) for run in runs] for _ in range(REPEATS)]
    return [list(times) for times in zip(*rounds, strict=True)]


def ratio(above: list[float], below: list[float]) -> dict[str, float]:
    """Return the median of the ratios of the rounds, and their range."""
    each = sorted(a / b for a, b in zip(above, below, strict=True))
    return {"median": round(median(each), 3), "least": round(each[0], 3), "largest": round(each[-1], 3)}


def static(graph: Graph, data: Any) -> Reading:
    """Read what one pass tells: no elimination, no ablations, no twin."""
    return nc.measure(graph, data, only=("unit_states", "redundant"), twin=False)


def time_of_measure(model: nn.Module, graph: Graph, data: list[Tensor]) -> dict[str, object]:
    reading = static(graph, data)
    ran = reading.provenance.examples["calibrate"] + reading.provenance.examples["select"]
    plain = list(torch.cat(data)[:ran].split(BATCH))

    def forward(batches: list[Tensor]) -> None:
        with torch.no_grad():
            for batch in batches:
                model(batch)

    times = interleaved(lambda: static(graph, data), lambda: forward(plain), lambda: forward(data))
    capped = [site.rows for site in reading.sites]
    return {
        "images": sum(len(batch) for batch in data),
        "images run": ran,
        "sites": len(reading.sites),
        "calibrate rows a site": f"{min(capped):,} to {max(capped):,}",
        "over passes of the images run": ratio(times[0], times[1]),
        "over passes of all images": ratio(times[0], times[2]),
    }


def peak(count: int) -> None:
    """Measure lazily made images in this process and print memory before and at its highest, in kB."""
    graph = nc.trace(resnet20(), next(iter(RandomImages(BATCH))))
    gc.collect()
    before = _memory("VmRSS")
    static(graph, RandomImages(count))
    print(before, _memory("VmHWM"))


def _memory(field: str) -> int:
    """Return a field of this process's status; unlike ``ru_maxrss`` it does not inherit the parent's peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def memory() -> dict[str, float]:
    peaks, above = {}, {}
    for count in (IMAGES, MANY):
        out = subprocess.run(
            [sys.executable, __file__, "--peak", str(count)],
            check=True,
            capture_output=True,
            text=True,
        )
        before, peaks[count] = map(int, out.stdout.split())
        above[count] = peaks[count] - before
    return {
        "peak for 20,000 over peak for 2,000": round(peaks[MANY] / peaks[IMAGES], 4),
        "the same, above the process before measuring": round(above[MANY] / max(above[IMAGES], 1), 4),
        "share of the peak for 2,000 that measuring adds": round(above[IMAGES] / peaks[IMAGES], 4),
    }


def r2_against_least_squares(units: int = 1_024, sampled: int = 48) -> dict[str, object]:
    """Compare R2 on correlated rows, some of whose columns are combinations of others, with regressions by numpy."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20 * units, units)) @ rng.standard_normal((units, units)) + 3 * rng.standard_normal(
        units
    )
    free = units - 24
    rows[:, free:] = rows[:, :24] + rows[:, 24:48] * rng.uniform(0.5, 2, 24)
    state = Covariance(units)
    state.update(torch.from_numpy(rows))
    ours = r2_on_others(state.finish())
    x = rows - rows.mean(0)
    # a regression on rows and one on their triangular factor have the same residual norm
    _, triangle = np.linalg.qr(x / np.linalg.norm(x, axis=0))
    chosen = rng.choice(units, sampled, replace=False)
    theirs = np.array([_r2(triangle, unit) for unit in chosen])
    return {
        "units": units,
        "rows": len(rows),
        "exact combinations planted": units - free,
        "units compared": sampled,
        "largest difference": float(f"{np.abs(ours[chosen] - theirs).max():.2g}"),
        "smallest and largest R2": [round(float(theirs.min()), 4), round(float(theirs.max()), 4)],
    }


def _r2(columns: np.ndarray, unit: int) -> float:
    others = np.delete(columns, unit, axis=1)
    fit, *_ = np.linalg.lstsq(others, columns[:, unit], rcond=None)
    return 1 - float(np.sum((columns[:, unit] - others @ fit) ** 2))


def cost_of_forks(graph: Graph, batch: Tensor) -> dict[str, object]:
    names = [site.name for site in graph.sites]

    def forked() -> None:
        graph.run(batch, forks={name: [torch.zeros_like] for name in names})

    def one_by_one() -> None:
        for name in names:
            graph.run(batch, overrides={name: torch.zeros_like})

    times = interleaved(forked, one_by_one)
    steps = len(graph.program.steps)
    suffixes = [graph.program.suffix(graph.site(name).node) for name in names]
    run = steps + sum(len(suffix.ahead) + len(suffix.dependent) for suffix in suffixes)
    return {
        "forks": len(names),
        "by time, the pass that they fork from included": ratio(*times),
        "by operations run": round(run / (steps * len(names)), 3),
    }


def main(folder: str = "../shared/data") -> None:
    there = (Path(folder) / "cifar10" / "train.parquet").exists()
    data = cifar(Path(folder)) if there else list(RandomImages(IMAGES))
    model = resnet20()
    graph = nc.trace(model, data[0])
    results = {
        "network": "CIFAR ResNet-20, width 16, random weights (seed 0)",
        "images": "CIFAR-10" if there else "random",
        "batch": BATCH,
        "repeats": REPEATS,
        "threads": torch.get_num_threads(),
        "bounds": BOUNDS,
        "time of all static measures": time_of_measure(model, graph, data),
        "memory": memory(),
        "forks at all sites over as many full passes": cost_of_forks(graph, data[0]),
        "R2": r2_against_least_squares(),
    }
    table.write(__file__, results)
    sys.exit(not all(_met(results).values()))


def _met(results: Mapping[str, Any]) -> dict[str, bool]:
    """Tell which bounds are met, and say so for those that are not."""
    time_, memory_ = results["time of all static measures"], results["memory"]
    forks, r2 = results["forks at all sites over as many full passes"], results["R2"]
    met = {
        "measure": time_["over passes of the images run"]["median"] <= BOUNDS["measure"],
        "memory": memory_["peak for 20,000 over peak for 2,000"] <= BOUNDS["memory"],
        "forks": forks["by time, the pass that they fork from included"]["median"] <= BOUNDS["forks"],
        "r2": r2["largest difference"] <= BOUNDS["r2"],
    }
    for name, held in met.items():
        if not held:
            print(f"bound missed: {name}", file=sys.stderr)
    return met


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        peak(int(sys.argv[2]))
    else:
        main(*sys.argv[1:])
