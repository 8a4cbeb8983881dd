"""A bent network on disk: its weights with the alphas, and what they belong to, to be loaded again.

A folder with ``model.safetensors`` and ``bending.json``. To use it::

    from safetensors.torch import load_file

    bend = nc.Bending(model, granularity="channel")  # of the same network; `granularity` as in bending.json
    bend.load_state_dict(load_file("DIR/model/model.safetensors"))
"""

from pathlib import Path

from netcaliper.errors import OutputExists
from netcaliper.linearize.linearize import Linearized
from netcaliper.linearize.work import MODEL, write_json, write_weights

SAVED_VERSION = 1
FACTS = "bending.json"


def save_bent(linearized: Linearized, folder: Path) -> Path:
    """Write the core network (the unbent reference where there is none).

    Args:
        linearized: what ``nc.linearize`` returned.
        folder: where; it must not exist.

    Returns:
        The folder.

    Raises:
        OutputExists: ``folder`` is there.
        ReadingError: it cannot be written.
    """
    if folder.exists():
        raise OutputExists(f"`folder` {folder} already exists and is not overwritten; choose another one.")
    reading, bending = linearized.reading, linearized.bending
    point = reading.points[0 if reading.core is None else reading.core.point]
    active = bending.active()
    facts = {
        "schema_version": SAVED_VERSION,
        "network": reading.name,
        "fingerprint": reading.fingerprint,
        "point": point.name,
        "granularity": reading.protocol.granularity,
        "sites": [{"name": name, "units": len(mine), "active": int(mine.sum())} for name, mine in active.items()],
    }
    write_weights(folder / MODEL, bending.state_dict())
    write_json(folder / FACTS, facts)
    return folder
