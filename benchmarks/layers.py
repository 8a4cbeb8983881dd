"""Where block structure appears, and where it does not: the networks of ``layers_train.py``, each beside its twin.

A deep series (ResNet-14, 26, 38), a wide series (ResNet-14 at widths 1, 2, 4), all on 3,000 images of CIFAR-10, and a
search among plain networks that train longer, without weight decay. Read on a stratified 1,024 images of the test part
(16 x 16 pixels for the search). One training a cell: nothing is said about seeds.

A reading that is there is not made again, so that an interrupted run goes on where it was.

    python benchmarks/layers.py [--data FOLDER] [--checkpoints FOLDER] [NETWORK ...]
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import table
import torch
import vl_convert
from layers_train import EXAMPLES, runs

import netcaliper as nc
from netcaliper.reading.layers import LayersOf
from netcaliper.reading.layers_reading import LayersReading
from netcaliper.specs.data import load_data
from netcaliper.specs.model import load_model

IMAGES, TOGETHER, BATCH, PASSES = 1024, 512, 128, 4
UNTOUCHED = ("resnet14-x4",)
"""Networks whose residual blocks are not left out: it would take as long as all the rest together."""

CELLS = 40
"""Cells a side of a map in the figure."""

torch.set_num_threads(1)


def read(folder: Path, data: Any, into: Path) -> LayersReading:
    """Return the reading of a checkpoint, made if it is not there yet."""
    if into.exists():
        found = nc.load(into)
        assert isinstance(found, LayersReading)
        return found
    loaded = load_model(str(folder))
    build = loaded.twin
    assert build is not None
    last = [0.0]

    def progress(phase: str, done: int, total: int) -> None:
        if time.monotonic() - last[0] > 20:
            last[0] = time.monotonic()
            print(f"{folder.name}: {phase} {done:,} of {total:,}", file=sys.stderr, flush=True)

    reading = nc.layers(
        loaded.model,
        data,
        batch=BATCH,
        passes=PASSES,
        examples=IMAGES,
        together=TOGETHER,
        skip=("neighbors", "procrustes", *(("deletion",) if folder.name in UNTOUCHED else ())),
        twin=lambda: build(0),
        name=folder.name,
        data_name=f"CIFAR-10, {IMAGES:,} images of the test part",
        progress=progress,
    )
    reading.save(into)
    return reading


def row(reading: LayersReading, of: LayersOf, arrays: str) -> dict[str, Any]:
    """Return the numbers of a network, or of its twin."""
    cka = reading.arrays[f"{arrays}/cka"]
    upper = cka[np.triu_indices(len(cka), 1)]
    share = reading.arrays[f"{arrays}/pc_share"][:, 0]
    numbers: dict[str, Any] = {
        "accuracy": _rounded(of.accuracy),
        "layers": len(of.layers),
        "mean CKA": _rounded(np.nanmean(upper)),
        "first component, largest share": _rounded(np.nanmax(share)),
        "first component, mean share": _rounded(np.nanmean(share)),
        "distinct": of.depth.distinct,
        "of": of.depth.layers,
        "enough for a linear classifier": of.depth.sufficient,
        "residual blocks": of.depth.residual_blocks,
        "can go": of.depth.droppable,
        "blocks": [block.sentence for block in of.blocks],
        "block fraction": _rounded(sum(block.share for block in of.blocks if block.stratum == "all")),
    }
    for variant in ("normalized", "without_pc", "without_dominant"):
        matrix = reading.arrays.get(f"{arrays}/cka_{variant}")
        if matrix is not None:
            numbers[f"mean CKA, {variant.replace('_', ' ')}"] = _rounded(
                np.nanmean(matrix[np.triu_indices(len(cka), 1)])
            )
    if of.dominant is not None:
        numbers["dominant examples, share of variance"] = _rounded(of.dominant.variance)
    return numbers


def draw(readings: dict[str, LayersReading], path: Path) -> None:
    """Draw the matrices of all networks beside those of their twins."""
    cells = []
    for name, reading in readings.items():
        for who, prefix in (("trained", "0"), ("untrained", "twin")):
            matrix = reading.arrays[f"{prefix}/cka"]
            places = np.linspace(0, len(matrix) - 1, min(CELLS, len(matrix))).round().astype(int)
            small = matrix[np.ix_(places, places)]
            cells += [
                {"network": name, "who": who, "x": float(a / (len(small) - 1)), "y": float(b / (len(small) - 1)),
                 "w": 1 / (len(small) - 1), "cka": None if np.isnan(small[a, b]) else float(small[a, b])}
                for a in range(len(small))
                for b in range(len(small))
            ]  # fmt: skip
    source = alt.Data(values=cells)
    maps = [
        alt.hconcat(
            *(
                alt.Chart(source)
                .transform_filter((alt.datum.network == name) & (alt.datum.who == who))
                .transform_calculate(x2="datum.x + datum.w", y2="datum.y + datum.w")
                .mark_rect()
                .encode(
                    x=alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, 1.03], nice=False)),
                    x2="x2:Q",
                    y=alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 1.03], nice=False)),
                    y2="y2:Q",
                    color=alt.Color("cka:Q", scale=alt.Scale(scheme="magma", domain=[0, 1]), title="CKA"),
                )
                .properties(width=150, height=150, title=alt.Title(f"{name}, {who}", fontSize=10))
                for who in ("trained", "untrained")
            )
        )
        for name in readings
    ]
    rows = [alt.hconcat(*maps[start : start + 3]) for start in range(0, len(maps), 3)]
    path.write_bytes(vl_convert.vegalite_to_png(alt.vconcat(*rows).to_json(), scale=0.6))


def _rounded(value: float | np.floating | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 3)


def main() -> None:
    """Read what is trained, and write the table and the figure."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", default="../shared/data/cifar10", help="folder of train.parquet and test.parquet")
    arguments.add_argument("--checkpoints", type=Path, default=Path("out/layers"))
    arguments.add_argument("networks", nargs="*", help="all by default")
    given = arguments.parse_args()
    readings, numbers = {}, {}
    test = {
        "cifar": load_data(f"cifar10:{given.data}(standardize='none')", split="test", examples=IMAGES),
        "small": load_data(f"npz:{given.checkpoints / 'test16.npz'}", examples=IMAGES),
    }
    for name, (model, source, options) in runs("cifar", "small").items():
        folder = given.checkpoints / name
        if not folder.exists() or (given.networks and name not in given.networks):
            continue
        reading = read(folder, test[source], given.checkpoints / f"{name}-layers")
        readings[name] = reading
        assert reading.twin is not None
        numbers[name] = {
            "network": model,
            "training": " ".join(options),
            "trained": row(reading, reading.networks[0], "0"),
            "untrained": row(reading, reading.twin, "twin"),
        }
        print(f"{name}: {numbers[name]['trained']}", file=sys.stderr, flush=True)
    if given.networks:
        return
    table.write(
        __file__,
        {
            "trained on": f"{EXAMPLES:,} images of CIFAR-10",
            "read on": f"{IMAGES:,} images of the test part, {PASSES} passes in batches of {BATCH}; components on "
            f"{TOGETHER}",
            "networks": numbers,
        },
    )
    draw(readings, table.ROOT / "results" / "layers.png")


if __name__ == "__main__":
    main()
