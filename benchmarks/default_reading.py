"""What the default reading of a ResNet-20 costs, twin included, in forward passes of the data: estimated, run, timed.

The zoo's ResNet-20 with random weights on 2,000 random images of 32 x 32, one thread, CPU time. The head is shifted so
that the classes share the predictions: nothing is ablated where one class has them all, which the twin is free to do.

    python benchmarks/default_reading.py
"""

import sys
import time
from collections.abc import Callable

import table
import torch

import netcaliper as nc
from netcaliper.reading.reading import Reading
from netcaliper.zoo.models import build

IMAGES, BATCH = 2_000, 128
BOUND = 60

torch.set_num_threads(1)


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    model = build("resnet", {"depth": 20}, seed=0).eval()
    data = list(torch.randn(IMAGES, 3, 32, 32, generator=torch.Generator().manual_seed(0)).split(BATCH))

    def forward() -> None:
        with torch.no_grad():
            for batch in data:
                model(batch)

    with torch.no_grad():
        state = model.state_dict()
        bias = next(name for name in reversed(state) if name.endswith("bias"))
        state[bias] -= torch.cat([model(batch) for batch in data]).mean(0)
    graph = nc.trace(model, data[0])
    said: list[str] = []
    readings: list[Reading] = []
    before = seconds(forward)
    whole = seconds(lambda: readings.append(nc.measure(graph, data, progress=lambda phase, *_: said.append(phase))))
    after = seconds(forward)
    estimated = float(said[0].split()[0])
    ablation = readings[0].network.ablation
    table.write(
        __file__,
        {
            "network": "ResNet-20 of the zoo, random weights (seed 0)",
            "images": f"{IMAGES:,}, random",
            "bound": f"{BOUND} forward passes of all images",
            "estimate, printed first": said[0],
            "forward passes, as estimated": estimated,
            "forward passes, as run": round(readings[0].cost.passes, 1),
            "examples ablated": None if ablation is None else ablation.examples,
            "CPU time in forward passes": round(2 * whole / (before + after), 1),
        },
    )
    sys.exit(estimated > BOUND)


if __name__ == "__main__":
    main()
