"""What CKA of all layers costs, in plain forward passes and beside the CKA packages on PyPI.

ResNet-20 and ResNet-56 for CIFAR (random weights, BatchNorm statistics set), random images, n = 256, one pass, every
operation. The packages see modules only, so they get a copy of the network whose input, sums and mean go through
``nn.Identity``: all compare the same 71 (197) tensors, and on one batch they must give the same matrix. Nothing in
this network is overwritten in place, so that all are right (``cka_correct.py`` is about the others).

Every candidate runs in a process of its own, one thread, CPU time (so that other processes on the machine count
little), after a batch that does not count; rounds are interleaved. Tracing, once a model, is not counted, and is given
apart. torch-cka makes every Gram matrix as often as there are layers and takes minutes a batch: it is measured on one
batch (under ``no_grad``, which it does not ask for itself), and all its batches cost the same.

    pip install torch-cka==0.21 pytorch-cka==1.1.3 tqdm matplotlib
    python benchmarks/cka_peers.py [rounds]

Packages that are not installed are left out by name.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import copy
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import table
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import netcaliper as nc
from netcaliper.compare.cka import cka
from netcaliper.trace.graph import Graph
from netcaliper.zoo.resnet import ResNet

N, SEED, ROUNDS = 256, 0, 3
IMAGES = {20: 2048, 56: 1024}
PEERS = {"torch-cka": "0.21", "pytorch-cka": "1.1.3"}
BOUNDS = {
    "exact, forward passes": 2.8,
    "exact of ResNet-56, forward passes": 2.7,
    "torch-cka over exact": 30,
    "pytorch-cka over exact": 1.0,
    "pytorch-cka over fast": 1.4,
    "largest difference of fast to exact": 1e-3,
}

torch.set_num_threads(1)


class Images(Dataset):
    """Random images in batches of 256, the same in every process."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(SEED)
        self.batches = torch.randn(count, 3, 32, 32, generator=generator).split(N)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        return self.batches[number], torch.zeros(len(self.batches[number]), dtype=torch.long)


class TappedBlock(nn.Module):
    """A block of the network with a module after its sum."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        for name, child in block.named_children():
            if name == "act2":
                self.add = nn.Identity()
            setattr(self, name, child)

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        block: Any = self
        branch = block.norm2(block.conv2(block.act1(block.norm1(block.conv1(x)))))
        return block.act2(block.add(branch + block.shortcut(x)))


class Tapped(nn.Module):
    """The network with a module wherever it computes something."""

    def __init__(self, model: ResNet) -> None:
        super().__init__()
        stages: Any = model.stages
        self.input, self.conv, self.norm, self.act = nn.Identity(), model.conv, model.norm, model.act
        self.blocks = nn.Sequential(*(TappedBlock(block) for stage in stages for block in stage))
        self.mean, self.head = nn.Identity(), model.head

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        x = self.blocks(self.act(self.norm(self.conv(self.input(x)))))
        return self.head(self.mean(x.mean((2, 3))))

    def layers(self) -> list[str]:
        """Return the names of the modules that compute something, in the order in which they run."""
        return [
            name
            for name, module in self.named_modules()
            if not any(module.children()) and not isinstance(module, nn.Sequential)
        ]


def network(depth: int) -> ResNet:
    """Return a network with random weights and the BatchNorm statistics of the images."""
    torch.manual_seed(SEED)
    model = ResNet(depth=depth, recipe="nguyen")
    with torch.no_grad():
        for number in range(2):
            model(Images(2 * N).batches[number])
    return model.eval()


def traced(model: ResNet) -> Graph:
    return nc.trace(model, Images(N).batches[0][:4])


def forward(depth: int) -> Callable[[DataLoader], None]:
    model = network(depth)

    def run(data: DataLoader) -> None:
        with torch.inference_mode():
            for images, _ in data:
                model(images)

    return run


def ours(depth: int, *, fast: bool) -> Callable[[DataLoader], np.ndarray]:
    graph = traced(network(depth))

    def run(data: DataLoader) -> np.ndarray:
        return cka(graph, data, "all", batch=N, passes=1, examples=max(IMAGES.values()), fast=fast).matrix

    return run


def pytorch_cka(depth: int) -> Callable[[DataLoader], np.ndarray]:
    from cka import compute_cka

    model = Tapped(copy.deepcopy(network(depth)))
    names = model.layers()

    def run(data: DataLoader) -> np.ndarray:
        return compute_cka(model, model, data, layers=names, device="cpu", progress=False)[0].numpy()

    return run


def torch_cka(depth: int) -> Callable[[DataLoader], np.ndarray]:
    from torch_cka import CKA

    model = Tapped(copy.deepcopy(network(depth)))
    names = model.layers()

    def run(data: DataLoader) -> np.ndarray:
        compared = CKA(model, model, model1_layers=names, model2_layers=names, device="cpu")
        with torch.no_grad():
            compared.compare(data)
        return compared.export()["CKA"].numpy()

    return run


CANDIDATES: dict[str, Callable[[int], Callable[[DataLoader], np.ndarray | None]]] = {
    "forward": forward,
    "exact": lambda depth: ours(depth, fast=False),
    "fast": lambda depth: ours(depth, fast=True),
    "pytorch-cka": pytorch_cka,
    "torch-cka": torch_cka,
}


def child(name: str, depth: int, images: int, warm: bool, out: str) -> None:
    """Time one candidate in this process; write its matrix, print its CPU seconds and peak memory in kB."""
    warnings.simplefilter("ignore")
    run = CANDIDATES[name](depth)
    if warm:
        run(DataLoader(Images(N), batch_size=None))
    data = DataLoader(Images(images), batch_size=None)
    start = time.process_time()
    matrix = run(data)
    seconds = time.process_time() - start
    if matrix is not None:
        np.save(out, matrix)
    print(seconds)


def measured(name: str, depth: int, images: int, folder: str, *, warm: bool = True) -> tuple[float, np.ndarray | None]:
    """Time one candidate in a new process."""
    out = Path(folder) / f"{name}-{depth}-{images}.npy"
    command = [sys.executable, __file__, "--run", name, str(depth), str(images), str(int(warm)), str(out)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return float(printed.split()[-1]), np.load(out) if out.exists() else None


def peak(what: str, depth: int) -> None:
    """Print the peak memory of this process in kB, with plain forward passes or with CKA of all layers."""
    model = network(depth)
    graph, data = traced(model), DataLoader(Images(IMAGES[depth]), batch_size=None)
    with torch.inference_mode():
        for images, _ in data:
            model(images)
    if what == "cka":
        cka(graph, data, "all", batch=N, passes=1, examples=IMAGES[depth])
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")))


def memory(depth: int, layers: int) -> dict[str, float | bool]:
    """Return what CKA adds to the peak memory of plain forward passes, in MB, and what it may add.

    Both processes have traced the network and hold the images.
    """
    kilobytes = {
        what: int(
            subprocess.run(
                [sys.executable, __file__, "--peak", what, str(depth)], check=True, capture_output=True, text=True
            ).stdout.split()[-1]
        )
        for what in ("forward", "cka")
    }
    above = (kilobytes["cka"] - kilobytes["forward"]) * 1024 / 1e6
    allowed = (4 * layers * N**2 + 2 * 4 * N * 16 * 32 * 32) / 1e6 + 64
    return {"above a plain forward": round(above, 1), "bound": round(allowed, 1), "holds": above <= allowed}


def installed() -> tuple[dict[str, str], list[str]]:
    """Return the versions of the peers that are there, and the names of the others."""
    found, missing = {}, []
    for name, wanted in PEERS.items():
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            missing.append(f"{name} is not installed: pip install {name}=={wanted}")
    return found, missing


def rounds_of(names: list[str], depth: int, rounds: int, folder: str) -> tuple[dict[str, list[float]], dict]:
    """Time candidates in turn; seconds a batch, and the last matrices."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    matrices = {}
    for number in range(rounds):
        for name in names:
            slow = name == "torch-cka"
            images = N if slow else IMAGES[depth]
            taken, matrices[name] = measured(name, depth, images, folder, warm=not slow)
            seconds[name].append(taken / (images // N))
            print(f"round {number + 1}: ResNet-{depth}, {name}", file=sys.stderr, flush=True)
    return seconds, matrices


def over(above: list[float], below: list[float]) -> dict[str, float]:
    """Return the ratio of the least and of the median times of all rounds."""
    return {"of minima": round(min(above) / min(below), 2), "of medians": round(median(above) / median(below), 2)}


def main(rounds: int) -> None:
    """Run everything and write ``results/cka_peers.json``."""
    found, missing = installed()
    for line in missing:
        print(line)
    with tempfile.TemporaryDirectory() as folder:
        names = ["forward", "exact", "fast", *found]
        seconds, matrices = rounds_of(names, 20, rounds, folder)
        deep, _ = rounds_of(["forward", "exact"], 56, rounds, folder)
        one = {name: measured(name, 20, N, folder, warm=False)[1] for name in ("exact", *found) if name != "torch-cka"}
        one |= {name: matrices[name] for name in found if name == "torch-cka"}
    start = time.process_time()
    traced(network(20))
    trace = (time.process_time() - start) / min(seconds["forward"])
    layers = len(matrices["exact"])
    ratios = {
        "exact, forward passes": over(seconds["exact"], seconds["forward"]),
        "fast, forward passes": over(seconds["fast"], seconds["forward"]),
        "exact of ResNet-56, forward passes": over(deep["exact"], deep["forward"]),
    }
    for name in found:
        ratios[f"{name}, forward passes"] = over(seconds[name], seconds["forward"])
        ratios[f"{name} over exact"] = over(seconds[name], seconds["exact"])
        ratios[f"{name} over fast"] = over(seconds[name], seconds["fast"])
    largest = float(np.abs(matrices["fast"] - matrices["exact"]).max())
    table.write(
        __file__,
        {
            "peers": found,
            "left out": missing,
            "seed": SEED,
            "threads": 1,
            "rounds": {name: len(each) for name, each in seconds.items()},
            "images": {f"ResNet-{depth}": images for depth, images in IMAGES.items()} | {"torch-cka": N},
            "examples a batch": N,
            "layers": {"ResNet-20": layers, "ResNet-56": len(Tapped(network(56)).layers())},
            "CPU time": ratios,
            "largest difference of fast to exact": float(f"{largest:.1e}"),
            "largest difference to exact on one batch": {
                name: float(f"{np.abs(matrix - one['exact']).max():.1e}")
                for name, matrix in one.items()
                if name != "exact" and matrix is not None
            },
            "memory, MB": memory(20, layers),
            "tracing once, forward passes of a batch": round(trace, 1),
            "bounds": BOUNDS,
        },
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--run", name, depth, images, warm, out]:
            child(name, int(depth), int(images), bool(int(warm)), out)
        case ["--peak", what, depth]:
            peak(what, int(depth))
        case [*given]:
            main(int(given[0]) if given else ROUNDS)
