"""A training and what is read of it: the rows of a cell of kind ``train``."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors.numpy

from netcaliper.errors import InputError, StudyError, TraceError
from netcaliper.fit.train import accuracy
from netcaliper.linearize.quality import answers
from netcaliper.measure.path_length import path_length
from netcaliper.reading.whole_file import write_whole
from netcaliper.specs.loaded import LoadedModel
from netcaliper.study.cells.cell_data import CellData
from netcaliper.study.cells.once import once
from netcaliper.study.cells.readers import kernel, layers, width
from netcaliper.study.cells.readers.subject import Subject
from netcaliper.study.cells.trained import Trained, kept_epochs, trained
from netcaliper.study.place import Place
from netcaliper.trace.batches import batches, first_batch
from netcaliper.trace.form import form_of
from netcaliper.trace.graph import Graph
from netcaliper.trace.trace import trace
from netcaliper.zoo.bleu import translation_bleu
from netcaliper.zoo.translation import Pairs

READINGS, ANSWERS = "readings", "answers.safetensors"
NETWORK_READERS = {"width": width.read, "layers": layers.read}
"""What reads a network after one epoch; ``kernel`` reads a whole training."""

TRAINING_SHARE = 0.7
"""Of a cell that reads, for the progress bar."""


def train_cell(configuration: Mapping[str, Any], place: Place) -> list[dict[str, Any]]:
    """Train and read; return one row for every epoch that was read, in their order; the final one is always there.

    Raises:
        Diverged: the loss is no longer finite.
        StudyError: a reader or an option is not known, or an epoch was not reached.
    """
    readers: dict[str, Mapping[str, Any]] = dict(configuration.get("read") or {})
    for name in readers:
        if name not in (*NETWORK_READERS, "kernel"):
            known = ", ".join((*NETWORK_READERS, "kernel"))
            raise StudyError(f"`read` of a training names {name!r}; it takes {known}.")
    done = trained(configuration, place, share=TRAINING_SHARE if readers else 1.0)
    cell = _Cell(done, place)
    rows: dict[int, dict[str, Any]] = {done.epochs: once(cell.file("training"), cell.always)}
    steps = [(name, epoch) for name, options in readers.items() for epoch in cell.epochs(name, options)]
    for number, (name, epoch) in enumerate(steps):
        cell.at = TRAINING_SHARE + (1 - TRAINING_SHARE) * number / len(steps)
        options = {key: value for key, value in readers[name].items() if key != "at"}
        if epoch is None:
            kept = cell.numbers(readers[name].get("at"))
            found = once(cell.file(name), lambda options=options, kept=kept: cell.kernel(options, kept))
            for key, row in found.items():
                rows.setdefault(int(key), {}).update(row)
        else:
            read = once(
                cell.file(name, epoch),
                lambda name=name, epoch=epoch, options=options: cell.read(name, epoch, options),
            )
            rows.setdefault(epoch, {}).update(read)
    place.tell(1.0, "done")
    return [{"epoch": epoch, "final": epoch == done.epochs} | rows[epoch] for epoch in sorted(rows)]


@dataclass
class _Cell:
    """A training that is over, with what its readers share.

    Attributes:
        done: the training.
        place: of the cell.
        at: share of the cell that is done.
    """

    done: Trained
    place: Place
    at: float = TRAINING_SHARE

    @cached_property
    def final(self) -> LoadedModel:
        return self.done.network(self.done.epochs)

    @cached_property
    def graph(self) -> Graph | None:
        """The final network, traced once for all that reads it; ``None`` for one that cannot be followed."""
        model = self.final.model
        try:
            return trace(model, first_batch(self.data.test, form=form_of(model)), name=self.final.name)
        except (TraceError, InputError):
            return None

    @cached_property
    def data(self) -> CellData:
        return self.done.data(self.place.folders, self.final)

    def file(self, name: str, epoch: int | None = None) -> Path:
        """Return where the columns of a reading are kept."""
        last = epoch is None or epoch == self.done.epochs
        return self.place.folder / READINGS / (f"{name}.json" if last else f"{name}-epoch-{epoch:04d}.json")

    def epochs(self, name: str, options: Mapping[str, Any]) -> list[int | None]:
        """Return the epochs after which a reader reads; ``None`` for one that reads the whole training."""
        return [None] if name == "kernel" else [*self.numbers(options.get("at", ["final"]))]

    def numbers(self, asked: Any) -> list[int]:
        """Return epochs in ascending order; all that were kept, if none is named."""
        if asked is None:
            kept = kept_epochs(self.done.configuration)
            asked = [epoch for epoch in (*kept, self.done.epochs) if epoch <= self.done.epochs]
        return sorted({self.done.number(epoch) for epoch in asked})

    def subject(self, network: LoadedModel, name: str, file: Path) -> Subject:
        def tell(phase: str, done: int, total: int) -> None:
            self.place.tell(self.at, f"{name}: {phase}")

        return Subject(network, self.data, self.done.seed, file.with_suffix(""), tell)

    def read(self, name: str, epoch: int, options: Mapping[str, Any]) -> dict[str, Any]:
        last = epoch == self.done.epochs
        subject = self.subject(self.final if last else self.done.network(epoch), name, self.file(name, epoch))
        return NETWORK_READERS[name](replace(subject, graph=self.graph) if last else subject, options)

    def kernel(self, options: Mapping[str, Any], kept: list[int]) -> Mapping[Any, Any]:
        subject = self.subject(self.final, "kernel", self.file("kernel"))
        return kernel.read(subject, options, self.done.networks(kept))

    def always(self) -> dict[str, Any]:
        """Return what every training leaves, and keep the answers to the test examples."""
        model = self.final.model
        found = answers(model, batches(self.data.test, form=form_of(model)))
        arrays = {"answer": found.answer, "label": found.label, "right": found.right}
        write_whole(self.place.folder / ANSWERS, safetensors.numpy.save(arrays))
        right, record = found.accuracy(), self.done.record
        pairs = self.data.test
        written = {"bleu": translation_bleu(model, pairs).score} if isinstance(pairs, Pairs) else {}
        return written | {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            **_path_lengths(self.graph),
            "train_accuracy": accuracy(model, self.data.train),
            "test_accuracy": right.value,
            "test_low": right.low,
            "test_high": right.high,
            "loss": record["loss"][self.done.epochs - 1],
            "updates": record["updates"],
        }


def _path_lengths(graph: Graph | None) -> dict[str, float | None]:
    """Return the path lengths on paper, where all units bend; ``None`` for a network that cannot be followed."""
    try:
        found = path_length(graph) if graph else None
    except (TraceError, InputError):
        found = None
    if found is None:
        return {"path_length": None, "path_length_normalized": None}
    return {"path_length": found.mean, "path_length_normalized": found.normalized}
