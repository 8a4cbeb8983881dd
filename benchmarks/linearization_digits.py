"""*Nonlinear Advantage* on the digits of scikit-learn, in minutes; what is done stands in ``linearization_study.py``.

ResNet-8 with 8, 16 and 32 channels, and the same without shortcuts; a ResNet-20 and a ResNet-8 of twice the width are
bent from the end alone. 900 of the 1,347 training digits are trained on; select is what is left of them, verify the 450
test digits. A linear classifier gets 94 % of them, so little has to bend.
``tests/test_linearization_study.py`` runs a smaller grid of the same.

    OMP_NUM_THREADS=1 python benchmarks/linearization_digits.py --folder out/linearization/digits
"""

import argparse
from pathlib import Path

import numpy as np
import table
import torch
from linearization_study import Plan, Study, draw, summary

from netcaliper.zoo.data import digits

TRAINED = 900

torch.set_num_threads(1)


def plan(seeds: int = 6) -> Plan:
    """Return the study."""
    select, train = digits("train", batch_size=64).parted(np.arange(1347) < TRAINED)
    image = {"channels": 1, "size": 8}
    return Plan(
        networks={
            "resnet8": ("resnet", {"depth": 8, "width": 0.5} | image),
            "plain8": ("resnet", {"depth": 8, "width": 0.5, "residual": False} | image),
            "resnet20": ("resnet", {"depth": 20, "width": 0.5} | image),
            "resnet8-double": ("resnet", {"depth": 8, "width": 1.0} | image),
        },
        starts=("resnet8", "plain8"),
        plain=20,
        penalty=10,
        final=10,
        omegas=(0.002, 0.004, 0.008, 0.016),
        rate=0.05,
        alpha_rate=10.0,
        seeds=tuple(range(seeds)),
        train=train,
        select=select,
        verify=digits("test"),
    )


def main() -> None:
    """Make the runs that are not there yet, and write what they say."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path("out/linearization/digits"), help="of the runs")
    own = plan()
    study = Study(own, arguments.parse_args().folder)
    rows = study.run()
    found = summary(own, rows) | {"kernel_velocity": {name: study.kernel_velocity(name) for name in own.starts}}
    table.write(__file__, {"plan": own.facts(), "summary": found, "runs": rows})
    draw(own, found, table.ROOT / "results" / "linearization_digits.svg")


if __name__ == "__main__":
    main()
