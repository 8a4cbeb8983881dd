"""Train the networks that ``layers.py`` reads: a deep series, a wide series, and a search for block structure.

The series are those of Nguyen, Raghu and Kornblith (ICLR 2021) at a small scale: their ResNet (biases, He initial
weights, inputs in [0, 1], crops and flips) on 3,000 training images of CIFAR-10, at depths 14, 26, 38 and at widths 1,
2, 4. The search leaves what a pilot found without a clear block: many more steps (300 epochs), no weight decay, no
augmentation, plain networks, images of 16 x 16 pixels to afford it. A checkpoint that is there is not trained again,
and an interrupted training goes on where it was.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

EXAMPLES = 3000
COMMON = ["--optimizer", "sgd", "--momentum", "0.9", "--schedule", "cosine", "--precision", "bf16"]
SERIES = [
    *("--examples", str(EXAMPLES), "--batch-size", "64", "--learning-rate", "0.05"),
    *("--weight-decay", "2e-4", "--decayed", "weights", "--augment", "crop_flip_reflect"),
]
SEARCH = ["--split", "all", "--batch-size", "128", "--learning-rate", "0.01", "--epochs", "300"]
DEPTHS = (14, 26, 38)
WIDTHS = {2.0: 30, 4.0: 10}
"""Epochs by width: an epoch at width 4 costs about ten times one at width 1, and two hours were all there was."""


def runs(cifar: str, small: str) -> dict[str, tuple[str, str, list[str]]]:
    """Return model spec, data spec and options of every training, by name, in the order of their use."""
    found: dict[str, tuple[str, str, list[str]]] = {}
    for depth in DEPTHS:
        found[f"resnet{depth}-x1"] = (f"zoo:resnet(depth={depth}, recipe='nguyen')", cifar, [*SERIES, "--epochs", "30"])
    for units in (32, 128, 256):
        for depth in (10, 24):
            spec = f"zoo:mlp(inputs=768, widths={[units] * depth}, initializer='he_normal')"
            found[f"mlp{depth}-{units}-long"] = (spec, small, SEARCH)
    for name, residual in (("resnet", True), ("plain", False)):
        spec = f"zoo:resnet(depth=26, recipe='nguyen', size=16, residual={residual})"
        found[f"{name}26-16px-long"] = (spec, small, SEARCH)
    for width, epochs in WIDTHS.items():
        spec = f"zoo:resnet(depth=14, width={width}, recipe='nguyen')"
        found[f"resnet14-x{width:g}"] = (spec, cifar, [*SERIES, "--epochs", str(epochs)])
    return found


def write_small(folder: Path, out: Path) -> None:
    """Write ``EXAMPLES`` training and all test images of CIFAR-10 at 16 x 16 pixels, in [0, 1], as two files."""
    from netcaliper.zoo.cifar10 import Cifar10Options, cifar10
    from netcaliper.zoo.data import Split

    parts: dict[Split, int | None] = {"train": EXAMPLES, "test": None}
    for split, examples in parts.items():
        data = cifar10(folder, split, options=Cifar10Options(standardize="none", examples=examples))
        x, y = (np.concatenate([batch[i].numpy() for batch in data]) for i in (0, 1))
        np.savez(out / f"{split}16.npz", x=x.reshape(len(x), 3, 16, 2, 16, 2).mean((3, 5)).astype(np.float32), y=y)


def main() -> None:
    """Train what is not there yet."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", default="../shared/data/cifar10", help="folder of train.parquet and test.parquet")
    arguments.add_argument("--out", type=Path, default=Path("out/layers"))
    arguments.add_argument("--only", nargs="*", help="names of the networks to train; all by default")
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    small = given.out / "train16.npz"
    if not small.exists():
        write_small(Path(given.data), given.out)
    for name, (model, data, options) in runs(f"cifar10:{given.data}(standardize='none')", f"npz:{small}").items():
        folder = given.out / name
        if folder.exists() or (given.only and name not in given.only):
            continue
        command = [sys.executable, "-m", "netcaliper", "train", model, "--data", data, *COMMON, *options]
        if folder.with_name(f"{name}.training").exists():
            command.append("--resume")
        subprocess.run([*command, "-o", str(folder)], check=True)


if __name__ == "__main__":
    main()
