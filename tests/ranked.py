"""What every process of ``tests/feed/test_ranks.py`` runs under torchrun: measure together, then fall out."""

import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn

import netcaliper as nc
from netcaliper.cli.main import app
from netcaliper.errors import NetcaliperError

EXAMPLES, BATCH = 1000, 64

QUICK = ("unit_states", "redundant", "needed")

NET, DATA = "command_line:small_net", "command_line:small_data"
COMMAND = (NET, "--data", DATA, "--only", ",".join(QUICK), "--no-twin")


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 10)
    ).eval()


def cnn() -> nn.Module:
    first = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    return nn.Sequential(*first, nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 10)).eval()


def data() -> list[Any]:
    """Sixteen batches, the last one smaller: no number of processes but one divides their examples evenly."""
    pixels, classes = load_digits(return_X_y=True)
    inputs = torch.tensor(pixels[:EXAMPLES] / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    labels = torch.tensor(classes[:EXAMPLES], dtype=torch.int64)
    return list(zip(inputs.split(BATCH), labels.split(BATCH), strict=True))


def readings(folder: Path) -> dict[str, Any]:
    """Measure both networks with the weights that lie in a folder."""
    nets = {"mlp": mlp(), "cnn": cnn()}
    for name, net in nets.items():
        net.load_state_dict(torch.load(folder / f"{name}.pt", weights_only=True))
    return {
        "mlp": nc.measure(nets["mlp"], data(), ablation="mean", twin=mlp),
        "cnn": nc.measure(nets["cnn"], data(), only=QUICK, twin=True),
    }


def refusal(call: Any) -> str:
    """Return the words of an error that must come."""
    try:
        call()
    except NetcaliperError as error:
        return str(error)
    raise AssertionError("nothing was refused")


def main(folder: Path) -> None:
    """Run the command in three processes, write the reading of each, then go on in two of them."""
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    app(["measure", *COMMAND, "-o", str(folder / "reading")], standalone_mode=False)
    for world in (3, 2):
        if rank >= world:
            return
        join(folder, rank, world, 120)
        for name, reading in readings(folder).items():
            reading.save(folder / f"{name}-{rank}-of-{world}")
        told = [*refusals(folder, rank), overflow()] if world == 2 else []
        dist.destroy_process_group()
        if told:
            (folder / f"told-{rank}.txt").write_text("\n".join([*told, *silence(folder, rank)]))


def join(folder: Path, rank: int, world: int, seconds: float) -> None:
    """Come together in a file: the command has joined and left the processes in torchrun's way."""
    store = dist.FileStore(str(folder / f"{world}-{seconds}"), world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=timedelta(seconds=seconds))


def refusals(folder: Path, rank: int) -> list[str]:
    """Return what processes are told that have other weights or data, or want to go on from a folder."""
    torch.manual_seed(rank)
    x = torch.randn(100, 1, 8, 8)
    net = cnn()
    weights = refusal(lambda: nc.measure(net, [x], only=QUICK, twin=False))
    net.load_state_dict(torch.load(folder / "cnn.pt", weights_only=True))
    others = refusal(lambda: nc.measure(net, [x], only=QUICK, twin=False))
    return [weights, others, refusal(lambda: nc.measure(net, [x], state=folder / "state"))]


def overflow() -> str:
    """Return what processes are told when examples that only the second one runs are too much for the network."""
    torch.manual_seed(0)
    net = mlp()
    with torch.no_grad():
        net.get_parameter("1.weight").fill_(1.0)
    x = torch.cat([inputs for inputs, _ in data()])
    x[100:130] = 3e38
    return refusal(lambda: nc.measure(net, list(x.split(BATCH)), only=QUICK))


def silence(folder: Path, rank: int) -> list[str]:
    """Return what a process is told whose partner does not answer, and how long that took."""
    join(folder, rank, 2, 2)
    if rank:
        time.sleep(4)
        return []
    start = time.monotonic()
    said = refusal(lambda: nc.measure(cnn(), data(), only=QUICK, twin=False))
    return [said, f"{time.monotonic() - start:.1f}"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
