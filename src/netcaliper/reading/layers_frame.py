"""A reading of layers as a pandas table: one row a layer a network, the columns that other programs may rely on."""

from typing import TYPE_CHECKING, Any

import numpy as np

from netcaliper.reading.layers import LayersOf, LayersRecord
from netcaliper.reading.layers_names import Place, everyone

if TYPE_CHECKING:
    import pandas as pd

COUNTS = ("index", "stage")
SHARES = (
    "cka_previous", "cka_last", "standard_error_last", "first_pc_share", "probe", "probe_low", "probe_high", "penalty",
    "drop_alone", "drop_alone_low", "drop_alone_high",
)  # fmt: skip
COLUMNS = (
    "network", "index", "layer", "op", "kind", "stage", "shape", "blocks", "cka_previous", "cka_last",
    "standard_error_last", "first_pc_share", "probe", "probe_low", "probe_high", "penalty", "drop_alone",
    "drop_alone_low", "drop_alone_high", "droppable", "reason",
)  # fmt: skip
"""The columns, in order."""


def to_frame(record: LayersRecord) -> "pd.DataFrame":
    """Lay out a reading as one row a layer, network after network, the untrained twin last (``network`` is ``twin``).

    ``cka_previous`` is the similarity with the layer before, ``cka_last`` with the last one; ``drop_alone`` what is
    left without the residual block that ends in this layer; ``blocks`` how many block structures it lies in. What was
    not measured is ``<NA>``, never 0.

    Args:
        record: of one run.

    Returns:
        A table with the columns ``COLUMNS``.
    """
    import pandas as pd  # an import of half a second, paid only by those who want the table

    frame = pd.DataFrame(rows(record), columns=list(COLUMNS), dtype="object")
    kinds = (
        dict.fromkeys(COLUMNS, "string")
        | dict.fromkeys((*COUNTS, "blocks"), "Int64")
        | dict.fromkeys(SHARES, "Float64")
        | {"droppable": "boolean"}
    )
    return frame.astype(kinds)


def rows(record: LayersRecord) -> list[dict[str, Any]]:
    """Return the rows as plain values by column, ``None`` for what was not measured."""
    return [
        row
        for place, label, network in everyone(record)
        for row in _rows(record, place, "twin" if place == "twin" else label, network)
    ]


def _rows(record: LayersRecord, place: Place, label: str, network: LayersOf) -> list[dict[str, Any]]:
    cka = record.array(place, "cka")
    error = record.array(place, "standard_error")
    first = record.array(place, "pc_share")
    curves = {name: record.array(place, name) for name in ("probe", "probe_low", "probe_high")}
    alone = {
        column: record.array(place, f"drop_leave_one_out{end}")
        for column, end in (("drop_alone", ""), ("drop_alone_low", "_low"), ("drop_alone_high", "_high"))
    }
    dropped = {block.layer: k for k, block in enumerate(network.deletion.blocks)} if network.deletion else {}
    penalties = network.probing.penalty if network.probing else {}
    laid = []
    for i, layer in enumerate(network.layers):
        k = dropped.get(i)
        block = network.deletion.blocks[k] if network.deletion and k is not None else None
        laid.append(
            {
                "network": label,
                "index": i,
                "layer": layer.name,
                "op": layer.op,
                "kind": layer.kind,
                "stage": layer.stage,
                "shape": "x".join(map(str, layer.shape)),
                "blocks": sum(found.first <= i <= found.last for found in network.blocks),
                "cka_previous": _at(cka, i, i - 1) if i else None,
                "cka_last": _at(cka, i, -1),
                "standard_error_last": _at(error, i, -1),
                "first_pc_share": _at(first, i, 0),
                **{name: _at(array, i) for name, array in curves.items()},
                "penalty": penalties.get(i),
                **{name: None if k is None else _at(array, k) for name, array in alone.items()},
                "droppable": block.droppable if block else None,
                "reason": layer.reason,
            }
        )
    return laid


def _at(array: np.ndarray | None, *place: int) -> float | None:
    """Return one number of an array; ``None`` if there is no array, or a gap."""
    if array is None or not np.isfinite(array[place]):
        return None
    return float(array[place])
