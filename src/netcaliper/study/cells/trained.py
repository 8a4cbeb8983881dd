"""A training of a study and what it leaves in its folder: weights of epochs, the final ones, and the record of it."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netcaliper.errors import StudyError
from netcaliper.fit.epoch import Step
from netcaliper.fit.saving import STATE_FILE, Saving
from netcaliper.fit.train import Training, fit
from netcaliper.reading.whole_file import write_whole
from netcaliper.specs.loaded import LoadedModel
from netcaliper.study.cells.cell_data import CellData, cell_data
from netcaliper.study.cells.cell_recipe import CellRecipe, cell_recipe
from netcaliper.study.cells.networks import KeptNetworks, build_network, keep_network, load_network
from netcaliper.study.place import Place
from netcaliper.zoo.batches import Batches
from netcaliper.zoo.sampling import held_out

CHECKPOINT, EPOCHS, RECORD, STATE = "checkpoint", "epochs", "training.json", "state"


@dataclass(frozen=True)
class Trained:
    """A training that is over.

    Attributes:
        configuration: of its cell.
        folder: of its cell.
        record: ``netcaliper.fit.train.Training`` as plain data, with ``updates``.
    """

    configuration: Mapping[str, Any]
    folder: Path
    record: Mapping[str, Any]

    @classmethod
    def of(cls, folder: Path) -> "Trained":
        """Open the training that a cell left.

        Raises:
            StudyError: there is none.
        """
        try:
            cell = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StudyError(f"the cell {folder.name} holds no finished training: {error}; run it again.") from error
        return cls(cell["configuration"], folder, record)

    @property
    def epochs(self) -> int:
        """Return the epoch whose weights are the final ones."""
        return self.record["kept_epoch"]

    @property
    def seed(self) -> int:
        """Return the seed of everything."""
        return self.configuration["seed"]

    @property
    def recipe(self) -> CellRecipe:
        """Return how it was trained."""
        return cell_recipe(self.configuration)

    def number(self, epoch: int | str) -> int:
        """Return the number of an epoch, which may be called ``final``."""
        return self.epochs if epoch == "final" else int(epoch)

    def weights(self, epoch: int) -> Path:
        """Return the folder with the weights after an epoch.

        Raises:
            StudyError: they were not kept.
        """
        folder = self.folder / CHECKPOINT if epoch == self.epochs else epoch_folder(self.folder, epoch)
        if not folder.is_dir():
            raise StudyError(
                f"the weights after epoch {epoch} of {self.epochs} were not kept in {self.folder.name}; name an epoch "
                "that the training reaches."
            )
        return folder

    def network(self, epoch: int) -> LoadedModel:
        """Return the network after an epoch."""
        return load_network(self.configuration["model"], self.configuration["arguments"], self.weights(epoch))

    def networks(self, epochs: list[int]) -> KeptNetworks:
        """Return the networks after several epochs, loaded when they are asked for."""
        folders = {f"epoch-{epoch:04d}": self.weights(epoch) for epoch in epochs}
        return KeptNetworks(self.configuration["model"], self.configuration["arguments"], folders)

    def data(self, folders: Mapping[str, str], model: LoadedModel | None = None) -> CellData:
        """Return the data of the training."""
        return cell_data(self.configuration["data"], folders, batch_size=self.recipe.batch_size, model=model)


def trained(configuration: Mapping[str, Any], place: Place, *, share: float) -> Trained:
    """Train, or go on with a training, or open it if it is over.

    Initial weights, order and augmentation come from the configuration's seed. With ``patience`` one training example
    in 20 is held out to decide when it is over, or with random labels, which nothing else can learn, all decide.

    Args:
        configuration: of the cell; the weights after ``kept_epochs`` are kept beside the final ones.
        place: where.
        share: of the whole cell that the training is.

    Raises:
        Diverged: the loss is no longer finite.
        StudyError: the configuration cannot be used.
    """
    folder = place.folder
    if not (folder / CHECKPOINT).is_dir():
        _train(configuration, place, share)
    shutil.rmtree(folder / STATE, ignore_errors=True)
    return Trained(configuration, folder, json.loads((folder / RECORD).read_text(encoding="utf-8")))


def kept_epochs(configuration: Mapping[str, Any]) -> list[int]:
    """Return the epochs whose weights are kept: those that bends start from (``keep``), and those that are read."""
    read = [epoch for options in (configuration.get("read") or {}).values() for epoch in options.get("at") or ()]
    return sorted({*(configuration.get("keep") or ()), *(epoch for epoch in read if epoch != "final")})


def epoch_folder(folder: Path, epoch: int) -> Path:
    """Return where the weights after an epoch are kept."""
    return folder / EPOCHS / f"epoch-{epoch:04d}"


def saving_in(folder: Path) -> Saving:
    """Return where a training keeps its state; it goes on from there if there is one."""
    return Saving(folder, resume=(folder / STATE_FILE).is_file())


def telling(place: Place, start: float, share: float, what: str = "") -> Any:
    """Return what a training calls after every batch: it tells the place how much of the cell is done."""

    def tell(step: Step) -> None:
        batches = step.batches or 1
        done = (step.epoch - 1 + min(step.batch / batches, 1.0)) / step.epochs
        place.tell(start + share * done, f"{what}epoch {step.epoch} of {step.epochs}")

    return tell


def _train(configuration: Mapping[str, Any], place: Place, share: float) -> None:
    spec, arguments = configuration["model"], configuration["arguments"]
    asked = cell_recipe(configuration)
    loaded = build_network(spec, arguments, seed=configuration["seed"])
    data = cell_data(configuration["data"], place.folders, batch_size=asked.batch_size, model=loaded)
    batches, watch = data.train, None
    if asked.recipe.patience is not None and not (configuration["data"].get("options") or {}).get("random_labels"):
        batches, watch = _held_out(batches)
    try:
        updates = len(batches)
    except TypeError as error:
        raise StudyError("the training data must know how many batches they have; give them a `__len__`.") from error
    recipe = asked.on(updates)
    keep = set(kept_epochs(configuration))
    beyond = sorted(epoch for epoch in keep if not 0 <= epoch <= recipe.epochs)
    if beyond:
        raise StudyError(f"epoch {beyond[0]} is asked for, the training has {recipe.epochs}; name an epoch up to that.")
    network = loaded.model
    saving = saving_in(place.folder / STATE)
    if 0 in keep and not saving.resume:
        keep_network(network, epoch_folder(place.folder, 0), spec, arguments)

    def after_epoch(so_far: Training) -> None:
        if so_far.kept_epoch in keep:
            keep_network(network, epoch_folder(place.folder, so_far.kept_epoch), spec, arguments)

    tell = telling(place, 0.0, share)
    training = fit(
        network, batches, watch=watch, saving=saving, progress=tell, after_epoch=after_epoch, **asdict(recipe)
    )
    record = training.facts() | {"updates": training.kept_epoch * updates}
    write_whole(place.folder / RECORD, json.dumps(record, indent=1).encode())
    keep_network(network, place.folder / CHECKPOINT, spec, arguments)


def _held_out(batches: Any) -> tuple[Batches, Batches]:
    if not isinstance(batches, Batches):
        raise StudyError("`patience` holds out examples of data in memory; leave it out for data of another kind.")
    return batches.parted(held_out(len(batches.x)))
