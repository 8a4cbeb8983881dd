"""What is noted after every epoch of a training: how much still bends, and the last weights that were good."""

from pathlib import Path

from netcaliper.bending.bending import Bending
from netcaliper.fit.train import Training
from netcaliper.linearize.phases import Phases
from netcaliper.linearize.work import EPOCHS, LAST_GOOD, read_epochs, write_json, write_weights


class EpochLog:
    """Notes on disk, so that a resumed training knows its past.

    Attributes:
        epochs: of every finished epoch ``active`` (bending units), ``penalized`` (whether it had a penalty), ``omega``
            and ``good`` (units bend, and the training accuracy is above chance).

    Args:
        place: folder of the point.
        bending: the network.
        phases: of its training.
        chance: accuracy of the best constant answer, ``None`` if it is not known.
    """

    def __init__(self, place: Path, bending: Bending, phases: Phases, chance: float | None) -> None:
        self.epochs = read_epochs(place / EPOCHS)
        self._place, self._bending, self._phases, self._chance = place, bending, phases, chance
        self._penalized = False

    @property
    def kept(self) -> int | None:
        """Return the last good epoch, counted from 1, ``None`` if its weights are not kept."""
        good = [number for number, epoch in enumerate(self.epochs, 1) if epoch["good"]]
        return good[-1] if good and (self._place / LAST_GOOD).is_file() else None

    def before(self, epoch: int) -> None:
        """Begin an epoch."""
        del self.epochs[epoch - 1 :]  # a resumed training repeats the epochs after its last state
        self._phases.begin(epoch)
        self._penalized = not self._phases.frozen

    def after(self, training: Training) -> None:
        """Note an epoch that is finished."""
        active = sum(int(mine.sum()) for mine in self._bending.active().values())
        learned = self._chance is None or not training.accuracy or training.accuracy[-1] > self._chance
        good = active > 0 and learned
        self.epochs.append(
            {
                "active": active,
                "penalized": self._penalized,
                "omega": self._phases.omega if self._penalized else 0.0,
                "good": good,
            }
        )
        if good and self._penalized:  # without a penalty nothing collapses by itself
            write_weights(self._place / LAST_GOOD, self._bending.model.state_dict())
        write_json(self._place / EPOCHS, {"epochs": self.epochs})
