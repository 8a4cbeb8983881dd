"""What ``linearization_digits.py`` and ``linearization_cifar.py`` do: *Nonlinear Advantage* as a grid of trainings.

Every network is trained for ``plain`` epochs at a constant learning rate. From the weights at the start, in the middle
and at the end of that, a copy is bent: ``penalty`` epochs with the penalty at the same rate, then what still bends is
frozen and the copy trains on without the penalty, its rate falling to zero along a cosine, until it has had as many
epochs as every other run (``plain + penalty + final``). So all runs cost the same and differ only in *when* it was
decided which units bend. The reference is the network itself, trained as long, without a penalty.

Baselines, from the end of the plain training: as many channels of every site as the penalty left, drawn at random, and
one slope a site instead of one a channel (its penalty weighs as much as those of all its units).

The examples that are held out are parted in two: *select* decides where a curve falls below the reference minus one
point, *verify* gives the accuracies that are reported.

A run that is on disk is not made again, so an interrupted study goes on where it was.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import altair as alt
import numpy as np
import torch
import vl_convert
from safetensors.torch import load_file, save_file
from scipy import stats
from torch import nn

from netcaliper.bending.bending import Bending
from netcaliper.compare.ntk_velocity import ntk_velocity
from netcaliper.errors import Diverged
from netcaliper.fit.precision import Precision
from netcaliper.fit.schedule import Schedule
from netcaliper.fit.train import Training, fit
from netcaliper.measure.path_length import path_length
from netcaliper.report.figures_export import CONFIG
from netcaliper.stats.core_size import core_size
from netcaliper.zoo.batches import Batches
from netcaliper.zoo.models import build

Kind = Literal["reference", "learned", "random", "layer"]
DROP = 0.01
"""One point of accuracy: fixed before the runs."""


@dataclass(frozen=True)
class Plan:
    """A study.

    Attributes:
        networks: zoo name and arguments, by the name of the network in the results.
        starts: names of the networks that are bent from the start, the middle and the end; others from the end alone.
        plain, penalty, final: epochs of the three phases.
        omegas: penalties.
        rate: learning rate.
        alpha_rate: factor on it for the alphas.
        seeds: of weights and order.
        train, select, verify: labelled examples.
        augment, precision: see ``netcaliper.fit.train.fit``.
    """

    networks: Mapping[str, tuple[str, Mapping[str, Any]]]
    starts: Sequence[str]
    plain: int
    penalty: int
    final: int
    omegas: Sequence[float]
    rate: float
    alpha_rate: float
    seeds: Sequence[int]
    train: Batches
    select: Batches
    verify: Batches
    augment: Any = "none"
    precision: Precision = "float32"

    def facts(self) -> dict[str, Any]:
        """Return what determines the runs, as plain data."""
        names = ("starts", "plain", "penalty", "final", "omegas", "rate", "alpha_rate", "seeds", "augment", "precision")
        sizes = {part: len(getattr(self, part).x) for part in ("train", "select", "verify")}
        networks = {name: f"{family}{dict(arguments)}" for name, (family, arguments) in self.networks.items()}
        return {"networks": networks, "examples": sizes, "batch": self.train.batch_size} | {
            name: getattr(self, name) for name in names
        }


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        network: name of the network.
        seed: of its weights.
        kind: what decides which units bend.
        start: epoch from which it is bent.
        omega: penalty (of the learned run that a random one copies).
    """

    network: str
    seed: int
    kind: Kind
    start: int
    omega: float

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{self.network}-{self.seed}-{self.kind}-{self.start}-{self.omega:g}"


def cells(plan: Plan) -> Iterator[Cell]:
    """Give all runs, seed by seed, so that an interrupted study has whole grids; baselines of later seeds come last."""
    for seed in plan.seeds:
        for network in plan.networks:
            yield Cell(network, seed, "reference", plan.plain, 0.0)
            for start in (0, plan.plain // 2, plan.plain) if network in plan.starts else (plan.plain,):
                for omega in plan.omegas:
                    yield Cell(network, seed, "learned", start, omega)
        if seed == plan.seeds[0]:
            yield from _baselines(plan, seed)
    for seed in plan.seeds[1:]:
        yield from _baselines(plan, seed)


def _baselines(plan: Plan, seed: int) -> Iterator[Cell]:
    kinds: tuple[Kind, ...] = ("random", "layer")
    for network in plan.starts:
        for kind in kinds:
            for omega in plan.omegas:
                yield Cell(network, seed, kind, plan.plain, omega)


@dataclass
class Study:
    """A plan and the folder of its runs."""

    plan: Plan
    folder: Path
    found: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self, only: str | None = None) -> list[dict[str, Any]]:
        """Make the runs that are not there yet, of one network if ``only`` names it, and return all that are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for cell in cells(self.plan):
            file = self.folder / f"{cell.name}.json"
            if not file.is_file() and (only is None or cell.network == only):
                row = self._made(cell)
                file.write_text(json.dumps(row), encoding="utf-8")
                print(cell.name, row["status"], f"active {row['share']:.3f}", f"right {row['verify']:.4f}", flush=True)
            if file.is_file():
                rows.append(json.loads(file.read_text(encoding="utf-8")))
        return rows

    def _made(self, cell: Cell) -> dict[str, Any]:
        model = self._started(cell)
        if cell.kind == "reference":
            self._fit(model, self.plan.penalty, cell.seed, phase=1)
            self._fit(model, self.plan.final, cell.seed, phase=2, schedule="cosine")
            bending = Bending(model, self._example())
            return self._row(cell, bending, "ok")
        layer = cell.kind == "layer"
        bending = Bending(
            model,
            self._example(),
            granularity="layer" if layer else "channel",
            omega=cell.omega,
            alpha_rate=self.plan.alpha_rate,
        )
        if layer:
            bending.omega = cell.omega * float(np.mean([len(units) for units in bending.active().values()]))
        if cell.kind == "random":
            bending.set_active(self._drawn(cell))
            bending.freeze()
        try:
            penalized = None if cell.kind == "random" else bending
            self._fit(bending.model, self.plan.penalty, cell.seed, phase=1, bending=penalized)
            bending.freeze()
            rest = self.plan.plain - cell.start + self.plan.final
            self._fit(bending.model, rest, cell.seed, phase=2, schedule="cosine")
        except Diverged:
            return self._row(cell, bending, "diverged")
        collapsed = not any(bool(units.any()) for units in bending.active().values())
        return self._row(cell, bending, "collapsed" if collapsed else "ok")

    def _started(self, cell: Cell) -> nn.Module:
        """Return the network at the epoch from which a run is bent; its plain training is made once."""
        return self.at_epoch(cell.network, cell.seed, cell.start)

    def at_epoch(self, network: str, seed: int, epoch: int) -> nn.Module:
        """Return a network after an epoch of its plain training, which is made if it is not there."""
        family, arguments = self.plan.networks[network]
        model = build(family, arguments, seed=seed)
        if epoch == 0:
            return model

        def keep(so_far: Training) -> None:
            held = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
            save_file(held, self._file(network, seed, so_far.kept_epoch))

        if not self._file(network, seed, self.plan.plain).is_file():
            self._fit(model, self.plan.plain, seed, phase=0, after_epoch=keep)
        model.load_state_dict(load_file(self._file(network, seed, epoch)))
        return model.eval()

    def _file(self, network: str, seed: int, epoch: int) -> Path:
        return self.folder / f"{network}-{seed}-epoch-{epoch}.safetensors"

    def kernel_velocity(self, network: str) -> list[dict[str, float]]:
        """Return how far the tangent kernel moves in every epoch of the plain training, on 200 select examples.

        ``1 - <K_t, K_t+1> / (|K_t| |K_t+1|)``, of the first seed.
        """
        seed = self.plan.seeds[0]
        models = {f"epoch-{n:04d}": self.at_epoch(network, seed, n) for n in range(self.plan.plain + 1)}
        found = ntk_velocity(models, [x for x, _ in self.plan.select], examples=200)
        return [{"epoch": n + 0.5, "velocity": float(one)} for n, one in enumerate(found.distance)]

    def _fit(
        self, model: nn.Module, epochs: int, seed: int, *, phase: int, schedule: Schedule = "constant", **more: Any
    ) -> None:
        if epochs:
            fit(
                model,
                self.plan.train,
                epochs=epochs,
                learning_rate=self.plan.rate,
                optimizer="sgd",
                momentum=0.9,
                weight_decay=5e-4,
                schedule=schedule,
                augment=self.plan.augment,
                precision=self.plan.precision,
                seed=100 * seed + phase,
                **more,
            )

    def _drawn(self, cell: Cell) -> dict[str, torch.Tensor]:
        """Return as many units of every site as the learned run left, drawn at random."""
        learned = Cell(cell.network, cell.seed, "learned", cell.start, cell.omega)
        sites = json.loads((self.folder / f"{learned.name}.json").read_text(encoding="utf-8"))["sites"]
        random = np.random.default_rng(cell.seed)
        return {site: torch.from_numpy(random.permutation(units) < active) for site, (active, units) in sites.items()}

    def _example(self) -> torch.Tensor:
        return next(iter(self.plan.train))[0][:32]

    def _row(self, cell: Cell, bending: Bending, status: str) -> dict[str, Any]:
        active = bending.active()
        length = path_length(bending.graph, active={site: units.numpy() for site, units in active.items()})
        sites = {site: [int(units.sum()), len(units)] for site, units in active.items()}
        right = {part: classified(bending.model, getattr(self.plan, part)) for part in ("select", "verify")}
        counts = np.array(list(sites.values()))
        return {
            "network": cell.network,
            "seed": cell.seed,
            "kind": cell.kind,
            "start": cell.start,
            "omega": cell.omega,
            "status": status,
            "share": float(counts[:, 0].sum() / counts[:, 1].sum()),
            "active": int(counts[:, 0].sum()),
            "path_length": length.mean,
            "path_length_normalized": length.normalized,
            "select": float(right["select"].sum(0)[0] / right["select"].sum(0)[1]),
            "verify": float(right["verify"].sum(0)[0] / right["verify"].sum(0)[1]),
            "by_class": [round(float(hits / examples), 4) for hits, examples in right["verify"]],
            "sites": sites,
        }


@torch.no_grad()
def classified(model: nn.Module, data: Batches) -> np.ndarray:
    """Return how many examples of each class are right, and how many there are, ``[classes, 2]``, in eval mode."""
    model.eval()
    answers, labels = zip(*((model(x).argmax(1), y) for x, y in data), strict=True)
    right, y = torch.cat(answers) == torch.cat(labels), torch.cat(labels)
    return np.array([[int(right[y == c].sum()), int((y == c).sum())] for c in range(int(y.max()) + 1)])


# what the runs say


def crossing(shares: Sequence[float], accuracies: Sequence[float], least: float) -> float | None:
    """Return the smallest active share at which a curve, read from the largest share down, is not below ``least``.

    Interpolated between the last point that is good enough and the first that is not; ``None`` if the first is not
    good enough, the smallest share if all are.
    """
    return core_size(np.asarray(shares, dtype=np.float64), np.asarray(accuracies, dtype=np.float64), least, 0.0)


def over_seeds(values: Sequence[float | None]) -> dict[str, Any]:
    """Return the mean over seeds with its 95 % t interval, and the values."""
    known = [value for value in values if value is not None]
    found: dict[str, Any] = {"mean": None, "low": None, "high": None, "seeds": len(known), "values": list(values)}
    if known:
        found["mean"] = float(np.mean(known))
    if len(known) > 1:
        half = float(stats.t.ppf(0.975, len(known) - 1) * np.std(known, ddof=1) / np.sqrt(len(known)))
        found |= {"low": found["mean"] - half, "high": found["mean"] + half}
    return found


@dataclass(frozen=True)
class Curve:
    """The runs of one network, seed, kind and start, with the reference as the point where all units bend."""

    reference: dict[str, Any]
    rows: Sequence[dict[str, Any]]

    @property
    def points(self) -> list[dict[str, Any]]:
        """All points, from the most units that bend to the least."""
        good = [row for row in self.rows if row["status"] != "diverged"]
        return sorted([self.reference, *good], key=lambda row: -row["share"])

    def core(self) -> dict[str, float] | None:
        """Return where select accuracy falls a point below the reference: share, normalized length, verify accuracy."""
        points = self.points
        shares = [point["share"] for point in points]
        share = crossing(shares, [point["select"] for point in points], self.reference["select"] - DROP)
        if share is None:
            return None
        at = {
            key: float(np.interp(share, shares[::-1], [point[key] for point in points][::-1]))
            for key in ("path_length_normalized", "verify", "active")
        }
        return {"share": share, "drop": self.reference["verify"] - at["verify"]} | at

    def at_length(self, lengths: np.ndarray) -> np.ndarray:
        """Return verify accuracy at normalized path lengths, interpolated; NaN beyond the ends."""
        points = sorted(self.points, key=lambda point: point["path_length_normalized"])
        x = [point["path_length_normalized"] for point in points]
        return np.interp(lengths, x, [point["verify"] for point in points], left=np.nan, right=np.nan)


def curve(rows: Sequence[dict[str, Any]], network: str, seed: int, kind: Kind, start: int) -> Curve | None:
    """Return a curve; ``None`` if its reference or all of its runs are not there."""
    own = [row for row in rows if row["network"] == network and row["seed"] == seed]
    reference = [row for row in own if row["kind"] == "reference"]
    found = [row for row in own if row["kind"] == kind and row["start"] == start]
    return Curve(reference[0], found) if reference and found else None


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Return the mean over seeds of the reference and of the runs of each penalty with which no seed diverged.

    The accuracies of one seed say little about one point: where a curve falls by that much is read on the mean.
    """
    by_omega = [{row["omega"]: row for row in own.rows if row["status"] != "diverged"} for own in curves]
    omegas = [omega for omega in by_omega[0] if all(omega in rows for rows in by_omega)]
    return Curve(
        _mean([own.reference for own in curves]), [_mean([rows[omega] for rows in by_omega]) for omega in omegas]
    )


def _mean(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    keys = ("share", "active", "path_length_normalized", "select", "verify")
    by_class = np.mean([row["by_class"] for row in rows], axis=0).tolist()
    return rows[0] | {key: float(np.mean([row[key] for row in rows])) for key in keys} | {"by_class": by_class}


def core_over_seeds(curves: Sequence[Curve]) -> dict[str, Any]:
    """Return the core of the mean curve, and the range of the cores of the mean curves without one of the seeds."""
    whole = mean_curve(curves).core()
    if whole is None:
        return {"core": None, "without one seed": None}
    left = [mean_curve([*curves[:i], *curves[i + 1 :]]).core() for i in range(len(curves))] if len(curves) > 1 else []
    known = [core for core in left if core is not None]
    ranges = {key: [min(core[key] for core in known), max(core[key] for core in known)] for key in whole if known}
    return {"core": whole, "without one seed": ranges}


def gap(late: Curve, other: Curve) -> float | None:
    """Return the mean difference in verify accuracy at equal normalized path length, where both curves have bent runs.

    The mean is over ten lengths between the largest of the two smallest and the smallest of the two largest lengths of
    the bent runs; positive where the later decision is the better one.
    """
    ends = [[row["path_length_normalized"] for row in c.points if row["kind"] != "reference"] for c in (late, other)]
    if not all(ends):
        return None
    low, high = max(map(min, ends)), min(map(max, ends))
    if low > high:
        return None
    lengths = np.linspace(low, high, 10)
    return float(np.nanmean(late.at_length(lengths) - other.at_length(lengths)))


def summary(plan: Plan, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what the runs say: cores, the gap between late and early, the baselines, and who loses."""
    found: dict[str, Any] = {"core": {}, "late_minus": {}, "learned_minus": {}, "worst_class": {}}
    for network in plan.networks:
        late = {seed: curve(rows, network, seed, "learned", plan.plain) for seed in plan.seeds}
        known = {seed: own for seed, own in late.items() if own is not None}
        if not known:
            continue
        mean = mean_curve(list(known.values()))
        found["core"][network] = core_over_seeds(list(known.values())) | {
            "seeds": len(known),
            "path length of the network": mean.reference["path_length_normalized"],
            "reference, verify": over_seeds([own.reference["verify"] for own in known.values()]),
            "mean curve": [
                {key: round(point[key], 4) for key in ("omega", "share", "path_length_normalized", "select", "verify")}
                for point in mean.points
            ],
        }
        found["worst_class"][network] = over_seeds([_worst(own) for own in known.values()])
        if network in plan.starts:
            for start in (0, plan.plain // 2):
                others = {seed: curve(rows, network, seed, "learned", start) for seed in known}
                gaps = [gap(known[seed], own) for seed, own in others.items() if own is not None]
                found["late_minus"][f"{network}, epoch {start}"] = over_seeds(gaps)
            for kind in ("random", "layer"):
                others = {seed: curve(rows, network, seed, kind, plan.plain) for seed in known}
                gaps = [gap(known[seed], own) for seed, own in others.items() if own is not None]
                found["learned_minus"][f"{network}, {kind}"] = over_seeds(gaps)
    lengths = {n: one["core"]["path_length_normalized"] for n, one in found["core"].items() if one["core"]}
    found["core_length_ratios"] = {
        f"{a} / {b}": lengths[a] / lengths[b]
        for a in lengths
        for b in lengths
        if a != b and lengths[a] >= lengths[b] > 0
    }
    return found


def draw(plan: Plan, found: Mapping[str, Any], path: Path) -> None:
    """Draw, for the networks that are bent from several epochs, the gap of the late decision over the kernel's pace."""
    rows = []
    for network in plan.starts:
        moves = [{"network": network, "what": "NTK velocity"} | one for one in found["kernel_velocity"][network]]
        rows += [one | {"value": one["velocity"]} for one in moves]
        for start in (0, plan.plain // 2):
            gaps = found["late_minus"][f"{network}, epoch {start}"]
            rows.append({"network": network, "what": "late minus early", "epoch": start} | _ends(gaps))
        rows.append({"network": network, "what": "late minus early", "epoch": plan.plain, "value": 0.0})
    x = alt.X("epoch:Q", title="epoch of the plain training (from which a copy is bent)")
    y = alt.Y("value:Q", title=None)
    base = alt.Chart()
    line, dot = base.mark_line().encode(x=x, y=y), base.mark_point(filled=True, opacity=1).encode(x=x, y=y)
    bars = base.mark_rule(opacity=0.4).encode(x=x, y=alt.Y("low:Q", title=None), y2="high:Q")
    chart = (
        alt.layer(bars, line, dot, data=alt.Data(values=rows))
        .properties(width=260, height=150)
        .facet(row=alt.Row("what:N", title=None, sort=["NTK velocity"]), column=alt.Column("network:N", title=None))
        .resolve_scale(y="independent")
    )
    path.write_text(vl_convert.vegalite_to_svg(chart.to_json(), config=CONFIG), encoding="utf-8")


def _ends(share: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": share["mean"], "low": share["low"], "high": share["high"]}


def _worst(own: Curve) -> float:
    """Return how much the class loses that loses most, at the run with the fewest units within one point on select."""
    good = [point for point in own.points if point["select"] >= own.reference["select"] - DROP]
    last = good[-1]
    return float(np.max(np.array(own.reference["by_class"]) - np.array(last["by_class"])))
