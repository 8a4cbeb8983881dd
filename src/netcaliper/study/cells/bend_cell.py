"""A trained network, bent: the row of a cell of kind ``bend``.

A copy of the network after epoch ``start`` is trained with the penalty on units that bend, then what still bends is
frozen and the copy trains on without the penalty (Mehmeti-Goepel and Disselhoff, *Nonlinear Advantage*, ICML 2023).
"""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from jaxtyping import Bool
from torch import Tensor

from netcaliper.bending.bending import Bending
from netcaliper.errors import Diverged, StudyError
from netcaliper.fit.schedule import Schedule
from netcaliper.fit.train import fit
from netcaliper.linearize.baselines import random_active
from netcaliper.linearize.part import parts
from netcaliper.linearize.quality import answers
from netcaliper.measure.path_length import path_length
from netcaliper.reading.whole_file import write_whole
from netcaliper.specs.loaded import LoadedModel
from netcaliper.study.cells.cell_data import CellData
from netcaliper.study.cells.once import once
from netcaliper.study.cells.readers import linear_zone
from netcaliper.study.cells.readers.options import checked_options
from netcaliper.study.cells.readers.width import later_is_more
from netcaliper.study.cells.trained import Trained, saving_in, telling
from netcaliper.study.place import Place
from netcaliper.trace.batches import first_batch
from netcaliper.trace.form import form_of
from netcaliper.zoo.bleu import translation_bleu
from netcaliper.zoo.translation import Pairs

CHOICES = ("learned", "random", "layer")
HALVES = 0
"""Seed of the halves of the test part: the same ones for every cell, so that their accuracies can be compared."""

TRACED = 32
"""Examples of the batch that the network is traced with."""

ACTIVE = "arrays.safetensors"
_PREFIX = "active/"


def bend_cell(configuration: Mapping[str, Any], place: Place) -> list[dict[str, Any]]:
    """Bend a trained network; return one row.

    A training that diverges is a row with that status and no accuracy.

    Raises:
        StudyError: the configuration cannot be used, or a cell it stands on is not there.
    """
    readers = dict(configuration.get("read") or {})
    for name, options in readers.items():
        if name != "linear_zone":
            raise StudyError(f"`read` of a bend names {name!r}; it takes linear_zone.")
        checked_options(name, options, {})
    if configuration["choose"] not in CHOICES:
        raise StudyError(f"`choose` must be one of {', '.join(CHOICES)}, got {configuration['choose']!r}.")
    trained = Trained.of(place.needs[0])
    start = trained.number(configuration["start"])
    readings = place.folder / "readings"
    row = once(readings / "bend.json", lambda: _bent(configuration, trained, start, place))
    for phase in _PHASES:  # not earlier: what is needed to go on goes only once the row is there
        shutil.rmtree(place.folder / phase, ignore_errors=True)
    if "linear_zone" in readers:
        if row["status"] == "diverged":
            row["linear_zone_note"] = "the bending diverged"
        else:
            row |= once(readings / "linear_zone.json", lambda: _linear_zone(trained, start, place))
    place.tell(1.0, "done")
    epochs = start + configuration["penalty"] + _rest(configuration, trained, start)
    return [{"epoch": epochs, "final": True} | row]


_PHASES = ("penalty", "final")


def _rest(configuration: Mapping[str, Any], trained: Trained, start: int) -> int:
    """Return the epochs after the penalty, so that every bend of a family has as many in all."""
    return trained.epochs - start + configuration["final"]


def _bent(configuration: Mapping[str, Any], trained: Trained, start: int, place: Place) -> dict[str, Any]:
    network = trained.network(start)
    data = trained.data(place.folders, network)
    bending = _bending(configuration, network, data)
    omega, choose = configuration["omega"], configuration["choose"]
    if choose == "random":
        bending.set_active(random_active(_learned(place), trained.seed))
    penalized = omega > 0 and choose != "random"
    if not penalized:
        bending.freeze()
    steps: tuple[tuple[int, Schedule, Bending | None], ...] = (
        (configuration["penalty"], "constant", bending if penalized else None),
        (_rest(configuration, trained, start), "cosine", None),
    )
    whole, status, done = sum(epochs for epochs, _, _ in steps), "ok", 0
    try:
        for number, (epochs, schedule, bends) in enumerate(steps):
            if epochs:
                share = telling(place, done / whole * 0.95, epochs / whole * 0.95, f"{_PHASES[number]}: ")
                _fit(bending, trained, data, epochs, schedule, bends, 1 + number, place.folder / _PHASES[number], share)
            bending.freeze()
            done += epochs
    except Diverged:
        status = "diverged"
    active = {site: units.cpu().numpy() for site, units in bending.active().items()}
    arrays = {f"{_PREFIX}{site}": units.astype(np.uint8) for site, units in active.items()}
    write_whole(place.folder / ACTIVE, safetensors.numpy.save(arrays))
    if status == "ok" and not any(units.any() for units in active.values()):
        status = "collapsed"
    parameters = sum(parameter.numel() for parameter in network.model.parameters())
    sizes, quality = _sizes(bending, active), _quality(bending, network, data, status)
    return {"status": status, "parameters": parameters} | sizes | quality


def _bending(configuration: Mapping[str, Any], network: LoadedModel, data: CellData) -> Bending:
    """Return the copy that bends; one alpha a site is penalized as much as those of all its units together."""
    layer = configuration["choose"] == "layer"
    bending = Bending(
        network.model,
        first_batch(data.train, form=form_of(network.model)).first(TRACED),
        omega=configuration["omega"],
        granularity="layer" if layer else "channel",
        alpha_rate=configuration["alpha_rate"],
        proximal=configuration["proximal"],
    )
    if layer:
        bending.omega *= float(np.mean([len(units) for units in bending.active().values()]))
    return bending


def _fit(
    bending: Bending,
    trained: Trained,
    data: CellData,
    epochs: int,
    schedule: Schedule,
    bends: Bending | None,
    phase: int,
    folder: Path,
    tell: Any,
) -> None:
    """Train for one phase as the family is trained; every phase has an order of the examples of its own."""
    recipe = trained.recipe.recipe
    if recipe.decayed != "all":
        raise StudyError(f"a bend needs a family with `decayed` = 'all', got {recipe.decayed!r}: alphas do not decay.")
    fit(
        bending.model,
        data.train,
        epochs=epochs,
        learning_rate=recipe.learning_rate,
        optimizer=recipe.optimizer,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        schedule=schedule,
        augment=recipe.augment,
        precision=recipe.precision,
        bending=bends,
        seed=100 * trained.seed + phase,
        saving=saving_in(folder),
        progress=tell,
    )


def _learned(place: Place) -> dict[str, Bool[Tensor, " units"]]:
    """Return the units that the learned bend of the same point left."""
    if len(place.needs) < 2:
        raise StudyError("a bend with `choose` = 'random' stands on the learned bend of the same point; none is given.")
    return {site: torch.from_numpy(units) for site, units in _active(place.needs[1]).items()}


def _active(folder: Path) -> dict[str, Bool[np.ndarray, " units"]]:
    """Return by site which units bend at the end of the bend in a folder."""
    arrays = safetensors.numpy.load_file(folder / ACTIVE)
    return {key.removeprefix(_PREFIX): units.astype(bool) for key, units in arrays.items()}


def _sizes(bending: Bending, active: Mapping[str, Bool[np.ndarray, " units"]]) -> dict[str, Any]:
    count = sum(int(units.sum()) for units in active.values())
    length = path_length(bending.graph, active=active)
    return {
        "active_units": count,
        "active_share": count / sum(map(len, active.values())),
        "path_length": length.mean,
        "path_length_normalized": length.normalized,
        "later_more_active": later_is_more([float(units.mean()) for units in active.values()]),
    } | {f"active:{site}": float(units.mean()) for site, units in active.items()}


def _quality(bending: Bending, network: LoadedModel, data: CellData, status: str) -> dict[str, Any]:
    """Return the accuracies on both halves of the test part: one to choose by, one to report."""
    names = ("select_accuracy", "test_accuracy", "test_low", "test_high", "worst_class_accuracy")
    if status == "diverged":
        return dict.fromkeys((*names, "bleu") if isinstance(data.test, Pairs) else names)
    select, verify = parts(data.test, form_of(network.model), HALVES)
    written = {}
    if isinstance(data.test, Pairs):
        rows = torch.cat([batch.indices for batch in verify])
        written["bleu"] = translation_bleu(bending.model, data.test.some(rows.numpy())).score
    chosen, checked = answers(bending.model, select), answers(bending.model, verify)
    right = checked.accuracy()
    by_class = checked.by_class() if checked.per == "example" else np.zeros(0)  # tokens are too many classes
    worst = float(np.nanmin(by_class)) if len(by_class) else None
    values = (chosen.accuracy().value, right.value, right.low, right.high, worst)
    by_label = {f"class_accuracy:{k}": None if math.isnan(v) else float(v) for k, v in enumerate(by_class)}
    return dict(zip(names, values, strict=True)) | written | by_label


def _linear_zone(trained: Trained, start: int, place: Place) -> dict[str, Any]:
    network = trained.network(start)
    data = trained.data(place.folders, network)
    return linear_zone.read(network, data.test, _active(place.folder), trained.seed)
