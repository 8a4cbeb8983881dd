"""A *needed* on disk: what it depends on, and the answers of sites, so that an interrupted one goes on."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
from jaxtyping import Int

from netcaliper.errors import InputError
from netcaliper.feed.fingerprint import DataFingerprint, model_fingerprint
from netcaliper.feed.protocol import Plan
from netcaliper.feed.work_folder import WorkFolder
from netcaliper.measure.needed_answer import Needed
from netcaliper.trace.batches import first_batch
from netcaliper.trace.graph import Graph
from netcaliper.trace.site import Site


def open_state(
    path: str | PathLike[str],
    graph: Graph,
    data: Iterable[Any],
    plan: Plan,
    sites: Sequence[Site],
    *,
    tau: float,
    reach: float | None = None,
    max_columns: int | None = None,
) -> WorkFolder:
    """Open a folder for the moments and answers of these sites, or make it.

    Of the data only the number of examples and the first batch are compared: to read them all is a pass by itself.

    Raises:
        InputError: the folder belongs to other weights, data or settings; it is never mixed.
    """
    first = DataFingerprint()
    first.update(first_batch(data, form=graph.form))
    about = {
        "measure": "needed",
        "version": 2,
        "weights": model_fingerprint(graph.program.tensors),
        "examples": plan.examples,
        "first batch": first.finish(),
        "seed": plan.seed,
        "mode": plan.mode,
        "sites": [site.name for site in sites],
        "tau": tau,
        "reach": reach,
        "max_columns": max_columns,
    }
    return WorkFolder(path, about)


def remember(answer: Needed, folder: WorkFolder, name: str, stage: Int[np.ndarray, " units"]) -> None:
    """Write the answer of a site that was judged, with the stages that it was judged by."""
    assert answer.unexplained is not None
    assert answer.final is not None
    consumers = list(answer.unexplained)
    arrays = {f"unexplained/{number}": answer.unexplained[consumer] for number, consumer in enumerate(consumers)}
    arrays["final"] = np.array([answer.final[consumer] for consumer in consumers])
    for key in ("kept", "order", "later", "later_unexplained"):
        arrays[key] = getattr(answer, key)
    record = {"consumers": consumers, "rows": answer.rows, "warnings": answer.warnings}
    folder.put(name, arrays | {"stage": stage}, record)


def remembered(nothing: Needed, folder: WorkFolder, name: str, stage: Int[np.ndarray, " units"]) -> Needed:
    """Read the answer of a site.

    Args:
        nothing: the site without an answer.
        folder: where it is.
        name: of the piece.
        stage: must be that of the answer.

    Raises:
        InputError: the site was judged with other stages.
    """
    arrays, record = folder.get(name)
    if not np.array_equal(arrays["stage"], stage):
        raise InputError(
            f"`state` {str(folder.path)!r} holds an answer for {nothing.site} in which other units were idle than now; "
            "name a new folder."
        )
    consumers = record["consumers"]
    return replace(
        nothing,
        upper_bound=len(arrays["kept"]),
        unexplained={consumer: arrays[f"unexplained/{number}"] for number, consumer in enumerate(consumers)},
        final={consumer: float(arrays["final"][number]) for number, consumer in enumerate(consumers)},
        rows=record["rows"],
        warnings=tuple(record["warnings"]),
        **{key: arrays[key] for key in ("kept", "order", "later", "later_unexplained")},
    )
