"""``nc.linearize``: make as much of a trained network linear as its quality allows, and say how much must bend."""

import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable, Sequence, Sized
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netcaliper.bending.bending import Bending
from netcaliper.errors import InputError
from netcaliper.feed.fingerprint import DataFingerprint, model_fingerprint
from netcaliper.feed.origin import described, versions
from netcaliper.fit.augment import Augmentation
from netcaliper.fit.epoch import Loss
from netcaliper.fit.optimizers import Optimizer
from netcaliper.fit.precision import Precision
from netcaliper.fit.schedule import Schedule, rate_factor
from netcaliper.linearize.asked import ALPHA_RATE, Asked, Granularity, listed
from netcaliper.linearize.core import MARGIN, core
from netcaliper.linearize.part import Part, parts
from netcaliper.linearize.planned import Planned, plan, plan_words
from netcaliper.linearize.quality import Judge, Judged, judged
from netcaliper.linearize.sizes import sites_of
from netcaliper.linearize.sizing import FACTORS, checked_omegas, unopposed
from netcaliper.linearize.starts import Starts
from netcaliper.linearize.trainings import Arrays, Tell, Trainings
from netcaliper.linearize.work import MODEL, PLAIN, Work, read_weights, write_weights
from netcaliper.reading.layers import Origin
from netcaliper.reading.linearization import Point, Protocol
from netcaliper.reading.linearization_reading import LinearizationReading
from netcaliper.reading.schema import Cost, Skipped
from netcaliper.trace.batches import batches, check_reiterable, raw_batches
from netcaliper.trace.export import device_of
from netcaliper.trace.form import Form, form_of
from netcaliper.trace.wrappers import unwrapped


@dataclass(frozen=True)
class Linearized:
    """What ``nc.linearize`` returns.

    Attributes:
        reading: what came of every training; ``reading.save(folder)`` keeps it.
        bending: the core network (the unbent reference where there is none), its alphas frozen.
        weights: state dict of every point that has one: fill ``bending`` (or a new ``nc.Bending`` of the same
            network) with ``load_state_dict``. Those of kind ``shallow`` belong to other networks, those of kind
            ``layer`` to a ``Bending`` of that granularity.
    """

    reading: LinearizationReading
    bending: Bending
    weights: "Weights"

    @property
    def model(self) -> nn.Module:
        """The bent copy of the network, in eval mode: it runs by itself, as the user's own class."""
        return self.bending.model

    @property
    def points(self) -> tuple[Point, ...]:
        """The trainings, the unbent reference first."""
        return self.reading.points


class Weights:
    """State dicts of points, read when they are asked for."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __getitem__(self, point: int) -> dict[str, torch.Tensor]:
        """Return the weights of a point at its end.

        Raises:
            CorruptReading: it has none (it diverged), or the folder is gone.
        """
        return read_weights(self._work.place(point) / MODEL)


def linearize(
    model: nn.Module,
    train_data: Iterable[Any],
    *,
    eval_data: Iterable[Any],
    loss: Loss | None = None,
    omega: float | Sequence[float] | None = None,
    epochs: int = 10,
    finetune: int = 5,
    start_epoch: int | None = None,
    granularity: Granularity = "channel",
    proximal: bool = False,
    alpha_rate: float = ALPHA_RATE,
    target_active: float | None = None,
    target_path_length: float | None = None,
    baselines: str | Sequence[str] = ("random",),
    shallow: Sequence[nn.Module] = (),
    quality: Judge | None = None,
    quality_name: str | None = None,
    margin: float = MARGIN,
    trained_epochs: int = 0,
    optimizer: Optimizer = "sgd",
    learning_rate: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    schedule: Schedule = "cosine",
    augment: Augmentation = "none",
    precision: Precision = "float32",
    seed: int = 0,
    device: str | torch.device | None = None,
    example: Any = None,
    folder: str | PathLike[str] | None = None,
    resume: bool = False,
    name: str | None = None,
    data_name: str | None = None,
    progress: Tell | None = None,
) -> Linearized:
    """Train copies of a network under a penalty that makes units linear, and draw quality against what still bends.

    Every activation becomes ``alpha x + (1 - alpha) phi(x)`` with ``alpha = 0`` at first (``nc.Bending``); the penalty
    ``omega sum |1 - alpha|^(1/2)`` pulls alphas to 1, where a unit is exactly linear (Mehmeti-Goepel and Disselhoff
    2023). Every training starts from the same weights and takes as many epochs: ``epochs`` with the penalty, then
    ``finetune`` with the alphas frozen and the schedule of the learning rate from its beginning. The given network is
    never changed.

    Three parts of the data are kept apart: ``train_data``; half of the examples of ``eval_data``, which choose the core
    network; and the other half, of which all reported numbers are.

    Args:
        model: a trained network; with ``start_epoch`` an untrained one.
        train_data: re-iterable of batches. Data with a method ``epoch`` are reshuffled in every epoch.
        eval_data: re-iterable of batches that hold no training example.
        loss: ``(output, batch) -> mean loss``; cross-entropy by default.
        omega: penalties of the sweep. By default five multiples of the one at which a unit that the task does not need
            becomes linear just at the end (``netcaliper.linearize.sizing``). With a target the one to start from.
        epochs: with the penalty. With ``start_epoch`` of the whole training: plain, penalty, ``finetune``.
        finetune: epochs after the penalty.
        start_epoch: plain epochs before the penalty; ``None`` for a network that is trained already.
        granularity: ``"channel"``, or ``"layer"``: one alpha a site.
        proximal: the penalty by half-thresholding instead of its gradient.
        alpha_rate: factor on the learning rate of the alphas. With 1 a short training needs so strong a penalty that
            the task hardly matters for what becomes linear: all units do, or none.
        target_active: the penalty rises from epoch to epoch until at most this share of the units bends.
        target_path_length: the same for the normalized average path length.
        baselines: of ``"random"`` (as many random units of every site), ``"layer"`` (one alpha a site; the penalty
            rises until no more units bend), ``"one_shot"`` (as many units: those stay whose activation a straight line
            fits worst), ``"shallow"`` (the networks ``shallow`` from scratch).
        shallow: untrained networks for that baseline, e.g. from ``netcaliper.zoo.shallower.shallower``.
        quality: ``(model, part) -> number`` in place of accuracy, larger is better; ``part`` is a re-iterable of
            ``netcaliper.trace.batches.Batch``, each with the indices of its examples in ``eval_data``.
        quality_name: how the reading calls it; the function's name by default.
        margin: quality that the core network may lose; 0.01 is one point of accuracy.
        trained_epochs: that the given network was trained for, which networks from scratch get in addition.
        optimizer: of every training, one of ``netcaliper.fit.optimizers.OPTIMIZERS``.
        learning_rate: of every training, before the factor of the schedule.
        momentum: of ``"sgd"``.
        weight_decay: of the weights; alphas have none.
        schedule: of the learning rate; it begins anew where the alphas are frozen.
        augment: of training images, one of ``netcaliper.fit.augment.AUGMENTATIONS``.
        precision: of the forward pass; alphas are float32 in any case.
        seed: of the order of examples, of the split of ``eval_data``, of random units.
        device: where to train; the model's own by default.
        example: a batch to trace the model with; the first one of ``train_data`` by default.
        folder: keeps every training while it runs and afterwards, so that an interrupted run can be resumed.
        resume: go on with what is in ``folder``; finished trainings are not repeated.
        name: of the network in the reading.
        data_name: of the data in the reading.
        progress: called with ``(phase, done, total)``; the first phase is the plan.

    Raises:
        InputError: an argument cannot be used, or the network has no activation that can be made linear.
        DataError: the data have no labels that fit, or too few evaluation examples.
        TraceError: the network cannot be read.
        OutputExists: ``folder`` holds something and ``resume`` is false.
        ReadingError: ``folder`` cannot be written or read.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"`model` must be a torch module, got {type(model).__name__}; pass the module.")
    if resume and folder is None:
        raise InputError("`resume` goes on with what is in `folder`, which is None; give both.")
    if quality_name is not None and quality is None:
        raise InputError("`quality_name` names `quality`, which is None; give both or neither.")
    asked = Asked(
        epochs=epochs,
        finetune=finetune,
        start_epoch=start_epoch,
        trained_epochs=trained_epochs,
        granularity=granularity,
        proximal=proximal,
        alpha_rate=alpha_rate,
        target_active=target_active,
        target_path_length=target_path_length,
        baselines=listed(baselines),
        margin=margin,
        optimizer=optimizer,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        schedule=schedule,
        augment=augment,
        precision=precision,
        seed=seed,
    )
    omegas = _omegas(omega, asked, train_data)
    check_reiterable(train_data)
    form = form_of(unwrapped(model))
    select, verify = parts(eval_data, form, seed)
    base = _copy(model, device)
    example = next(iter(raw_batches(train_data))) if example is None else example
    starts = Starts(base, example, asked)
    first = starts.own
    sites = sites_of(first.graph, first.sites)
    planned = plan(asked, omegas, len(shallow))
    fingerprint, data_fingerprint = model_fingerprint(model.state_dict()), _fingerprint(eval_data, form)
    named = quality_name or ("accuracy" if quality is None else getattr(quality, "__name__", "quality"))
    facts = asdict(asked) | {
        "omega": list(omegas),
        "model": fingerprint,
        "eval_data": data_fingerprint,
        "quality": named,
        "trainings": [one.name for one in planned],
    }
    tell = progress or (lambda phase, done, total: None)
    work = Work(Path(folder), facts, resume=resume) if folder is not None else _aside(facts)
    tell(plan_words(asked, planned), 0, 1)
    given = judged(base, select, verify, quality)
    shared = Trainings(
        base=base,
        example=example,
        starts=starts,
        sites=sites,
        train_data=train_data,
        loss=loss,
        asked=asked,
        judge=quality,
        select=select,
        verify=verify,
        chance=given.chance,
        networks=shallow,
        work=work,
        tell=tell,
        original=given.answers if start_epoch is None else None,
    )
    seconds: dict[str, float] = {}
    if start_epoch:
        seconds["plain"] = _plain(shared, start_epoch)
    shared.start()
    done, left_out = _all(shared, planned, seconds)
    left_out = (*_not_made(asked, shallow), *left_out)
    points = tuple(point for point, _ in done)
    found = core(points, margin)
    bending = starts.fresh()
    chosen = 0 if found is None else found.point
    if points[chosen].status != "diverged":
        bending.load_state_dict(read_weights(work.place(chosen) / MODEL))
    bending.freeze()
    bending.model.eval()
    reading = LinearizationReading(
        name=name or first.graph.name,
        fingerprint=fingerprint,
        origin=Origin(
            data=data_name or described(train_data),
            data_fingerprint=data_fingerprint,
            seed=seed,
            device=str(device_of(base)),
            versions=versions(),
        ),
        protocol=_protocol(asked, named, select, verify, given),
        sites=sites,
        skipped=tuple(Skipped(name=skipped, reason=reason) for skipped, reason in first.skipped),
        original=(given.select, given.verify) if start_epoch is None else None,
        points=points,
        core=found,
        left_out=left_out,
        warnings=_warnings(points, found is None),
        cost=Cost(seconds=seconds, passes=float(sum(point.epochs for point in points))),
        arrays={f"point/{place}/{key}": array for place, (_, own) in enumerate(done) for key, array in own.items()},
    )
    return Linearized(reading, bending, Weights(work))


def _all(
    shared: Trainings, planned: Sequence[Planned], seconds: dict[str, float]
) -> tuple[list[tuple[Point, Arrays]], tuple[Skipped, ...]]:
    """Make all trainings that are not finished; return the points, and what could not be made."""
    done: list[tuple[Point, Arrays]] = []
    left_out: list[Skipped] = []
    place_of: dict[int, int] = {}
    for number, wanted in enumerate(planned):
        one = wanted
        if one.like is not None:
            like = done[place_of[one.like]][0]
            if like.active is None or not 0 < like.active < like.units:
                some = "none" if like.active == 0 else "all" if like.active else "an unknown number"
                left_out.append(Skipped(name=one.name, reason=f"{some} of the units of {like.name!r} bend"))
                continue
            one = replace(one, like=place_of[one.like])
        place = len(done)
        start = time.perf_counter()
        found = shared.work.finished(place)
        done.append(shared.train(place, one, done) if found is None else found)
        seconds[one.name] = time.perf_counter() - start
        place_of[number] = place
        if number == 0 and done[0][0].status != "diverged":
            shared.reference = shared.again(0)
    return done, tuple(left_out)


def _plain(shared: Trainings, epochs: int) -> float:
    """Train the common weights plainly, or read them if that is done; return the seconds."""
    start = time.perf_counter()
    folder = shared.work.folder / PLAIN
    if (folder / MODEL).is_file():
        shared.base.load_state_dict(read_weights(folder / MODEL))
    else:
        shared.fit(shared.base, folder, "plain", epochs)
        write_weights(folder / MODEL, shared.base.state_dict())
    return time.perf_counter() - start


def _omegas(omega: float | Sequence[float] | None, asked: Asked, data: Iterable[Any]) -> tuple[float, ...]:
    if omega is not None:
        given = checked_omegas(omega)
        if asked.has_target and len(given) > 1:
            raise InputError(
                "`omega` must be one number, to start from, where the penalty rises to meet a target, got "
                f"{len(given)}."
            )
        return given
    if asked.optimizer != "sgd" or not isinstance(data, Sized):
        known = isinstance(data, Sized)
        why = f"{asked.optimizer!r} rescales it" if known else "`train_data` do not know their length"
        raise InputError(f"`omega` has a default for SGD on data with a `len` only, and {why}; give for instance 1e-3.")
    rates = [
        asked.alpha_rate * asked.learning_rate * rate_factor(asked.schedule, epoch, asked.penalized)
        for epoch in range(1, asked.penalized + 1)
    ]
    least = unopposed(rates, len(data), asked.momentum)
    return (least,) if asked.has_target else tuple(factor * least for factor in FACTORS)


def _copy(model: nn.Module, device: str | torch.device | None) -> nn.Module:
    copied = deepcopy(unwrapped(model))
    if device is None:
        return copied
    try:
        return copied.to(device)
    except (RuntimeError, AssertionError) as problem:  # torch without CUDA asserts
        raise InputError(
            f'`device` must be one that torch can use here, got {device!r} ({problem}); try "cpu".'
        ) from None


def _aside(facts: dict[str, Any]) -> Work:
    """Return a folder that is gone when nobody asks for its weights any more."""
    place = Path(tempfile.mkdtemp(prefix="netcaliper-"))
    work = Work(place, facts, resume=False)
    weakref.finalize(work, shutil.rmtree, place, ignore_errors=True)
    return work


def _fingerprint(data: Iterable[Any], form: Form) -> str:
    digest = DataFingerprint()
    for batch in batches(data, form=form):
        digest.update(batch)
    return digest.finish()


def _protocol(asked: Asked, quality: str, select: Part, verify: Part, given: Judged) -> Protocol:
    return Protocol(
        granularity=asked.granularity,
        proximal=asked.proximal,
        alpha_rate=asked.alpha_rate,
        schedule="late" if asked.start_epoch is None else "early",
        start_epoch=asked.start_epoch,
        penalized=asked.penalized,
        finetune=asked.finetune,
        target_active=asked.target_active,
        target_path_length=asked.target_path_length,
        optimizer=asked.optimizer,
        learning_rate=asked.learning_rate,
        momentum=asked.momentum,
        weight_decay=asked.weight_decay,
        rate=asked.schedule,
        augment=asked.augment,
        precision=asked.precision,
        quality=quality,
        chance=given.chance,
        select=select.size(),
        verify=verify.size(),
        seed=asked.seed,
    )


def _not_made(asked: Asked, shallow: Sequence[nn.Module]) -> tuple[Skipped, ...]:
    """Name the baselines that were asked and could not be planned."""
    found = []
    if "layer" in asked.baselines and asked.granularity == "layer":
        found.append(Skipped(name="layer", reason="every learned point has one alpha a site already"))
    if "shallow" in asked.baselines and not shallow:
        why = "no shallower network was given (`shallow`); the command makes them of zoo networks that can be shallower"
        found.append(Skipped(name="shallow", reason=why))
    return tuple(found)


def _warnings(points: Sequence[Point], no_core: bool) -> tuple[str, ...]:
    found = [f"{point.name}: {point.reason}." for point in points if point.reason and point.status != "linear"]
    if no_core:
        found.append(f"There is no core network: the unbent reference {points[0].status}.")
    learned = [point for point in points if point.kind == "learned" and point.status != "diverged"]
    if learned and all(point.active == point.units for point in learned):
        found.append("No penalty made a single unit linear: take a larger omega, or more epochs.")
    if learned and all(not point.active for point in learned):
        found.append("Every penalty made all units linear: take a smaller omega.")
    return tuple(found)
