"""Train the networks that ``cifar_widths.py`` reads: ResNet-20 and the AlexNet-like network, each at widths 1/2, 1, 2.

3,000 training images of CIFAR-10, the recipes of Casper et al. (AAAI 2021) with fewer epochs: momentum 0.9; the
AlexNet at a quarter of batch size and learning rate (their k = 0.25: 32 and .0025), as Glorot normal and, up to width
1, as He normal; the ResNet at .1 for 128 examples with weight decay 2e-4, crops and flips. A checkpoint that is there
is not trained again, and an interrupted training goes on where it was.
"""

import argparse
import subprocess
import sys
from pathlib import Path

WIDTHS = (0.5, 1.0, 2.0)
EXAMPLES = 3000
ALEXNET = ["--learning-rate", "0.01", "--batch-size", "128", "--scale", "0.25", "--epochs", "12"]
RESNET = ["--learning-rate", "0.1", "--batch-size", "128", "--scale", "0.5", "--epochs", "20"]
COMMON = ["--optimizer", "sgd", "--momentum", "0.9", "--examples", str(EXAMPLES)]


def runs() -> dict[str, tuple[str, list[str]]]:
    """Return model spec and options of every training, by name, cheapest first."""
    found: dict[str, tuple[str, list[str]]] = {}
    for width in WIDTHS:
        found[f"resnet20-{width:g}"] = (
            f"zoo:resnet(depth=20, width={width})",
            [*RESNET, *COMMON, "--schedule", "step", "--weight-decay", "2e-4", "--augment", "crop_flip"],
        )
        for initializer in ("glorot_normal", "he_normal")[: 1 if width > 1 else 2]:
            found[f"alexnet-{initializer.removesuffix('_normal')}-{width:g}"] = (
                f"zoo:alexnet(width={width}, initializer={initializer!r})",
                [*ALEXNET, *COMMON, "--schedule", "exponential"],
            )
    return found


def main() -> None:
    """Train what is not there yet."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", default="../shared/data/cifar10", help="folder of train.parquet and test.parquet")
    arguments.add_argument("--out", type=Path, default=Path("out/cifar_widths"))
    given = arguments.parse_args()
    for name, (model, options) in runs().items():
        folder = given.out / name
        if folder.exists():
            continue
        command = [
            sys.executable,
            "-m",
            "netcaliper",
            "train",
            model,
            "--data",
            f"cifar10:{given.data}(standardize='image')",
            *options,
        ]
        if folder.with_name(f"{name}.training").exists():
            command.append("--resume")
        subprocess.run([*command, "-o", str(folder)], check=True)


if __name__ == "__main__":
    main()
