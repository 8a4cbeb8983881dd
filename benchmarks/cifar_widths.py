"""How many units networks of three widths need on CIFAR-10: the networks of ``cifar_train.py``, each beside its twin.

ResNet-20 and the AlexNet-like network of "Frivolous Units" (Casper et al., AAAI 2021), as Glorot and as He normal, at
widths 1/2, 1 and 2 (He only up to 1), trained on 3,000 images. Each is read on a stratified 800 images of the test
part with the default reading, and on the paper's terms (redundant by its 95 % rule, prunable at its sites as the
largest of 3 permutations on 7 points). One training a cell: intervals are over permutations or examples, none is over
trainings.

A reading that is there is not made again, so that an interrupted run goes on where it was.

    python benchmarks/cifar_widths.py [--data FOLDER] [--checkpoints FOLDER] [NETWORK ...]
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import table
import torch
from cifar_train import EXAMPLES, WIDTHS, runs
from widths_chart import Point, draw

import netcaliper as nc
from netcaliper.fit.train import accuracy
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import NetworkReading, Share, SiteReading
from netcaliper.specs.data import load_data
from netcaliper.specs.model import load_model
from netcaliper.stats.intervals import clopper_pearson
from netcaliper.stats.spectrum import paper_growth

IMAGES = 800
MODES: Mapping[str, Mapping[str, Any]] = {"default": {}, "paper": {"mode": "paper", "only": ("redundant", "prunable")}}
FAMILIES = {
    "resnet20": "ResNet-20",
    "alexnet-glorot": "AlexNet-like, Glorot",
    "alexnet-he": "AlexNet-like, He",
}

Numbers = tuple[float, float | None, float | None]
"""Value, low and high of a share."""

torch.set_num_threads(1)


def read(folder: Path, data: Any, mode: str, into: Path) -> Reading:
    """Return the reading of a checkpoint, made if it is not there yet."""
    if into.exists():
        found = nc.load(into)
        assert isinstance(found, Reading)
        return found
    loaded = load_model(str(folder))
    build = loaded.twin
    assert build is not None
    faster = torch.channels_last  # than the order of the checkpoint, by a third; the numbers are the same
    reading = nc.measure(
        loaded.model.to(memory_format=faster),  # pyright: ignore[reportCallIssue] (torch's stub of `to`)
        data,
        name=loaded.name,
        data_name=f"CIFAR-10, {IMAGES:,} images of the test part",
        twin=lambda: build(0).to(memory_format=faster),  # pyright: ignore[reportCallIssue]
        state=into.with_name(f"{into.name}.state") if mode == "default" else None,
        progress=Progress(f"{loaded.name}, {mode}"),
        **MODES[mode],
    )
    reading.save(into)
    return reading


class Progress:
    """Says on stderr where a measurement is, at most every ten seconds."""

    def __init__(self, name: str) -> None:
        self.name, self.last = name, 0.0

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Take in where it is."""
        if time.monotonic() - self.last > 10:
            self.last = time.monotonic()
            print(
                f"{time.strftime('%H:%M:%S')}  {self.name}: {phase} {done:,} of {total:,}", file=sys.stderr, flush=True
            )


# ---- the table


def row(name: str, right: float, default: Reading, paper: Reading) -> dict[str, Any]:
    """Sum up one network."""
    assert default.twin is not None
    assert paper.twin is not None
    family, _, width = name.rpartition("-")
    network, at = default.network, default.network.needed_at_97
    low, high = clopper_pearson(round(right * IMAGES), IMAGES)
    return {
        "network": FAMILIES[family],
        "width": float(width),
        "parameters": network.parameters,
        "test accuracy": [round(right, 4), round(low, 4), round(high, 4)],
        "trained": shares(network, default.sites, paper.network),
        "twin": shares(default.twin.network, default.twin.sites, paper.twin.network),
        "agreement without what is not needed": [network.agreement, network.agreement_low],
        "needed at .97": None if at is None else at.model_dump(exclude={"by_site"}),
        "passes": round(default.cost.passes, 1),
        "sites": [
            of_site(ours, theirs)
            for ours, theirs in zip(default.sites, default.twin.sites, strict=True)
            if ours.group is None
        ],
    }


def shares(network: NetworkReading, sites: Sequence[SiteReading], paper: NetworkReading) -> dict[str, Any]:
    """Return the shares of a network, and how many units are needed at the sites where consumers could be asked."""
    asked = [site for site in sites if site.absorbable is not None]
    return {
        "units": network.units,
        "needed": network.needed_units,
        "needed where consumers were asked": f"{sum(s.needed or 0 for s in asked)} of {sum(s.units for s in asked)}",
        "redundant": numbers(network.redundant),
        "redundant, paper": numbers(paper.redundant),
        "prunable": numbers(network.prunable),
        "prunable, paper": numbers(paper.prunable),
    }


def of_site(site: SiteReading, twin: SiteReading) -> dict[str, Any]:
    """Sum up one site: the trained network, then the twin."""
    found: dict[str, Any] = {"site": site.name, "units": site.units, "rows": site.rows}
    for name in ("needed", "redundant", "prunable", "mean_correlation"):
        ours, theirs = (said(getattr(one, name)) for one in (site, twin))
        if ours or theirs:
            found[name] = f"{ours}; {theirs}"
    return found | ({} if site.reason is None else {"not judged": site.reason})


def said(value: Share | float | None) -> str:
    """Return a number, with its interval if it has one."""
    if isinstance(value, Share):
        ends = "" if value.low is None or value.high is None else f" [{value.low:.3f}, {value.high:.3f}]"
        return f"{value.value:.3f}{ends}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def numbers(share: Share | None) -> Numbers | None:
    """Return value, low and high."""
    if share is None:
        return None
    low, high = (None if end is None else round(end, 4) for end in (share.low, share.high))
    return round(share.value, 4), low, high


# ---- claims of the paper


def claims(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Test what the paper says of these networks on the rows, with intervals where both sides have one."""
    by = {(one["network"], one["width"]): one for one in rows}
    he, glorot = FAMILIES["alexnet-he"], FAMILIES["alexnet-glorot"]
    found = []
    for measure in ("redundant", "redundant, paper", "prunable", "prunable, paper"):
        kind, _, _ = measure.partition(",")
        for family in FAMILIES.values():
            widths = [by[family, width] for width in WIDTHS if (family, width) in by]
            values = [one["trained"][measure] for one in widths]
            if len(widths) == len(WIDTHS) and all(values):
                g = paper_growth([value[0] * width for value, width in zip(values, WIDTHS, strict=True)])
                claim = f"{family}: {kind} units grow faster than the width (g > 2)"
                found.append(
                    {
                        "claim": claim,
                        "by": measure,
                        "g": round(g, 2),
                        "widest against narrowest": versus(values[-1], values[0]),
                    }
                )
        for width in WIDTHS:
            if (he, width) in by and (glorot, width) in by:
                pair = [by[family, width]["trained"][measure] for family in (he, glorot)]
                more, less = pair if kind == "redundant" else pair[::-1]
                claim = (
                    f"width {width:g}: He is {'more redundant' if kind == 'redundant' else 'less prunable'} than Glorot"
                )
                found.append(
                    {"claim": claim, "by": measure, "He": pair[0], "Glorot": pair[1], "it": versus(more, less)}
                )
        for one in rows:
            claim = f"{one['network']}, width {one['width']:g}: more {kind} than its twin"
            found.append({"claim": claim, "by": measure, "it": versus(one["trained"][measure], one["twin"][measure])})
    return found


def versus(more: Numbers | None, less: Numbers | None) -> str:
    """Say whether the first share is larger: for sure if the intervals part, in value only if they do not."""
    if more is None or less is None:
        return "not judged"
    (value, low, high), (other, other_low, other_high) = more, less
    holds = "holds" if value > other else "does not hold"
    if low is None or high is None or other_low is None or other_high is None:
        return f"{holds} (no interval)"
    return holds if low > other_high or high < other_low else f"{holds} in value, intervals overlap"


def points(rows: Sequence[dict[str, Any]]) -> list[Point]:
    """Return what the chart shows."""
    return [
        Point(panel=one["network"], x=one["width"], measure=measure, kind=kind, share=found)
        for one in rows
        for kind in ("trained", "twin")
        for measure in ("prunable", "redundant")
        if (found := one[kind][measure]) is not None
    ]


def main() -> None:
    """Read what is asked for, then write the table of all that was read."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", default="../shared/data/cifar10", help="folder of train.parquet and test.parquet")
    arguments.add_argument("--checkpoints", type=Path, default=Path("out/cifar_widths"))
    arguments.add_argument("networks", nargs="*", default=list(runs()), help="all by default")
    given = arguments.parse_args()
    data = load_data(f"cifar10:{given.data}(standardize='image', examples={IMAGES})", split="test")
    rows = []
    for name in given.networks:
        folder = given.checkpoints / name
        readings = [read(folder, data, mode, folder.with_name(f"{name}-{mode}")) for mode in MODES]
        rows.append(row(name, accuracy(load_model(str(folder)).model, data), *readings))
    facts = {"training images": EXAMPLES, "test images read": IMAGES, "trainings a cell": 1, "seed": 0}
    table.write(__file__, facts | {"networks": rows, "claims": claims(rows)})
    draw(points(rows), table.ROOT / "results" / "cifar_widths.svg")


if __name__ == "__main__":
    main()
