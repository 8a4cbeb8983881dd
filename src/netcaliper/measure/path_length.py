"""``nc.path_length``: how many nonlinear units lie on the paths through a network.

Average path length (Mehmeti-Goepel and Disselhoff, *Nonlinear Advantage*, ICML 2023): a path runs from an input channel
to an output channel, and its length is the number of active units on it. Either every path weighs the same, or paths
are drawn by a random walk that chooses with equal chance among the channels that a layer reads, and among the branches
of a residual sum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import log10
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int
from torch import Tensor

from netcaliper.errors import InputError
from netcaliper.feed.outputs import main_output
from netcaliper.measure.unit_states import BENDS, CONSTANT
from netcaliper.reading.reading import Reading
from netcaliper.reading.schema import PathLengths
from netcaliper.trace.graph import Graph
from netcaliper.trace.paths import Walked, walk
from netcaliper.trace.site import Site


@runtime_checkable
class Bent(Protocol):
    """What knows which of its units still bend, as ``nc.Bending`` does."""

    def active(self) -> Mapping[str, Any]:
        """Return by site which units bend."""
        ...


@dataclass(frozen=True)
class PathLength:
    """The lengths of all paths through a network, exactly.

    Attributes:
        mean: average path length where every path weighs the same (APL); ``None`` if no path arrives.
        normalized: average length on the random walk (NAPL); ``None`` if no path arrives.
        histogram: chance of a walk of 0, 1, 2, ... active units.
        paths: number of paths from any input channel to any output channel.
        counts: number of paths with 0, 1, 2, ... active units.
        mean_fraction, normalized_fraction, histogram_fractions: the same as fractions.
        profile: by site the expected number of its active units on the random walk; the values, and those of
            ``skipped``, sum to ``normalized``. A site that no path goes through (a squeeze-and-excite gate) has 0.
        gaps: layers through which no path comes, since all that they read is always off.
        bilinear: products of two data-dependent values on the paths, of which both are followed.
        not_counted: nonlinear operations on the paths that are no units (normalizations, the softmax of attention,
            max-pooling), with their number: a length of 0 does not mean that the network is linear.
        skipped: nonlinearities on the paths that are no sites and count as wholly active.
    """

    mean: float | None
    normalized: float | None
    histogram: tuple[float, ...]
    paths: int
    counts: tuple[int, ...]
    mean_fraction: Fraction | None
    normalized_fraction: Fraction | None
    histogram_fractions: tuple[Fraction, ...]
    profile: dict[str, float]
    gaps: tuple[str, ...]
    bilinear: tuple[str, ...]
    not_counted: dict[str, int]
    skipped: tuple[str, ...]

    @property
    def effective_depth(self) -> float | None:
        """The normalized length: how many units a random walk passes that are not linear."""
        return self.normalized


def path_length(
    graph: Graph | Any,
    active: Mapping[str, Any] | Reading | Bent | None = None,
    absent: Mapping[str, Any] | None = None,
) -> PathLength:
    """Count the active units on the paths through a network, from its structure alone (see ``trace/paths.py``).

    Args:
        graph: from ``nc.trace``.
        active: which units count. ``{site: booleans [units]}``, where the units of other sites all count; a reading of
            the same network, whose data say which units are exactly linear and which constant (always off); an
            ``nc.Bending``; by default all units count.
        absent: ``{site: booleans [units]}`` of the units that nothing comes through (always off).

    Raises:
        InputError: a site is unknown or has another number of units, or a path goes through an operation that hides
            its units (a fused recurrent layer) or that is not known; the message names it.
    """
    if not isinstance(graph, Graph):
        raise InputError(f"`graph` must be a graph from nc.trace, got {type(graph).__name__}; trace the model first.")
    gone = _units(graph, absent or {}, "absent")
    if isinstance(active, Reading):
        active, constant = exact_units(active)
        for name, units in _units(graph, constant, "active").items():
            gone[name] = units | gone.get(name, False)
    elif isinstance(active, Bent):
        active = active.active()
    return _lengths(graph, walk(graph, _units(graph, active or {}, "active"), gone, main_output))


def exact_units(reading: Reading) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return by site the units that bend on the data of a reading, and those that are constant there.

    Raises:
        InputError: the reading holds no unit states.
    """
    found = {}
    for number, site in enumerate(reading.sites):
        states = reading.array(number, "unit_state") if site.kind != "stream" else None
        if states is not None:
            found[site.name] = states
    if not found and any(site.kind != "stream" for site in reading.sites):
        raise InputError(
            "`active` must be a reading with unit states, got one without; take it with nc.measure(..., "
            'only="unit_states"), or a newer one.'
        )
    return _bend(found)


def measured_lengths(graph: Graph, states: Mapping[str, Int[np.ndarray, "_"]]) -> tuple[PathLength | None, PathLengths]:
    """Return the lengths on the data, and their record with those on paper beside them.

    Args:
        graph: the network.
        states: by site the array ``unit_state``; empty if it was not read.
    """
    try:
        nominal = path_length(graph)
    except InputError as refused:
        return None, PathLengths(reason=str(refused))
    record = PathLengths(
        nominal=nominal.mean,
        nominal_normalized=nominal.normalized,
        log10_paths=log10(nominal.paths) if nominal.paths else None,
        nominal_histogram=nominal.histogram,
        nominal_profile=nominal.profile,
        bilinear=nominal.bilinear,
        not_counted=nominal.not_counted,
        skipped=nominal.skipped,
    )
    units = [site.name for site in graph.sites if site.kind != "stream"]
    if units and not states:
        return None, record.model_copy(update={"reason": "which units are linear on the data was not read"})
    found = path_length(graph, *_bend(states))
    update = {
        "histogram": found.histogram,
        "profile": found.profile,
        "gaps": found.gaps,
        "assumed": tuple(name for name in units if name not in states),
    }
    if found.mean is None:
        behind = f": all that {', '.join(found.gaps)} reads is constant" if found.gaps else ""
        update["reason"] = f"no path reaches the output{behind}"
    return found, record.model_copy(update=update)


def _bend(states: Mapping[str, Int[np.ndarray, "_"]]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    return (
        {name: codes == BENDS for name, codes in states.items()},
        {name: codes == CONSTANT for name, codes in states.items()},
    )


def _lengths(graph: Graph, walked: Walked) -> PathLength:
    state = walked.state
    told = (walked.gaps, walked.bilinear, walked.not_counted, walked.skipped)
    profile = {site.name: 0.0 for site in graph.sites if site.kind != "stream"}
    if state is None:
        return PathLength(None, None, (), 0, (), None, None, (), profile, *told)
    for site, number in state.passed:
        name = walked.sites[site]
        profile[name] = profile.get(name, 0.0) + float(Fraction(number, state.parts))
    chances = tuple(Fraction(part, state.parts) for part in state.chance)
    paths = sum(state.paths)
    mean = Fraction(sum(k * number for k, number in enumerate(state.paths)), paths)
    normalized = sum((k * chance for k, chance in enumerate(chances)), Fraction(0))
    return PathLength(
        float(mean), float(normalized), tuple(map(float, chances)), paths, state.paths, mean, normalized, chances,
        profile, *told,
    )  # fmt: skip


def _units(graph: Graph, given: Mapping[str, Any], argument: str) -> dict[str, Bool[np.ndarray, "_"]]:
    """Check names and sizes."""
    return {name: _booleans(graph.site(name), units, argument) for name, units in given.items()}


def _booleans(site: Site, units: Any, argument: str) -> Bool[np.ndarray, " units"]:
    if site.kind == "stream":
        raise InputError(
            f"`{argument}` must name activations and gates, got {site.name!r}, a residual sum, which has no "
            "nonlinearity; leave it out."
        )
    found = np.asarray(units.detach().cpu() if isinstance(units, Tensor) else units)
    if found.shape != (site.units,) or found.dtype != np.bool_:
        raise InputError(
            f"`{argument}` must have {site.units} booleans for site {site.name!r}, got {found.dtype} of shape "
            f"{found.shape}; give one for each unit."
        )
    return found
