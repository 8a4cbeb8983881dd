"""The synthetic networks of "Frivolous Units" (Casper et al., AAAI 2021): one hidden layer on uncorrelated data.

Inputs are ``N(0, I)`` of 10 or 10,000 features, labels come from a random teacher of 32 ReLU units, students have 32 to
512 units, 1,000 training examples and momentum SGD of at most 50 epochs. Every network is read twice:

- on the paper's terms: 1,000 test examples, redundant by the 95 % rule on the covariance, prunable as the largest of 3
  permutations on 7 points, the learning rate chosen by test accuracy as the paper seems to have done;
- by ``nc.measure`` on fresh examples, with its intervals.

The same network untrained stands beside each. Where numbers differ from the paper's, one thing at a time is varied
(``controls``). About a quarter of an hour on one core.

    python benchmarks/synthetic_mlps.py
"""

import sys
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import product
from statistics import fmean
from typing import Any, Literal

import numpy as np
import table
import torch
from torch import Tensor
from widths_chart import Point, draw

import netcaliper as nc
from netcaliper.errors import DataError
from netcaliper.fit.train import accuracy, fit
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import NetworkReading, Share
from netcaliper.stats.ablation_curve import PAPER_PERMUTATIONS, PAPER_STEPS, first_crossing, t_interval
from netcaliper.stats.covariance import Covariance
from netcaliper.stats.spectrum import components_for, paper_growth, paper_redundant_share, spectrum
from netcaliper.zoo.batches import Batches
from netcaliper.zoo.mlp import MLP
from netcaliper.zoo.models import build
from netcaliper.zoo.teacher import TeacherOptions, teacher

UNITS = (32, 64, 128, 256, 512)
RATES = (1.0, 0.1, 0.01, 0.001, 0.0001)
FACTORS = (0.01, 1.0, 100.0, 10_000.0)
SEEDS = (0, 1, 2)
FACTOR = 1.0
TEACHERS = {10: 0, 10_000: 3}
"""The first teachers whose test labels are balanced: always the same answer is right for at most 55 %."""

RATE = {10: 1.0, 10_000: 0.1}
"""The learning rates most often chosen by test accuracy at that factor: where one thing is varied, and in readings."""

THRESHOLD = 0.8
BATCH = 128
"""Agreement, and examples a batch: the paper's."""

PAPER = {
    10: {
        "redundant": "about .7 (32 units) to .95 (512)",
        "kept": "11 to 28",
        "prunable": ".75 to .85",
        "accuracy": ".95",
    },
    10_000: {"redundant": "about .4 to .47", "prunable": "about .8", "accuracy": ".58"},
}
"""Read off the figures by eye, about +-10 %."""

FRESH = {10: 20_480, 10_000: 4_096}
"""Fresh examples that ``nc.measure`` reads; half of them give the rows of the covariance."""

Say = Callable[[str], None]

torch.set_num_threads(1)


@dataclass(frozen=True)
class Cell:
    """One training."""

    inputs: int
    units: int
    rate: float
    factor: float = FACTOR
    seed: int = 0
    teacher: int = 0
    epochs: int = 50
    examples: int = 1000

    def untrained(self) -> MLP:
        """Return the network as it is initialized."""
        arguments = {
            "inputs": self.inputs,
            "widths": (self.units,),
            "classes": 2,
            "init_sds": (1e-3, 1e-2),
            "init_scale": self.factor,
        }
        model = build("mlp", arguments, seed=self.seed)
        assert isinstance(model, MLP)
        return model.eval()


@lru_cache(maxsize=2)
def data(inputs: int, seed: int, examples: int) -> tuple[Batches, Batches]:
    """Return training and test part."""
    options = TeacherOptions(inputs=inputs, examples=examples, seed=seed)
    train, test = (teacher(part, batch_size=BATCH, options=options) for part in ("train", "test"))
    return train, test


def test_part(cell: Cell) -> Batches:
    """Return the 1,000 test examples."""
    return data(cell.inputs, cell.teacher, cell.examples)[1]


def trained(cell: Cell) -> MLP | None:
    """Train a network; ``None`` if it diverges.

    With fewer examples than features it is trained in the span of the examples: gradients of the first layer lie in
    it, so that momentum SGD on the coordinates ``X Q`` and ``W Q`` with ``Q`` an orthonormal basis is the same
    training, at a tenth of the cost for 10,000 features.
    """
    train, _ = data(cell.inputs, cell.teacher, cell.examples)
    model = cell.untrained()
    if cell.examples >= cell.inputs:
        return model if descend(model, train, cell) else None
    basis = span(cell.inputs, cell.teacher, cell.examples)
    first = model.get_parameter("hidden.0.linear.weight").detach()
    start = first @ basis
    small = MLP(basis.shape[1], (cell.units,), 2)
    small.load_state_dict(model.state_dict() | {"hidden.0.linear.weight": start})
    if not descend(small, Batches(train.x @ basis, train.y, batch_size=BATCH), cell):
        return None
    moved = small.get_parameter("hidden.0.linear.weight").detach() - start
    model.load_state_dict(small.state_dict() | {"hidden.0.linear.weight": first + moved @ basis.T})
    return model


@lru_cache(maxsize=1)
def span(inputs: int, seed: int, examples: int) -> Tensor:
    """Return an orthonormal basis ``[inputs, examples]`` of the span of the training examples."""
    return torch.linalg.qr(data(inputs, seed, examples)[0].x.double().T).Q.float()


def descend(model: MLP, train: Batches, cell: Cell) -> bool:
    """Train in place as in the paper; false if the loss becomes infinite."""
    try:
        fit(
            model,
            train,
            epochs=cell.epochs,
            learning_rate=cell.rate,
            optimizer="sgd",
            momentum=0.9,
            schedule="exponential",
            seed=cell.seed,
        )
    except DataError:
        return False
    return True


# ---- the paper's terms


@torch.no_grad()
def paper_terms(model: MLP, test: Batches, seed: int) -> dict[str, float]:
    """Read one hidden layer as the paper does."""
    hidden = model.hidden[0](test.x)
    covariance = np.cov(hidden.double().numpy().T)
    curves = random_ablation(model, hidden, seed)
    shares, _ = first_crossing(curves, THRESHOLD)
    return {
        "accuracy": accuracy(model, test),
        "redundant": paper_redundant_share(covariance),
        "kept": components_for(spectrum(covariance)),
        "prunable": float(shares.max()),
        "prunable, mean of the permutations": float(shares.mean()),
        "largest class": float(torch.bincount(model.head(hidden).argmax(1)).max() / len(hidden)),
    }


def random_ablation(model: MLP, hidden: Tensor, seed: int) -> np.ndarray:
    """Return the agreement ``[permutations, levels]`` while a growing part of the units is set to zero."""
    units = hidden.shape[1]
    plain = model.head(hidden).argmax(1)
    curves = np.empty((PAPER_PERMUTATIONS, PAPER_STEPS + 1))
    for p, order in enumerate(
        np.random.default_rng((seed, units)).permuted(np.tile(np.arange(units), (len(curves), 1)), axis=1)
    ):
        for k in range(PAPER_STEPS + 1):
            kept = torch.ones(units)
            kept[order[: k * units // PAPER_STEPS]] = 0
            curves[p, k] = (model.head(hidden * kept).argmax(1) == plain).double().mean()
    return curves


# ---- grids, selections and tables


def run(cells: Iterable[Cell], say: Say) -> list[dict[str, Any]]:
    """Train and read cells; one that diverges has no facts."""
    records = []
    for cell in cells:
        model = trained(cell)
        facts = (
            {} if model is None else paper_terms(model, data(cell.inputs, cell.teacher, cell.examples)[1], cell.seed)
        )
        records.append(asdict(cell) | facts)
        told = (
            "diverged" if model is None else "accuracy {accuracy:.3f} redundant {redundant:.3f} prunable {prunable:.3f}"
        )
        where = f"{cell.inputs} features, {cell.units} units, rate {cell.rate:g}, factor {cell.factor:g}"
        say(f"{where}, seed {cell.seed}: {told.format(**facts)}")
    return records


def chosen(records: Iterable[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """Return for each value of the keys the record with the best test accuracy, the first one if several are."""
    best: dict[Hashable, dict[str, Any]] = {}
    for record in records:
        key = tuple(record[k] for k in keys)
        if "accuracy" in record and (key not in best or record["accuracy"] > best[key]["accuracy"]):
            best[key] = record
    return list(best.values())


def table_of(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sum up records by width: means over seeds with their t intervals, and the growth factors of the means."""
    rows, means = [], {"redundant": [], "prunable": []}
    for units in sorted({record["units"] for record in records}):
        here = [record for record in records if record["units"] == units]
        row: dict[str, Any] = {"units": units, "rate": ", ".join(f"{rate:g}" for rate in rates_of(here))}
        for column in (
            "accuracy",
            "redundant",
            "kept",
            "prunable",
            "prunable, mean of the permutations",
            "largest class",
        ):
            row[column] = mean([record[column] for record in here])
        rows.append(row)
        for name, shares in means.items():
            shares.append(fmean(record[name] for record in here) * units / UNITS[-1])
    if len(rows) < len(UNITS):
        return {"by width": rows}
    # the paper takes the last 3 doublings for one and all 4 for the other
    g = {
        "redundant": round(paper_growth(means["redundant"], 3), 2),
        "prunable": round(paper_growth(means["prunable"]), 2),
    }
    return {"by width": rows, "growth": g}


def rates_of(records: Iterable[dict[str, Any]]) -> list[float]:
    """Return the learning rates, largest first."""
    return sorted({record["rate"] for record in records}, reverse=True)


def mean(values: Sequence[float]) -> str:
    """Return a mean over networks with its 95 % t interval."""
    places = 1 if max(values) > 1 else 3
    found = f"{fmean(values):.{places}f}"
    interval = t_interval(np.array(values)) if places == 3 else None
    return found if interval is None else f"{found} [{interval[0]:.3f}, {interval[1]:.3f}]"


# ---- studies


def study(inputs: int, say: Say) -> tuple[dict[str, Any], list[Point]]:
    """Read the networks of one input dimension, by initialization factor, and what the numbers hang on.

    Returns:
        The tables, and what the chart shows.
    """
    best = Cell(inputs, UNITS[0], RATES[0], teacher=TEACHERS[inputs])
    grid = [
        replace(best, seed=seed, factor=factor, units=units, rate=rate)
        for seed, factor, units, rate in product(SEEDS, FACTORS, UNITS, RATES)
    ]
    records = run(grid, say)
    panels = {f"factor {f:g}": [r for r in records if r["factor"] == f] for f in FACTORS} | {"any factor": records}
    stable = [record for record in panels[f"factor {FACTOR:g}"] if "accuracy" in record]
    rates = {f"rate {rate:g}": [record for record in stable if record["rate"] == rate] for rate in RATES[:3]}
    base = [Cell(inputs, units, RATE[inputs], seed=s, teacher=TEACHERS[inputs]) for s, units in product(SEEDS, UNITS)]
    readings = [read([cell for cell in base if cell.units == units], say) for units in UNITS]
    tables = {
        "paper, by eye": PAPER[inputs],
        "rate by test accuracy": {name: table_of(chosen(some, "units", "seed")) for name, some in panels.items()},
        "diverged": f"{sum('accuracy' not in record for record in records)} of {len(records)} trainings",
        f"one rate, factor {FACTOR:g}": {name: table_of(found) for name, found in rates.items() if found},
        "untrained": table_of([asdict(c) | paper_terms(c.untrained(), test_part(c), c.seed) for c in base]),
        f"one thing varied, from rate {RATE[inputs]:g}, factor {FACTOR:g}": controls(base, say),
        "by nc.measure, seed by seed": [by_measure(some) for some in readings],
    }
    return tables, [point for some in readings for point in points(f"{inputs:,} features", some)]


def controls(base: Sequence[Cell], say: Say) -> dict[str, Any]:
    """Vary one thing at a time."""
    quick = base[0].inputs == 10  # 10,000 features cost a hundred times as much
    some = [cell for cell in base if cell.units in ((32, 128, 512) if quick else (128,))]

    def vary(name: str, values: Iterable[Any], cells: Sequence[Cell]) -> list[dict[str, Any]]:
        return [
            {name: value} | row
            for value in values
            for row in table_of(run([replace(cell, **{name: value}) for cell in cells], say))["by width"]
        ]

    found = {
        "teacher": vary("teacher", range(8), [cell for cell in some if cell.seed == SEEDS[0]]),
        "rows of the covariance": rows_of_covariance(some, say),
    }
    if quick:
        found["epochs"] = vary("epochs", (10, 50, 200), some)
        found["training examples"] = vary("examples", (1_000, 10_000), some)
        found["seeds"] = table_of(run([replace(base[0], seed=seed) for seed in range(20)], say))["by width"]
    return found


def rows_of_covariance(cells: Sequence[Cell], say: Say) -> list[dict[str, Any]]:
    """Read the redundant share of the same networks on 1,000 and on 10,000 fresh examples."""
    found = []
    for cell in cells:
        for kind, model in (("trained", trained(cell)), ("untrained", cell.untrained())):
            assert model is not None
            state, generator, shares = Covariance(cell.units), torch.Generator().manual_seed(cell.seed), {}
            for rows in range(1000, 10_001, 1000):
                with torch.no_grad():
                    state.update(model.hidden[0](torch.randn(1000, cell.inputs, generator=generator)))
                if rows in (1000, 10_000):
                    shares[f"{rows:,} rows"] = round(paper_redundant_share(state.finish().covariance), 3)
            found.append({"units": cell.units, "seed": cell.seed, "network": kind} | shares)
            say(str(found[-1]))
    return found


# ---- nc.measure


def read(cells: Sequence[Cell], say: Say) -> list[Reading]:
    """Read networks with ``nc.measure``, each beside itself at the start of its training."""
    readings = []
    for cell in cells:
        model = trained(cell)
        assert model is not None
        fresh = torch.randn(FRESH[cell.inputs], cell.inputs, generator=torch.Generator().manual_seed(1_000 + cell.seed))
        fresh_batches = Batches(fresh, batch_size=1000)
        readings.append(nc.measure(model, fresh_batches, twin=cell.untrained, seed=cell.seed))
        say(f"{cell.inputs} features, {cell.units} units, seed {cell.seed}: read")
    return readings


def by_measure(readings: Sequence[Reading]) -> dict[str, Any]:
    """Sum up the readings of networks of one width, one a seed."""
    first = readings[0]
    row: dict[str, Any] = {"units": first.network.units, "rows": first.sites[0].rows}
    row["examples ablated"] = first.network.ablation.examples
    for kind, networks in networks_of(readings).items():
        for name in ("redundant", "prunable"):
            row[f"{name}, {kind}"] = [said(getattr(network, name)) for network in networks]
        row[f"needed, {kind}"] = ", ".join(str(network.needed_units) for network in networks)
    row["agreement without the rest"] = ", ".join(f"{r.network.agreement:.3f}" for r in readings)
    row["needed at .97"] = ", ".join(str(r.network.needed_at_97.units) for r in readings)
    return row


def networks_of(readings: Sequence[Reading]) -> dict[Literal["trained", "twin"], list[NetworkReading]]:
    """Return the networks in one row each, trained and untrained."""
    return {"trained": [r.network for r in readings], "twin": [r.twin.network for r in readings]}


def points(panel: str, readings: Sequence[Reading]) -> list[Point]:
    """Return means over networks with their t intervals; where one is undefined, the mean would not be theirs."""
    found = []
    for kind, networks in networks_of(readings).items():
        for name in ("redundant", "prunable"):
            shares = [getattr(network, name) for network in networks]
            if None not in shares:
                values = np.array([one.value for one in shares])
                low, high = t_interval(values) or (None, None)
                found.append(Point(panel, networks[0].units, name, kind, (float(values.mean()), low, high)))
    return found


def said(share: Share | None) -> str:
    """Return a share with its own interval."""
    return "undefined" if share is None else f"{share.value:.3f} [{share.low:.3f}, {share.high:.3f}]"


def main() -> None:
    """Study both dimensions."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {text}", file=sys.stderr, flush=True)

    facts = {"seeds": SEEDS, "rates": RATES, "factors": FACTORS, "threads": torch.get_num_threads()}
    studies = {f"{inputs:,} features": study(inputs, say) for inputs in TEACHERS}
    table.write(__file__, facts | {name: tables for name, (tables, _) in studies.items()})
    drawn = [point for _, some in studies.values() for point in some]
    draw(drawn, table.ROOT / "results" / "synthetic_mlps.svg", x="units")


if __name__ == "__main__":
    main()
