"""What bending costs a training step: time and saved tensors, against the plain network, in one process.

Steps of the plain and the bent network take turns, so that both meet the same machine; a ratio is that of the medians.
Saved tensors are counted once by storage.

    OMP_NUM_THREADS=2 python benchmarks/bending_cost.py
"""

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")

import table
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import netcaliper as nc
from netcaliper.zoo.activation import ActivationName, activation
from netcaliper.zoo.resnet import ResNet

BATCH, STEPS = 128, 12
ACTIVATIONS: tuple[ActivationName, ...] = ("relu", "leaky_relu", "gelu", "silu", "tanh", "hardswish")

BOUNDS = {"relu": (1.25, 1.5), "other": (1.6, 1.6)}
"""Largest ratios of a step's time and of its saved tensors."""


def network(name: ActivationName, in_place: bool) -> nn.Module:
    """Return ResNet-20 with another activation."""
    torch.manual_seed(0)
    model = ResNet(depth=20)
    for module in model.modules():
        for child, old in list(module.named_children()):
            if isinstance(old, nn.ReLU):
                setattr(module, child, nn.ReLU(inplace=True) if in_place else activation(name))
    return model.train()


def loss_of(model: nn.Module, x: Tensor, y: Tensor, *, bf16: bool) -> Tensor:
    """Return the loss of one forward pass."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
        return F.cross_entropy(model(x), y)


def saved_bytes(model: nn.Module, x: Tensor, y: Tensor, *, bf16: bool) -> int:
    """Return the bytes that the forward pass keeps for the backward pass, every storage once, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    kept: dict[int, tuple[int, Tensor]] = {}  # the tensor is held, so that no other takes its place in memory

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss_of(model, x, y, bf16=bf16)
    return sum(size for size, _ in kept.values())


def cost(name: ActivationName, *, in_place: bool, bf16: bool, device: str) -> dict[str, Any]:
    """Return the time of a bent step (median) and the bytes that it keeps, as ratios to the plain step."""
    model = network(name, in_place).to(device)
    x, y = torch.randn(BATCH, 3, 32, 32, device=device), torch.randint(10, (BATCH,), device=device)
    bend = nc.Bending(model, (x[:8], y[:8]))
    bend.model.train()
    pairs = [
        (model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)),
        (bend.model, torch.optim.SGD(bend.parameter_groups(5e-4), lr=0.01, momentum=0.9)),
    ]
    times: list[list[float]] = [[], []]
    for step in range(STEPS + 2):
        for which, (net, optimizer) in enumerate(pairs):
            begin = time.perf_counter()
            loss = loss_of(net, x, y, bf16=bf16)
            if which:
                loss = loss + bend.penalty()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if which:
                bend.snap(optimizer)
            if device == "cuda":
                torch.cuda.synchronize()
            if step >= 2:
                times[which].append(time.perf_counter() - begin)
    plain, bent = (statistics.median(of) for of in times)
    kept = [saved_bytes(net, x, y, bf16=bf16) for net, _ in pairs]
    return {
        "activation": name,
        "in place": in_place,
        "bf16": bf16,
        "time": round(bent / plain, 3),
        "saved tensors": round(kept[1] / kept[0], 3),
    }


def main() -> None:
    """Measure every case, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    cases = []
    for name in ACTIVATIONS:
        for in_place, bf16 in [(False, False), (False, True)] + [(True, False)] * (name == "relu"):
            cases.append(cost(name, in_place=in_place, bf16=bf16, device=device))
            print(cases[-1], flush=True)
    facts = {"batch": BATCH, "steps": STEPS, "device": device, "threads": torch.get_num_threads(), "bounds": BOUNDS}
    table.write(__file__, facts | {"cases": cases})


if __name__ == "__main__":
    main()
