"""Train the networks that ``shrink_peers.py`` makes smaller: four architectures, three seeds each.

ResNet-20, the AlexNet-like network at width 1/2, ResNet-14 of four times the width and a small ViT, each on the same
3,000 training images of CIFAR-10 (standardized by channel, averaged down to 16 x 16 pixels), with crops and flips: the
residual networks and the AlexNet by momentum with a cosine, the ViT by AdamW. A seed is the initial weights, the order
and the augmentation. A checkpoint that is there is not trained again, and an interrupted training goes on where it was.

Cost on one core, about, minutes a seed: ResNet-14 x4 15, ResNet-20 7, the ViT 8, the AlexNet 3; 1.6 hours in all. With
``--size 32`` (the images as they are) four times that.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

EXAMPLES = 3000
SEEDS = (0, 1, 2)
EPOCHS = {"resnet20": 60, "alexnet": 30, "resnet14-x4": 30, "vit": 60}
SPECS = {
    "resnet20": "zoo:resnet(depth=20, size={size})",
    "alexnet": "zoo:alexnet(width=0.5, size={size})",
    "resnet14-x4": "zoo:resnet(depth=14, width=4, recipe='nguyen', size={size})",
    "vit": "zoo:vit(width=64, depth=4, heads=4, patch={patch}, channels=3, size={size})",
}
MOMENTUM = [
    *("--optimizer", "sgd", "--momentum", "0.9", "--schedule", "cosine", "--augment", "crop_flip_reflect"),
    *("--batch-size", "64", "--weight-decay", "5e-4", "--decayed", "weights"),
]
OPTIONS: dict[str, list[str]] = {
    "resnet20": [*MOMENTUM, "--learning-rate", "0.05"],
    "alexnet": [*MOMENTUM, "--learning-rate", "0.005"],
    "resnet14-x4": [*MOMENTUM, "--learning-rate", "0.05"],
    "vit": [
        *("--optimizer", "adamw", "--learning-rate", "1e-3", "--weight-decay", "0.05", "--decayed", "weights"),
        *("--schedule", "cosine", "--warmup", "5", "--batch-size", "64", "--augment", "crop_flip_reflect"),
    ],
}


def images(folder: str | Path, split: str, examples: int | None, size: int, mode: str = "channel") -> Iterator[Tensor]:
    """Return images ``[N, 3, size, size]`` and labels of a part of CIFAR-10, standardized, then averaged down."""
    from netcaliper.zoo.cifar10 import Cifar10Options, cifar10

    data = cifar10(folder, split, options=Cifar10Options(standardize=mode, examples=examples))  # type: ignore[arg-type]
    x, y = (torch.cat([batch[i] for batch in data]) for i in (0, 1))
    by = 32 // size
    return iter((x.unflatten(3, (size, by)).unflatten(2, (size, by)).mean((3, 5)) if by > 1 else x, y))


def commands(data: str, out: Path, size: int) -> dict[str, list[str]]:
    """Return the command of every training by name, the cheapest networks first and a seed of all before the next."""
    spec = ["--data", f"cifar10:{data}(standardize='channel')", "--examples", str(EXAMPLES)]
    if size != 32:
        file = out / f"train{size}.npz"
        spec = ["--data", f"npz:{file}", "--split", "all"]
        if not file.exists():
            out.mkdir(parents=True, exist_ok=True)
            x, y = images(data, "train", EXAMPLES, size)
            np.savez(file, x=x.numpy(), y=y.numpy())
    found = {}
    for seed in SEEDS:
        for name, model in SPECS.items():
            own = [model.format(size=size, patch=size // 8), *spec, *OPTIONS[name]]
            found[f"{name}-{seed}"] = [*own, "--epochs", str(EPOCHS[name]), "--seed", str(seed)]
    return found


def main(given: Sequence[str] | None = None) -> None:
    """Train what is not there yet."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", default="../shared/data/cifar10", help="folder of train.parquet and test.parquet")
    arguments.add_argument("--out", type=Path, default=Path("out/shrink_networks"))
    arguments.add_argument("--size", type=int, default=16, choices=(32, 16), help="pixels of a side")
    arguments.add_argument("--only", nargs="*", help="names such as resnet20-0; all by default")
    asked = arguments.parse_args(given)
    for name, options in commands(asked.data, asked.out, asked.size).items():
        folder = asked.out / name
        if folder.exists() or (asked.only and name not in asked.only):
            continue
        command = [sys.executable, "-m", "netcaliper", "train", *options]
        if folder.with_name(f"{name}.training").exists():
            command.append("--resume")
        subprocess.run([*command, "-o", str(folder)], check=True)


if __name__ == "__main__":
    main()
