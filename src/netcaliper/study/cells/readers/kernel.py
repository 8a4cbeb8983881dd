"""``read.kernel``: how fast the tangent kernel moves over a training."""

from collections.abc import Mapping
from typing import Any

from netcaliper.compare.ntk_velocity import ntk_velocity
from netcaliper.errors import StudyError
from netcaliper.study.cells.networks import KeptNetworks
from netcaliper.study.cells.readers.options import checked_options
from netcaliper.study.cells.readers.subject import Subject

OPTIONS = {"examples": 200}


def read(subject: Subject, options: Mapping[str, Any], epochs: KeptNetworks) -> dict[int, dict[str, Any]]:
    """Return by epoch ``kernel_velocity``: how far the kernel moved since the epoch before, over the epochs between.

    Args:
        subject: the final network and the data; test examples are read.
        options: ``examples``, how many.
        epochs: networks by ``epoch-NUMBER``, ascending; the first one has no velocity.

    Raises:
        StudyError: there are fewer than two.
    """
    chosen = checked_options("kernel", options, OPTIONS)
    if len(epochs) < 2:
        raise StudyError(f"`read.kernel` compares epochs, there is {len(epochs)}; name more of them in `at`.")
    found = ntk_velocity(
        epochs, subject.data.test, examples=chosen["examples"], seed=subject.seed, progress=subject.tell
    )
    assert found.times is not None  # the names hold them
    assert found.velocity is not None
    return {
        int(time): {"kernel_velocity": velocity}
        for time, velocity in zip(found.times, (None, *found.velocity.tolist()), strict=True)
    }
