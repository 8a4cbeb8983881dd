"""*Nonlinear Advantage* on CIFAR-10: when is it decided which units bend, and how many have to?

What is done stands in ``linearization_study.py``. To afford 3 seeds on two cores, the images are averaged down to 16 x
16 pixels and 8,000 of them are trained on; select and verify are 5,000 test images each. ResNet-20, and the same
network without shortcuts; ResNet-8 and a ResNet-20 of half the width are bent from the end alone.

    OMP_NUM_THREADS=1 python benchmarks/linearization_cifar.py --data ../shared/data/cifar10

``--network NAME`` makes the runs of one network, so that several processes can share a folder; ``--summary`` writes
the table from the runs that are there.
"""

import argparse
from pathlib import Path

import table
import torch
from linearization_study import Plan, Study, draw, summary

from netcaliper.zoo.batches import Batches
from netcaliper.zoo.cifar10 import Cifar10Options, cifar10
from netcaliper.zoo.data import Split

TRAINED, SELECT, VERIFY = 8000, 5000, 5000
MEAN, SD = 0.47, 0.25

torch.set_num_threads(1)


def small(folder: str, split: Split, examples: int) -> Batches:
    """Return a stratified subset of images of 16 x 16 pixels, standardized."""
    found = list(cifar10(folder, split, options=Cifar10Options(standardize="none", examples=examples)))
    x, y = (torch.cat([batch[i] for batch in found]) for i in (0, 1))
    x = (x.reshape(len(x), 3, 16, 2, 16, 2).mean((3, 5)) - MEAN) / SD
    return Batches(x, y, batch_size=64)


def plan(folder: str) -> Plan:
    """Return the study."""
    test = small(folder, "test", SELECT + VERIFY)
    return Plan(
        networks={
            "resnet20": ("resnet", {"depth": 20, "size": 16}),
            "plain20": ("resnet", {"depth": 20, "size": 16, "residual": False}),
            "resnet8": ("resnet", {"depth": 8, "size": 16}),
            "resnet20-half": ("resnet", {"depth": 20, "size": 16, "width": 0.5}),
        },
        starts=("resnet20", "plain20"),
        plain=6,
        penalty=3,
        final=2,
        omegas=(0.0014, 0.002, 0.004, 0.008),
        rate=0.05,
        alpha_rate=10.0,
        seeds=(0, 1, 2),
        train=small(folder, "train", TRAINED),
        select=Batches(test.x[:SELECT], test.y[:SELECT], batch_size=500),
        verify=Batches(test.x[SELECT:], test.y[SELECT:], batch_size=500),
        augment="flip",
        precision="bf16",
    )


def main() -> None:
    """Make the runs that are not there yet, and write what they say."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", default="../shared/data/cifar10", help="folder of train.parquet and test.parquet")
    arguments.add_argument("--folder", type=Path, default=Path("out/linearization/cifar"), help="of the runs")
    arguments.add_argument("--network", help="make the runs of this network alone, and write no table")
    arguments.add_argument("--summary", action="store_true", help="make no runs")
    given = arguments.parse_args()
    own = plan(given.data)
    study = Study(own, given.folder)
    rows = study.run(only="" if given.summary else given.network)
    if given.network is None:
        found = summary(own, rows) | {"kernel_velocity": {name: study.kernel_velocity(name) for name in own.starts}}
        table.write(__file__, {"plan": own.facts(), "summary": found, "runs": rows})
        draw(own, found, table.ROOT / "results" / "linearization_cifar.svg")


if __name__ == "__main__":
    main()
