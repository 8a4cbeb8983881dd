"""What the networks and layers of a reading are called where several are shown together."""

from collections import Counter
from typing import Literal

from netcaliper.reading.layers import LayersOf, LayersRecord

Place = int | Literal["twin"]
"""Whose arrays: the number of a network, or the twin."""

TWIN = {"factory": "untrained", "shuffled": "shuffled"}


def labels(record: LayersRecord) -> tuple[str, ...]:
    """Return one distinct label a network: its name, with its number where several share one."""
    shared = Counter(network.name for network in record.networks)
    return tuple(
        network.name if shared[network.name] == 1 else f"{network.name} #{number}"
        for number, network in enumerate(record.networks, 1)
    )


def twin_label(record: LayersRecord) -> str:
    """Return what the twin is called beside its network, e.g. ``untrained``."""
    return TWIN[record.twin_kind or "factory"]


def everyone(record: LayersRecord) -> list[tuple[Place, str, LayersOf]]:
    """Return (place of its arrays, label, network) for every network, the twin last."""
    found: list[tuple[Place, str, LayersOf]] = [
        (index, label, network)
        for index, (label, network) in enumerate(zip(labels(record), record.networks, strict=True))
    ]
    if record.twin is not None:
        found.append(("twin", twin_label(record), record.twin))
    return found
