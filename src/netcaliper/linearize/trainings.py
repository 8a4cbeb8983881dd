"""One training after another from the same weights, each of them one point of the record."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netcaliper.bending.bending import Bending
from netcaliper.errors import Diverged, TraceError
from netcaliper.feed.traced import traced
from netcaliper.fit.epoch import Loss, Reshuffled, Step
from netcaliper.fit.train import Training, fit
from netcaliper.linearize.asked import Asked
from netcaliper.linearize.baselines import curvature, least_straight, random_active
from netcaliper.linearize.epoch_log import EpochLog
from netcaliper.linearize.part import Part
from netcaliper.linearize.phases import Phases
from netcaliper.linearize.planned import Planned
from netcaliper.linearize.quality import Answers, Judge, Judged, judged
from netcaliper.linearize.sizes import lengths, sizes
from netcaliper.linearize.sizing import RISE
from netcaliper.linearize.starts import Starts
from netcaliper.linearize.target import Target
from netcaliper.linearize.work import LAST_GOOD, MODEL, STATE, Work, read_weights, write_weights
from netcaliper.reading.linearization import BentSite, Lengths, Point, Status
from netcaliper.trace.batches import Batch, batches

Tell = Callable[[str, int, int], None]
Arrays = dict[str, np.ndarray]
FITTED_ON = 1024
"""Training examples on which straight lines are fitted to activations."""


@dataclass
class Trainings:
    """What all trainings of one linearization share.

    Attributes:
        base: the network they start from.
        example: a batch to trace a network with.
        starts: that network, ready to bend.
        sites: what can bend.
        train_data, loss, asked, judge, select, verify: as in ``linearize``.
        chance: quality of the best constant answer, if known.
        networks: untrained, for the points from scratch.
        work: the folder.
        tell: called with the phase, the updates (epochs) done and how many there will be.
        original: answers of the given network on verify examples.
        reference: answers of the unbent reference, once it is trained.
    """

    base: nn.Module
    example: Any
    starts: Starts
    sites: tuple[BentSite, ...]
    train_data: Iterable[Any]
    loss: Loss | None
    asked: Asked
    judge: Judge | None
    select: Part
    verify: Part
    chance: float | None
    networks: Sequence[nn.Module]
    work: Work
    tell: Tell
    original: Answers | None = None
    reference: Answers | None = None
    _curvature: dict[str, np.ndarray] = field(default_factory=dict)

    def start(self) -> None:
        """Take the present weights of the network as the common start."""
        self.starts.set_weights(list(self._some()))

    def _some(self) -> Iterator[Batch]:
        """Give the first training examples, of data that can be reshuffled random ones."""
        source = self.train_data
        if isinstance(source, Reshuffled):
            source = source.epoch(0, self.asked.seed)
        left = FITTED_ON
        for batch in batches(source, form=self.select.form):
            yield batch.first(left)
            left -= batch.size
            if left <= 0:
                return

    def train(self, place: int, planned: Planned, done: Sequence[tuple[Point, Arrays]]) -> tuple[Point, Arrays]:
        """Make one training, or go on with it; what it leaves is on disk then.

        Args:
            place: of the point.
            planned: the training.
            done: the points before it.
        """
        folder = self.work.place(place)
        if planned.network is not None:
            point, arrays = self._from_scratch(folder, planned)
        else:
            point, arrays = self._bent(folder, planned, done)
        self.work.finish(place, point, arrays)
        return point, arrays

    def fit(
        self,
        model: nn.Module,
        folder: Path,
        name: str,
        epochs: int,
        *,
        restart: int | None = None,
        bending: Phases | None = None,
        log: EpochLog | None = None,
    ) -> Training:
        """Train a network as all are trained."""
        asked = self.asked
        return fit(
            model,
            self.train_data,
            epochs=epochs,
            learning_rate=asked.learning_rate,
            optimizer=asked.optimizer,
            momentum=asked.momentum,
            weight_decay=asked.weight_decay,
            schedule=asked.schedule,
            restart=restart,
            augment=asked.augment,
            precision=asked.precision,
            bending=bending,
            loss=self.loss,
            seed=asked.seed,
            saving=self.work.saving(folder, {"point": name}),
            progress=lambda step: self._told(name, step),
            before_epoch=None if log is None else log.before,
            after_epoch=None if log is None else log.after,
        )

    def _told(self, name: str, step: Step) -> None:
        batches = step.batches or 1
        done = (step.epoch - 1) * batches + (step.batch if step.batches else 0)
        self.tell(f"{name}: epoch {step.epoch} of {step.epochs}", done, step.epochs * batches)

    def _bent(self, folder: Path, planned: Planned, done: Sequence[tuple[Point, Arrays]]) -> tuple[Point, Arrays]:
        bending = self.starts.fresh("layer" if planned.kind == "layer" else None)
        like = None if planned.like is None else done[planned.like]
        if like is not None and planned.omega is None:
            bending.set_active(self._chosen(planned, bending, like))
        wanted = self._target(planned, like)
        phases = self._phases(planned, bending, wanted)
        log = EpochLog(folder, bending, phases, self.chance)
        facts: dict[str, Any] = {
            "kind": planned.kind,
            "name": planned.name,
            "omega": planned.omega,
            "like": planned.like,
            "seed": self.asked.seed,
            "parameters": sum(parameter.numel() for parameter in self.base.parameters()),
            "units": sum(site.units for site in self.sites),
            "epochs": self.asked.trained,
        }
        try:
            training = self.fit(
                bending.model,
                folder,
                planned.name,
                self.asked.trained,
                restart=self.asked.penalized,
                bending=phases,
                log=log,
            )
        except Diverged as error:
            return self._diverged(folder, facts, log, str(error))
        write_weights(folder / MODEL, bending.model.state_dict())
        return self._point(facts, bending, training, log, wanted)

    def _target(self, planned: Planned, like: tuple[Point, Arrays] | None) -> Target:
        """Return what the penalty rises to meet: with whole layers, no more bending units than the learned point."""
        if planned.kind == "layer" and like is not None:
            return Target(active=like[0].share)
        if planned.kind == "learned":
            return Target(active=self.asked.target_active, path_length=self.asked.target_path_length)
        return Target()

    def _phases(self, planned: Planned, bending: Bending, wanted: Target) -> Phases:
        if planned.omega is None:
            return Phases(bending, 0.0, 0)
        met = wanted.test(bending)
        rise = RISE ** (1 / max(self.asked.penalized - 1, 1)) if met is not None else 1.0
        return Phases(bending, planned.omega, self.asked.penalized, rise=rise, met=met)

    def _chosen(self, planned: Planned, bending: Bending, like: tuple[Point, Arrays]) -> dict[str, Tensor]:
        active = split(self.sites, torch.from_numpy(like[1]["active"]))
        if planned.kind == "random":
            return random_active(active, self.asked.seed)
        if not self._curvature:
            self._curvature = curvature(bending, self.base.state_dict(), self._some())
        return least_straight(self._curvature, sum(int(mine.sum()) for mine in active.values()))

    def _diverged(self, folder: Path, facts: dict[str, Any], log: EpochLog, why: str) -> tuple[Point, Arrays]:
        state = folder / STATE
        if state.is_dir():
            kept = f"the state after epoch {len(log.epochs)} is kept in {folder.name}/{STATE}"
        else:
            kept = "no epoch was finished, so that no state is kept"
        facts = facts | {"epochs": len(log.epochs), "penalized": sum(epoch["penalized"] for epoch in log.epochs)}
        return Point(**facts, status="diverged", reason=f"{why}; {kept}", kept_epoch=log.kept), {}

    def _point(
        self, facts: dict[str, Any], bending: Bending, training: Training, log: EpochLog, wanted: Target
    ) -> tuple[Point, Arrays]:
        active = {name: mine.cpu() for name, mine in bending.active().items()}
        found = sizes(bending.graph, self.sites, active)
        result = judged(bending.model, self.select, self.verify, self.judge)
        status, reason = self._status(found.active, result)
        kept = None if status == "ok" else log.kept
        if reason is not None and kept is not None:
            reason = f"{reason}; the weights after epoch {kept}, the last good ones, are kept as {LAST_GOOD}"
        warnings = []
        met = wanted.test(bending)
        if met is not None and not met():
            warnings.append("the target is not met: take more epochs, or a larger omega")
        if facts["omega"] is not None:
            facts = facts | {"omega": max(epoch["omega"] for epoch in log.epochs)}
        point = Point(
            **facts,
            penalized=sum(epoch["penalized"] for epoch in log.epochs),
            status=status,
            reason=reason,
            kept_epoch=kept,
            active=found.active,
            share=found.active / found.units,
            calls=found.calls,
            calls_before=found.calls_before,
            lengths=found.lengths,
            effective_width=found.effective_width,
            effective_layers=found.effective_layers,
            warnings=tuple(warnings),
            **self._judgement(result),
        )
        alphas = bending.alphas()
        arrays = {
            "alphas": np.concatenate([alphas[site.name].float().cpu().numpy() for site in self.sites]),
            "active": np.concatenate([active[site.name].numpy() for site in self.sites]),
            "curve": np.array([epoch["active"] for epoch in log.epochs]) / found.units,
            "loss": np.array(training.loss),
        }
        return point, arrays | _histogram(found.histogram) | _by_class(result)

    def _status(self, active: int, result: Judged) -> tuple[Status, str | None]:
        low = result.select.low
        if result.chance is not None and low is not None and low <= result.chance:
            value, chance = 100 * result.select.value, 100 * result.chance
            return "collapsed", (
                f"the accuracy on select examples, {value:.1f} %, is no better than the {chance:.1f} % of one constant "
                "answer"
            )
        if not active:
            return "linear", "no unit bends any more: the penalty made all of them linear"
        return "ok", None

    def _judgement(self, result: Judged) -> dict[str, Any]:
        mine = result.answers
        return {
            "select": result.select,
            "verify": result.verify,
            "lost": None if mine is None or self.reference is None else mine.lost_against(self.reference),
            "agreement": None if mine is None or self.original is None else mine.agreement(self.original),
        }

    def _from_scratch(self, folder: Path, planned: Planned) -> tuple[Point, Arrays]:
        assert planned.network is not None
        model = deepcopy(self.networks[planned.network]).to(next(self.base.parameters()).device).eval()
        epochs, warnings = self.asked.from_scratch, []
        parameters = sum(parameter.numel() for parameter in model.parameters())
        try:
            graph = traced(model, self.train_data, self.example, None, planned.name)
            units = sum(site.units for site in graph.sites if site.kind != "stream")
            walked, histogram = lengths(graph, None)
        except TraceError as error:
            units, walked, histogram = 0, Lengths(reason=str(error)), ()
        facts: dict[str, Any] = {
            "kind": planned.kind, "name": planned.name, "seed": self.asked.seed, "epochs": epochs,
            "parameters": parameters, "units": units, "lengths": walked,
        }  # fmt: skip
        try:
            training = self.fit(model, folder, planned.name, epochs)
        except Diverged as error:
            return Point(**facts, status="diverged", reason=str(error)), {}
        write_weights(folder / MODEL, model.state_dict())
        if self.asked.start_epoch is None and not self.asked.trained_epochs:
            warnings.append(
                "the given network had been trained before, for an unknown number of epochs that this one did not have "
                "(trained_epochs)"
            )
        result = judged(model, self.select, self.verify, self.judge)
        status, reason = self._status(1, result)
        point = Point(
            **facts,
            status=status,
            reason=reason,
            active=units or None,
            share=1.0 if units else None,
            warnings=tuple(warnings),
            **self._judgement(result),
        )
        arrays = {"loss": np.array(training.loss)} | _histogram(histogram)
        return point, arrays | _by_class(result)

    def again(self, place: int) -> Answers | None:
        """Return the verify answers of a finished point that bends, from its weights."""
        bending = self.starts.fresh()
        bending.load_state_dict(read_weights(self.work.place(place) / MODEL))
        return judged(bending.model, self.select, self.verify, self.judge).answers


def split(sites: Sequence[BentSite], values: Tensor) -> dict[str, Tensor]:
    """Return an array over the units of all sites site by site."""
    pieces = values.split([site.units for site in sites])
    return dict(zip((site.name for site in sites), pieces, strict=True))


def _by_class(result: Judged) -> Arrays:
    one_an_example = result.answers is not None and result.answers.per == "example"
    if not one_an_example or result.answers is None:
        return {}
    return {"class_accuracy": result.answers.by_class(), "class_examples": np.bincount(result.answers.label)}


def _histogram(chances: Sequence[float]) -> Arrays:
    return {"histogram": np.array(chances)} if chances else {}
